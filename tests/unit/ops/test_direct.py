"""The core as a module of Python: what its calls leave behind, and what they refuse."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError
from openautoglm.native import cells, direct
from openautoglm.native.library import KernelLibrary
from openautoglm.ops.kernel import Kernel
from openautoglm.ops.registered import RegisteredOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CORE = direct.load(cells.library_path("liboag_core")) if cells.unavailable() is None else None
pytestmark = pytest.mark.skipif(CORE is None, reason="the core has no direct calls")
X, Y, OUT = torch.ones(4), torch.ones(4), torch.empty(4)
A, B, C = (np.ones(4, "f4") for _ in range(3))
MIB = 2**20


TYPED = """
#include <string.h>

OAG_C_KERNEL(typed_direct, CPU, F32) {
  const DLTensor* y = oag_tensor(args, count, 6);
  double by = 0, n = 0;
  if (y == NULL || oag_numel(y) < 4) return oag_refuse("typed: four elements are needed");
  if (!oag_number(args, count, 2, &by) || !oag_number(args, count, 3, &n)) return 1;
  const TVMFFIAny* mode = &args[5];
  float* to = (float*)oag_data(y);
  to[0] = (float)by;
  to[1] = (float)n;
  to[2] = (float)args[4].v_int64;
  to[3] = mode->type_index == kTVMFFIRawStr ? strlen(mode->v_c_str) : mode->small_str_len;
  return 0;
}
"""


@pytest.fixture(scope="module")
def typed(build_c: Callable[[str], Path]) -> Iterator[RegisteredOperator]:
    """An operator with attributes of every kind, limits and choices; it fills in what it got."""
    opened = KernelLibrary.open(build_c(TYPED))
    made = ops.define(
        "typed_direct",
        inputs=[ops.In("x", dtypes=("f32",)), ops.In("w", optional=True)],
        attrs=[
            ops.Attr("by", float, 1.0, low=-4.0, high=1e6),
            ops.Attr("n", int, 2, low=0),
            ops.Attr("flag", bool, default=False),
            ops.Attr("mode", str, "a", choices=("a", "é")),
        ],
        outputs=[ops.Out("y", like="x")],
    )
    function = opened.function(opened.kernels[0].symbol)
    made.table.add(Kernel(name="c", op=made.name, function=function, language="c", device="cpu"))
    yield made
    ops.remove("typed_direct")
    opened.close()


def outcome(call: Callable[..., Any], *args: object, **named: object) -> object:
    try:
        out = call(*args, **named)
    except Exception as error:  # noqa: BLE001 - whatever it is must be the same on both ways
        return type(error), str(error)
    return type(out), out.dtype, str(out.tolist())  # a NaN equals no other


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["a", "é", "", "a\0", "\ud800", np.float32(2), np.int64(3), X, A, 10**400]),
)


@settings(max_examples=300, deadline=None)
@given(
    args=st.lists(st.sampled_from([X, Y, A, B, None, 1.0, "x"]), max_size=3),
    positional=st.lists(VALUES, max_size=2),
    named=st.dictionaries(st.sampled_from(["x", "w", "by", "n", "flag", "mode", "z"]), VALUES),
)
def test_any_arguments_do_the_same_by_c_and_by_python(
    args: list[object], positional: list[object], named: dict[str, object]
) -> None:
    for name in ("rms_norm", "add", "bias_gelu"):
        op = ops.get(name)
        op(torch.ones(2, 4), torch.ones(4))
        slow: Callable[..., Any] = type(op).__call__
        expected = outcome(slow, op, *args, *positional, **named)
        assert outcome(op, *args, *positional, **named) == expected


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"by": 2},
        {"by": 1e6, "n": 2**40},
        {"by": -4.5},
        {"by": float("nan")},
        {"by": True},
        {"n": -1},
        {"n": 2**63},
        {"n": 2.0},
        {"flag": 1},
        {"flag": True, "mode": "é"},
        {"mode": "b"},
        {"mode": "a\0"},
        {"by": 10**400},
        {"by": np.float64(2.5), "n": np.int32(4)},
    ],
)
def test_attributes_are_read_as_python_reads_them(
    typed: RegisteredOperator, named: dict[str, object]
) -> None:
    for x in (torch.ones(4), np.ones(4, "f4")):
        typed(x)
        slow: Callable[..., Any] = type(typed).__call__
        assert outcome(typed, x, **named) == outcome(slow, typed, x, **named)


def swallow(call: Callable[..., object], *args: object, **named: object) -> None:
    with suppress(OperatorArgumentError, RuntimeError, TypeError):
        call(*args, **named)


LOOPS: dict[str, Callable[[RegisteredOperator], object]] = {
    "tensors": lambda add: add(X, Y),
    "tensors by name": lambda add: add(x=X, y=Y, alpha=2.0),
    "arrays": lambda add: add(A, B),
    "door, tensors": lambda add: add.door(X, Y, 1.0, OUT),
    "door, arrays": lambda add: add.door(A, B, 2, C),
}
FAILING: dict[str, Callable[[RegisteredOperator], object]] = {
    "tensors that a kernel refuses": lambda add: swallow(add.door, X, Y[:3], 1.0, OUT),
    "arrays that a kernel refuses": lambda add: swallow(add.door, A, B[:3], 1.0, C),
    "no such kernel": lambda add: swallow(add.door, A, B, 1.0, "out"),
    "too many": lambda add: swallow(add, X, Y, 1.0, 2.0),
    "a wrong attribute": lambda add: swallow(add, X, Y, "1"),
    "an unknown name": lambda add: swallow(add, A, B, beta=1.0),
}


def growth(call: Callable[[RegisteredOperator], object], times: int) -> tuple[int, int]:
    """Return by how many blocks of Python and bytes of the process calls have grown.

    The system may give large pages to what other tests left, once; what calls leave grows again.
    """
    add = ops.get("add")
    for _ in range(2000):
        call(add)
    process = psutil.Process()
    blocks = size = 0
    for _ in range(3):
        gc.collect()
        blocks, size = sys.getallocatedblocks(), process.memory_info().rss
        for _ in range(times):
            call(add)
        gc.collect()
        blocks, size = sys.getallocatedblocks() - blocks, process.memory_info().rss - size
        if size < 2 * MIB:
            break
    return blocks, size


@pytest.mark.parametrize("name", LOOPS)
def test_a_hundred_thousand_calls_leave_nothing(name: str) -> None:
    held = (X, Y, OUT, A, B, C, None, True, "alpha", 2.0)
    before = [sys.getrefcount(value) for value in held[:6]]
    blocks, size = growth(LOOPS[name], 100_000)
    assert blocks < 500
    assert size < 2 * MIB
    assert [sys.getrefcount(value) for value in held[:6]] == before


@pytest.mark.parametrize("name", FAILING)
def test_calls_that_fail_leave_nothing(name: str) -> None:
    before = [sys.getrefcount(value) for value in (X, Y, OUT, A, B, C)]
    blocks, size = growth(FAILING[name], 5_000)
    assert blocks < 500
    assert size < 2 * MIB
    assert [sys.getrefcount(value) for value in (X, Y, OUT, A, B, C)] == before


def test_operators_that_are_gone_leave_neither_type_nor_front() -> None:
    def make() -> None:
        made = RegisteredOperator(ops.get("add").opdef)
        made.table.add(*(k for k in ops.get("add").table.kernels if k.name != "reference"))
        made(A, B)

    def kinds() -> int:
        return len(RegisteredOperator.__subclasses__())

    make()
    gc.collect()
    before = kinds()
    for _ in range(20):
        make()
    gc.collect()
    assert kinds() == before


def test_a_door_reads_what_is_locked_and_writes_what_is_not() -> None:
    door, out = ops.get("add").door, np.empty(4, "f4")
    locked = np.ones(4, "f4")
    locked.flags.writeable = False
    door(locked, locked, 1.0, out)
    assert out.tolist() == [2.0] * 4
    with pytest.raises((RuntimeError, BufferError)):
        door(out, out, 1.0, locked)
    assert locked.tolist() == [1.0] * 4
    door(np.ones(4, "f4")[::-1], np.ones((1, 1), "f4")[0], 1.0, out)
    assert out.tolist() == [2.0] * 4


@pytest.mark.parametrize(
    "array",
    [
        np.ones(4, ">f4"),
        np.ones(17, "u1")[1:].view("f4"),
        np.zeros(4, [("a", "f4"), ("b", "u1")])["a"],
        np.ma.masked_array(np.ones(4, "f4")),
        np.ones(4, "f4").view(type("Own", (np.ndarray,), {})),
        np.array(["a"]),
        np.ones(4, object),
    ],
    ids=["other byte order", "unaligned", "of a record", "masked", "subclass", "text", "objects"],
)
def test_arrays_that_are_not_plain_are_left_to_python(array: Any) -> None:  # noqa: ANN401 - an array
    add = ops.get("add")
    add(A, B)
    slow: Callable[..., Any] = type(add).__call__
    assert outcome(add, array, A[: array.size]) == outcome(slow, add, array, A[: array.size])


def test_what_is_no_operator_is_called_through_python() -> None:
    assert CORE is not None

    def say(self: object, *args: object, **named: object) -> tuple[object, ...]:
        return type(self).__name__, args, named

    kind = CORE.operator_type(type("Base", (), {}), say)
    made = kind()
    assert made(1, b=2) == ("RegisteredOperator", (1,), {"b": 2})
    made._front = object()
    assert made() == ("RegisteredOperator", (), {})


def test_the_core_refuses_names_and_rules_that_are_not_the_cells() -> None:
    assert CORE is not None
    cell = cells.Cell("x Tf 1 * 1 fast like 0 as 0")
    for names, rules in [((), ()), (("a", "b"), ()), (("a", "b"), ((None,),))]:
        with pytest.raises((ValueError, TypeError)):
            CORE.front(cell.number, names, rules)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(ValueError, match="no operator cell"):
        CORE.front(10**9, (), ())
    assert CORE.front(cells.Cell("x T 1 * 1 slow").number, ("a",), ()) is None


def test_direct_calls_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_DIRECT", "0")
    assert direct.load(cells.library_path("liboag_core")) is None
    assert cells.Cell("x T 1 * 1 slow").core is None


def test_numpy_calls_bring_in_no_torch() -> None:
    program = (
        "import sys, numpy; from openautoglm import ops; a = numpy.ones(3);"
        "add = ops.get('add'); [add(a, a) for _ in range(3)]; add.door(a, a, 1.0, a);"
        "print('torch' in sys.modules, add.counts())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("False")


@pytest.mark.slow
def test_kernels_are_swapped_under_every_kind_of_call(
    build_tagged: Callable[..., Path],
) -> None:
    first, second = build_tagged(1), build_tagged(2)
    library = ops.load_library(first, name="tagged")
    tagged, stop, seen = ops.get("tagged"), threading.Event(), set[float]()
    x, a = torch.zeros(2), np.zeros(2, "f4")

    def call() -> None:
        out, given = torch.empty(2), np.empty(2, "f4")
        while not stop.is_set():
            seen.add(tagged(x)[0].item())
            seen.add(float(tagged(a)[0]))
            tagged.door(x, 1.0, out)
            tagged.door(a, 1.0, given)
            seen.update((out[1].item(), float(given[1])))

    tagged(x)
    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        library.swap(second if turn % 2 == 0 else first)
    stop.set()
    for thread in threads:
        thread.join()
    library.unload()
    assert seen <= {1.0, 2.0}


@pytest.mark.parametrize(
    "given", [(), ("mask",), ("temperature", "uniform"), ("edited", "count", "bias")]
)
def test_few_of_many_optional_inputs_need_no_python(given: tuple[str, ...]) -> None:
    op = ops.get("sample")  # it has more of them than its table has room for
    logits = np.array([[0, 3, 1, 2]], "f4")
    values = {
        "mask": np.array([[0b1001]], "i4"),
        "temperature": np.array([1e-3], "f4"),
        "uniform": np.array([0.5], "f4"),
        "edited": np.array([1], "i8"),
        "count": np.array([-1], "i8"),
        "bias": np.array([-9], "f4"),
    }
    inputs = [values[name] if name in given else None for name in op.opdef.input_names[1:]]
    token, logprob = np.empty(1, "i8"), np.empty(1, "f4")
    op.door(logits, *inputs, False, token, logprob)
    assert token[0] == (3 if given and given != ("temperature", "uniform") else 1)
