"""Answers of nodes are values: every difference is a finding, and what is alike is none."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from openautoglm.jobs.cluster.comparing import compare, models_that_differ
from openautoglm.jobs.cluster.doctor import of_cluster
from openautoglm.jobs.cluster.finding import DRIVER
from openautoglm.jobs.cluster.nodes import Answer, Node
from openautoglm.jobs.cluster.question import Fact, Said
from openautoglm.jobs.orders import Fault
from openautoglm.jobs.spec import JobSpec

GIB = 1 << 30
SERVER = "jobs of the server that was started at 1"
WHOLE = Answer(
    host="a",
    python="3.11.7",
    openautoglm="0.1.0",
    ray="2.60.0",
    memory_bytes=8 * GIB,
    disk_bytes=8 * GIB,
    code=0,
    limit_s=45,
    said=(
        Said(topic="openautoglm", facts={"version": "0.1.0"}),
        Said(topic="ledger", facts={"server": SERVER, "ahead_s": 0.1, "may_be_kept": True}),
        Said(topic="source", facts={"digest": "d", "parts": 1, "rows": 3, "size_bytes": 90}),
        Said(topic="sink", facts={"is_shared": True}),
        Said(topic="work", facts={"function": "f 1", "model": "m 1"}),
        Said(topic="model", facts={"backend": "native", "weights_bytes": GIB}),
    ),
)


def spec(**fields: Any) -> JobSpec:  # noqa: ANN401 - of a job
    return JobSpec(source="in.jsonl", sink="out.jsonl", function="a:b", **fields)


def saying(topic: str, **facts: Fact) -> Answer:
    """A whole node that says something else of one thing."""
    said = tuple(
        replace(each, facts={**each.facts, **facts}) if each.topic == topic else each
        for each in WHOLE.said
    )
    return replace(WHOLE, said=said)


def test_what_is_as_for_the_driver_is_no_finding() -> None:
    assert list(compare("n", WHOLE, WHOLE, spec=spec())) == []
    assert list(compare("n", replace(WHOLE, python="3.11.9"), WHOLE, spec=None)) == []


@pytest.mark.parametrize(
    ("answer", "what", "got"),
    [
        (replace(WHOLE, silent="gone"), "answer", "gone"),
        (replace(WHOLE, python="3.12.1"), "python", "3.12; the driver has 3.11"),
        (replace(WHOLE, ray="2.61.0"), "ray", "2.61.0; the driver has 2.60.0"),
        (saying("openautoglm", version="0.2.0"), "openautoglm", "0.2.0; the driver has 0.1.0"),
        (saying("ledger", server="x"), "ledger", f"x; for the driver {SERVER}"),
        (saying("ledger", may_be_kept=False), "ledger", SERVER),
        (saying("ledger", ahead_s=-9.0), "clock", "9.0 s ahead"),
        (
            saying("source", digest="e", rows=4),
            "source",
            "1 parts, 4 rows, 90 bytes; the driver sees 1 parts, 3 rows, 90 bytes",
        ),
        (saying("sink", is_shared=False), "sink", ""),
        (saying("work", function="f 2"), "function", "f 2; the driver has f 1"),
        (replace(WHOLE, memory_bytes=GIB // 4), "memory", "0.2 GiB may be taken, the weights"),
        (replace(WHOLE, disk_bytes=GIB // 4), "disk", "0.25 GiB free"),
    ],
)
def test_a_difference_is_a_finding(answer: Answer, what: str, got: str) -> None:
    (found,) = compare("n", answer, WHOLE, spec=spec())
    assert (found.node, found.what) == ("n", what)
    assert found.got.startswith(got)
    assert found.fix
    assert found.is_note is (what == "clock"), "a job runs all the same"


def test_a_program_that_did_not_start_is_told_by_its_last_words() -> None:
    mute = replace(WHOLE, said=(), code=1, complaint="Traceback\nImportError: no x\n")
    for answer, problem in (
        (mute, "it cannot be started there"),
        (replace(mute, openautoglm=None), "it is not installed there"),
    ):
        (found,) = compare("n", answer, WHOLE, spec=spec())
        assert (found.what, found.problem, found.got) == (
            "openautoglm",
            problem,
            "ImportError: no x",
        )


def test_a_program_that_said_nothing_in_its_time_is_not_told_to_be_missing() -> None:
    (found,) = compare("n", replace(WHOLE, said=(), code=None), WHOLE, spec=spec())
    assert (found.what, found.problem) == ("openautoglm", "no answer within 45 s")
    assert "--timeout-s" in found.fix


def test_weights_need_no_memory_where_a_gpu_takes_them_nor_on_the_driver() -> None:
    little = replace(WHOLE, memory_bytes=GIB * 3 // 4)
    assert list(compare("n", little, WHOLE, spec=spec()))
    assert list(compare("n", little, WHOLE, spec=spec(resources={"GPU": 1}))) == []
    assert list(compare(DRIVER, little, little, spec=spec())) == []


def test_the_driver_needs_no_model() -> None:
    fault = Fault(code="OAG301", problem="no model")
    without = replace(WHOLE, said=(*WHOLE.said[:-1], Said(topic="model", fault=fault)))
    assert list(compare(DRIVER, without, without, spec=spec())) == []
    (found,) = compare("n", without, without, spec=spec())
    assert (found.what, found.problem) == ("model", "no model")


def test_the_node_with_another_model_than_most_is_named() -> None:
    other = saying("work", model="m 2")
    (found,) = models_that_differ({"a": WHOLE, "b": other, "c": WHOLE})
    assert (found.node, found.got) == ("b", "m 2; others have m 1")
    assert list(models_that_differ({"a": WHOLE, "b": WHOLE})) == []
    assert list(models_that_differ({})) == []


def test_a_model_of_the_hub_that_is_not_there_yet_is_a_note() -> None:
    far = saying("work", model="m")
    (found,) = models_that_differ({"a": far, "b": WHOLE})
    assert (found.node, found.is_note) == ("a", True)


NODES = (
    Node(id="1", name="10.0.0.1", resources={"CPU": 2.0}),
    Node(id="2", name="10.0.0.2", resources={"CPU": 4.0, "oag-camera": 1.0}),
)


def test_workers_that_need_nothing_fit_anywhere() -> None:
    assert list(of_cluster(spec(resources={"CPU": 0}, workers=99), NODES)) == []


def test_what_no_node_has_is_a_finding_and_too_few_places_are_a_note() -> None:
    (found,) = of_cluster(spec(resources={"oag-lidar": 1}), NODES)
    assert found.problem == "no node has oag-lidar 1"
    assert "10.0.0.2: CPU 4, oag-camera 1" in found.got

    assert list(of_cluster(spec(workers=6), NODES)) == []
    (found,) = of_cluster(spec(workers=2, resources={"oag-camera": 1}), NODES)
    assert found.is_note
    assert found.problem == "1 of the job's 2 workers fit at a time"


def test_files_of_sqlite_are_for_one_machine() -> None:
    job = JobSpec(source="in.jsonl", sink="sqlite:///a.db?table=t", function="a:b")
    (found,) = of_cluster(job, NODES)
    assert (found.what, found.got) == ("sink", "sqlite:///a.db?table=t")
    here = tuple(replace(node, name=f"10.0.0.1/{node.id}") for node in NODES)
    assert list(of_cluster(job, here)) == []
