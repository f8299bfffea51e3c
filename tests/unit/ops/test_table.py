from __future__ import annotations

import asyncio
import contextvars
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.errors import NameTakenError, OperatorDefinitionError
from openautoglm.native.cells import MAX_KERNELS
from openautoglm.native.library import KernelLibrary
from openautoglm.ops import dispatch
from openautoglm.ops.arguments import ArraySpec
from openautoglm.ops.choose import CallFacts
from openautoglm.ops.kernel import Capability, Kernel
from openautoglm.ops.machine import Machine
from openautoglm.ops.opdef import OpDef
from openautoglm.ops.table import KernelTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OP = OpDef.from_schema("row(Tensor x, float by=1.0) -> Tensor")
FACTS = CallFacts(device="cpu", inputs=("x",), dtypes=("f32",))


def kernel(name: str, *, priority: int = 0, library: str | None = None) -> Kernel:
    return Kernel(name=name, op="row", function=print, priority=priority, library=library)


def winner(table: KernelTable) -> str:
    found = table.choose(FACTS).winner
    assert found is not None
    return found.name


def test_kernels_come_and_go_by_name_and_by_library() -> None:
    table = KernelTable(OP)
    table.add(kernel("a"), kernel("b", library="lib"))
    assert table.replace("lib", [kernel("c", library="lib"), kernel("d", library="lib")]) == 2
    assert [k.name for k in table.kernels] == ["a", "c", "d"]
    table.remove("a", "d")
    assert [k.name for k in table.kernels] == ["c"]
    assert table.generation == 3


def test_a_name_that_is_taken_changes_nothing() -> None:
    table = KernelTable(OP)
    table.add(kernel("a"), kernel("b", library="lib"))
    for library, new in [(None, ["a"]), ("lib", ["c", "a"]), ("lib", ["c", "c"])]:
        with pytest.raises(NameTakenError, match="has a kernel"):
            table.replace(library, [kernel(name, library=library) for name in new])
    table.replace("lib", [kernel("b", library="lib")])  # its own name it may use again
    assert [k.name for k in table.kernels] == ["a", "b"]


def test_a_kernel_that_does_not_go_with_the_operator_is_refused() -> None:
    table = KernelTable(OP)
    wrong = Kernel(name="ints", op="row", function=print, dtypes=("i8",))
    with pytest.raises(OperatorDefinitionError, match="never i8"):
        table.add(kernel("a"), wrong)
    assert table.kernels == ()


def test_a_block_goes_before_the_standing_preference_which_goes_before_priority() -> None:
    table = KernelTable(OP)
    table.add(kernel("low"), kernel("high", priority=5), kernel("own", priority=1, library="lib"))
    assert winner(table) == "high"
    table.stand("lib")
    assert winner(table) == "own"
    with table.prefer("low", "high"):
        assert winner(table) == "low"
        with table.prefer("high"):
            assert winner(table) == "high"
        assert winner(table) == "low"
    assert winner(table) == "own"
    table.stand()
    assert winner(table) == "high"


def test_a_preference_is_of_its_thread_and_ends_with_an_error_too() -> None:
    table = KernelTable(OP)
    table.add(kernel("low"), kernel("high", priority=5))
    seen: list[str] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: seen.append(winner(table)))
        with table.prefer("low"):
            thread.start()
            thread.join()
            seen.append(winner(table))
            raise LookupError

    with pytest.raises(LookupError):
        look()
    assert [*seen, winner(table)] == ["high", "low", "high"]


def test_a_preference_ends_with_its_block_in_copied_contexts_and_tasks_too() -> None:
    table = KernelTable(OP)
    table.add(kernel("low"), kernel("high", priority=5), kernel("own", priority=1))
    with table.prefer("own"):
        with table.prefer("low"):
            inside = contextvars.copy_context()
            assert inside.run(winner, table) == "low"
        assert inside.run(winner, table) == "own"
    assert (inside.run(winner, table), winner(table)) == ("high", "high")
    assert inside.run(lambda: table.is_steady)

    async def tasks() -> list[str]:
        ended = asyncio.Event()

        async def look() -> list[str]:
            first = winner(table)
            await ended.wait()
            return [first, winner(table)]

        with table.prefer("low"):
            task = asyncio.create_task(look())
            await asyncio.sleep(0)
        ended.set()
        return await task

    assert asyncio.run(tasks()) == ["low", "high"]


