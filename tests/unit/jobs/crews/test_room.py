"""What is lacking is told where no node can hold a worker, and nothing where one can."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.jobs.crews.room import amount, lacking, needs_of, table_of

AMOUNTS = st.dictionaries(st.sampled_from(["CPU", "GPU", "oag-camera"]), st.integers(0, 4))


@given(needs=AMOUNTS, nodes=st.lists(AMOUNTS, max_size=4))
def test_something_is_lacking_exactly_where_no_node_holds_all(
    needs: dict[str, int], nodes: list[dict[str, int]]
) -> None:
    is_held = any(all(node.get(n, 0) >= needs[n] for n in needs) for node in nodes)
    assert (lacking(needs, nodes) == "") == is_held


def test_a_worker_takes_a_core_unless_the_job_says_otherwise() -> None:
    assert needs_of({}) == {"CPU": 1.0}
    assert needs_of({"CPU": 0, "memory": 1}) == {"CPU": 0.0, "memory": 1.0}


def test_a_table_of_nodes_leaves_out_what_ray_keeps_for_itself_and_ends_somewhere() -> None:
    node = {"CPU": 2.0, "memory": 1.5 * (1 << 30), "object_store_memory": 1.0, "node:a": 1.0}
    table = table_of({f"node {n}": node for n in range(20)})
    assert table.splitlines()[1] == "    node 0: CPU 2, memory 1.5 GiB"
    assert table.endswith("\n    and 12 more")
    assert table_of({"a": {}}) == "\n    a: nothing"


def test_amounts_of_memory_are_told_in_gibibytes() -> None:
    assert amount("memory", 1 << 29) == "memory 0.5 GiB"
