from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.native import cells, ffi
from openautoglm.native.cells import MAX_KERNELS, WANTS_CONTIGUOUS, Cell, Entry, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.generic]

pytestmark = pytest.mark.skipif(cells.unavailable() is not None, reason="there is no compiled core")
F32, I64, CPU = (2, 32), (0, 64), 1
UNARY = "neg Tf 1 * 1 fast like 0 as 0"
KEY = key_of(CPU, [F32])
ROWS = "rows TT 2 [ ... s0 ] [ s0 ] 1 fast shape [ ... s0 ] as 0"


def entry(
    body: Callable[..., object], *, key: tuple[int, ...] = KEY, flags: int = 0, counter: int = 0
) -> Entry:
    function = ffi.load().convert(body)
    return Entry(key=key, function=function, flags=flags, counter=counter)


def fill(value: float) -> Callable[..., None]:
    def body(*arguments: Array) -> None:
        np.from_dlpack(arguments[-1])[...] = value

    return body


def run(cell: Cell, x: Array, *more: object) -> list[float]:
    out = np.zeros_like(x)
    cell.door(x, *more, out)
    return [float(value) for value in out.ravel()]


X = np.ones(2, "f4")


def test_a_published_table_serves_its_keys_and_counts() -> None:
    cell = Cell(UNARY)
    with pytest.raises(RuntimeError, match="no native kernel of `neg`"):
        cell.door(X, 1.0, np.zeros(2, "f4"))
    assert cell.publish([entry(fill(3), counter=5)]) == 1
    assert run(cell, X, 1.0) == [3.0, 3.0]
    assert cell.counts()[5] == 1
    assert len(cell.counts()) == MAX_KERNELS
    assert cell.publish([entry(fill(4))]) == 2
    assert run(cell, X, 1.0) == [4.0, 4.0]
    cell.publish([])
    with pytest.raises(RuntimeError):
        run(cell, X, 1.0)


def test_a_key_tells_dtypes_devices_and_absent_inputs_apart() -> None:
    keys = [
        key_of(device, dtypes)
        for device in (1, 2)
        for dtypes in ([F32], [I64], [None], [F32, F32], [(1, 64)], [(2, 64)], [(4, 16)], [(6, 8)])
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= byte < 256 for key in keys for byte in key)


@pytest.mark.parametrize(
    ("x", "w"),
    [
        (np.ones((2, 3), "f4"), np.ones(4, "f4")),
        (np.ones((), "f4"), np.ones(3, "f4")),
        (np.ones((2, 3), "f4"), np.ones((1, 3), "f4")),
        (np.ones((2, 3), "f8"), np.ones(3, "f8")),
    ],
)
def test_shapes_and_dtypes_that_do_not_fit_are_not_run(x: Array, w: Array) -> None:
    cell, calls = Cell(ROWS), []
    cell.publish([entry(lambda *a: calls.append(len(a)), key=key_of(CPU, [F32, F32]))])
    with pytest.raises(RuntimeError, match="OAG201"):
        cell.door(x, w, np.zeros_like(x))
    assert calls == []


def test_a_kernel_that_wants_contiguous_inputs_gets_no_others() -> None:
    cell = Cell(UNARY)
    cell.publish([entry(fill(1), flags=WANTS_CONTIGUOUS)])
    square = np.ones((2, 3), "f4")
    assert run(cell, square, 0.0) == [1.0] * 6
    with pytest.raises(RuntimeError):
        cell.door(square.T, 0.0, np.zeros((3, 2), "f4"))
    cell.publish([entry(fill(2))])
    cell.door(square.T, 0.0, np.zeros((3, 2), "f4"))


def test_while_slow_nothing_is_served_and_deltas_add_up() -> None:
    cell = Cell(UNARY)
    cell.publish([entry(fill(1))])
    for delta in (1, 1, -1):
        cell.slow(delta)
        with pytest.raises(RuntimeError):
            run(cell, X, 0.0)
    cell.slow(-1)
    assert run(cell, X, 0.0) == [1.0, 1.0]


def test_an_error_of_a_kernel_comes_through_and_leaves_the_table_whole() -> None:
    def fails(*_: object) -> None:
        raise ValueError("broken")

    cell = Cell(UNARY)
    cell.publish([entry(fails)])
    with pytest.raises(ValueError, match="broken"):
        run(cell, X, 0.0)
    cell.publish([entry(fill(1))])
    assert run(cell, X, 0.0) == [1.0, 1.0]


def test_a_counter_beyond_the_last_is_refused_and_the_table_stays() -> None:
    cell = Cell(UNARY)
    cell.publish([entry(fill(1))])
    for counter in (-1, MAX_KERNELS):
        with pytest.raises(ValueError, match="at most 64 kernels"):
            cell.publish([entry(fill(2), counter=counter)])
    assert run(cell, X, 0.0) == [1.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x T",
        "x T two",
        "x T 2 * 1 fast like 0 as 0",
        "x T 1 ? 1 fast like 0 as 0",
        "x T 1 [ s99 ] 1 fast like 0 as 0",
        "x T 1 * 1 fast like 1 as 0",
        "x T 1 [ s0",
        "x T 1 * 1 fast other 0 as 0",
        "x T 1 * 1 fast like 0 as 7",
    ],
)
def test_a_signature_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the signature cannot be read"):
        Cell(text)


def test_a_slow_signature_is_never_served() -> None:
    cell = Cell("x T 1 * 1 slow")
    cell.publish([entry(fill(1))])
    with pytest.raises(RuntimeError):
        cell.door(X, np.zeros(2, "f4"))


def test_an_unknown_cell_is_an_error_and_no_crash() -> None:
    cell = Cell(UNARY)
    for number in (-1, 10**9):
        cell.number = number
        with pytest.raises(ValueError, match="no operator cell"):
            cell.counts()


def test_tables_are_replaced_while_threads_call() -> None:
    cell, stop, seen = Cell(UNARY), threading.Event(), set()
    cell.publish([entry(fill(0))])

    def call() -> None:
        while not stop.is_set():
            seen.add(tuple(run(cell, X, 0.0)))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for value in range(1, 300):
        cell.publish([entry(fill(value))])
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {(float(v),) * 2 for v in range(300)}
    assert run(cell, X, 0.0) == [299.0] * 2


def test_the_core_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_NATIVE", "0")
    assert cells.unavailable() == "OPENAUTOGLM_NATIVE=0 turns it off"
    assert cells.library_path("liboag_nothing") is None