def test_a_block_that_ends_in_another_context_ends_and_sends_calls_the_fast_way_again(
    build_tagged: Callable[..., Path],
) -> None:
    x, out = np.ones(2, "f4"), np.empty(2, "f4")
    with KernelLibrary.open(build_tagged(1)) as library:
        table = KernelTable(OpDef.from_schema(library.operators[0].schema))
        if table.cell is None:
            pytest.skip("there is no compiled core")
        function = library.function(library.kernels[0].symbol)
        table.add(Kernel(name="a", op="tagged", function=function, language="c", dtypes=("f32",)))

        def steps() -> Iterator[None]:
            with table.prefer("a"):
                yield

        for _ in range(2):
            begun, other = steps(), contextvars.copy_context()
            other.run(next, begun)
            with pytest.raises(RuntimeError):
                table.cell.door(x, 1.0, out)
            list(begun)
            assert other.run(lambda: table.is_steady)
            table.cell.door(x, 1.0, out)
        table.remove("a")


def test_a_preference_is_of_one_version_of_an_operator() -> None:
    old, new = KernelTable(OP), KernelTable(OP)
    for table in (old, new):
        table.add(kernel("low"), kernel("high", priority=5))
    with old.prefer("low"):
        assert (winner(old), winner(new)) == ("low", "high")


def test_a_preference_for_what_is_not_there_lists_what_is() -> None:
    table = KernelTable(OP)
    table.add(kernel("low"))
    with pytest.raises(OperatorDefinitionError, match="no kernel or library `other`") as caught:
        table.prefer("low", "other").__enter__()
    assert caught.value.got == "kernels: low"
    assert winner(table) == "low"


def test_facts_of_another_machine_may_be_given() -> None:
    table = KernelTable(OP, Machine(arch="x86_64", isa=frozenset(), cuda=((9, 0),)))
    table.add(Kernel(name="gpu", op="row", function=print, device="cuda"))
    on_gpu = CallFacts(device="cuda", inputs=("x",), dtypes=("f32",))
    assert table.choose(on_gpu).winner is not None
    assert table.choose(FACTS).winner is None


@pytest.mark.parametrize(
    ("gpus", "native", "served"),
    [
        (((9, 0), (9, 0)), {"cuda", "cpu"}, ["new", "new"]),
        (((7, 5), (7, 5)), {"cuda", "cpu"}, ["old", "old"]),
        (((7, 5), (9, 0)), {"cpu"}, ["old", "new"]),
        (((9, 0), (7, 5)), {"cpu"}, ["new", "old"]),
        (((9, 0), (5, 0)), {"cpu"}, ["new", None]),
        (((5, 0), (9, 0)), {"cpu"}, [None, "new"]),
    ],
)
def test_gpus_that_differ_get_their_own_kernels_by_the_slow_way(
    gpus: tuple[tuple[int, int], ...], native: set[str], served: list[str | None]
) -> None:
    table = KernelTable(OP, Machine(arch="x86_64", isa=frozenset(), cuda=gpus))
    for name, device, priority, low in (
        ("new", "cuda", 2, (8, 0)),
        ("old", "cuda", 1, (7, 0)),
        ("host", "cpu", 0, None),
    ):
        made = Kernel(name=name, op="row", function=print, language="cpp", device=device)
        table.add(replace(made, priority=priority, capability=Capability(min=low)))
    devices = {1: "cpu", 2: "cuda"}
    assert {devices[entry.key[-1]] for entry in table._entries()} == native
    x = np.ones(2, "f4")
    found = []
    for index in range(len(gpus)):
        specs = [ArraySpec((2,), "f32", f"cuda:{index}")]
        kernel_there = table.choose(dispatch.facts_of(table, [x], specs, [1.0])).winner
        found.append(kernel_there and kernel_there.name)
    assert found == served


def test_a_counter_that_serves_another_name_starts_from_nothing(
    build_tagged: Callable[..., Path],
) -> None:
    x, out = np.ones(2, "f4"), np.empty(2, "f4")
    with KernelLibrary.open(build_tagged(1)) as library:
        opdef = OpDef.from_schema(library.operators[0].schema)
        table = KernelTable(opdef)
        if table.cell is None:
            pytest.skip("there is no compiled core")
        function = library.function(library.kernels[0].symbol)
        for number in range(MAX_KERNELS + 1):
            made = Kernel(name=f"k{number}", op="tagged", function=function, language="c")
            table.replace("lib", [replace(made, library="lib", dtypes=("f32",))])
            for _ in range(number % 3):
                table.cell.door(x, 1.0, out)
        expected = {f"k{n}": n % 3 for n in range(MAX_KERNELS + 1) if n % 3}
        assert table.counts() == expected
        table.replace("lib", [])


def test_names_of_kernels_that_are_gone_leave_room_for_counting_others() -> None:
    table = KernelTable(OP)
    for number in range(MAX_KERNELS * 2):
        one = kernel(f"k{number}", library="lib")
        table.replace("lib", [one])
        assert table._counter(one) is not None
        table.count(one)
    assert table.counts() == {f"k{number}": 1 for number in range(MAX_KERNELS * 2)}
