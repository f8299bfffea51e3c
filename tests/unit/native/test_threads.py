"""The threads that kernels split their work over."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import KernelFailedError
from openautoglm.native import cells, ffi
from openautoglm.ops.library.linear import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.native.library import KernelLibrary

    Array = np.ndarray[Any, np.dtype[Any]]

pytestmark = pytest.mark.skipif(
    cells.unavailable() is not None, reason=f"no compiled core: {cells.unavailable()}"
)
BODY: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
RUN: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, BODY, ctypes.c_void_p)
TIMES: Final = 300


def parallel() -> Callable[..., None]:
    ops.get("linear")  # the core offers its threads when it is loaded
    pointer = ffi.load().get_global_func("openautoglm.parallel")()
    return RUN(pointer.value)


def ranges(count: int, least: int) -> list[tuple[int, int, int]]:
    """Return the ranges a run is cut into, each with the thread that took it."""
    found: list[tuple[int, int, int]] = []

    def body(_: object, begin: int, end: int) -> None:
        found.append((begin, end, threading.get_native_id()))

    parallel()(count, least, BODY(body), None)
    return sorted(found)


@pytest.fixture
def allow() -> Iterator[Callable[[int], int]]:
    ops.get("linear")
    allow = cells.core_function("threads_allow")
    before = allow(1)
    yield allow
    allow(before)


def covers(found: list[tuple[int, int, int]], count: int) -> bool:
    edges = [0, *(end for _, end, _ in found)]
    return edges[-1] == count and [begin for begin, _, _ in found] == edges[:-1]


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("count", "least"), [(1, 1), (7, 1), (64, 10), (1000, 1), (5, 100)])
def test_ranges_make_up_the_whole_once(
    threads: int, count: int, least: int, allow: Callable[[int], int]
) -> None:
    allow(threads)
    for _ in range(20):
        found = ranges(count, least)
        assert covers(found, count)
        assert len({thread for _, _, thread in found}) <= threads


def test_nothing_runs_for_no_work(allow: Callable[[int], int]) -> None:
    allow(4)
    assert ranges(0, 1) == []
    assert ranges(-3, 1) == []


def test_a_thread_that_allowed_nothing_works_alone(allow: Callable[[int], int]) -> None:
    allow(4)
    found: list[tuple[int, int, int]] = []
    other = threading.Thread(target=lambda: found.extend(ranges(100, 1)))
    other.start()
    other.join()
    assert len(found) == 1


def test_fewer_threads_are_used_after_more_were(allow: Callable[[int], int]) -> None:
    allow(8)
    ranges(1000, 1)
    allow(2)
    for _ in range(TIMES):
        assert len({thread for _, _, thread in ranges(100, 1)}) <= 2


def test_work_within_work_runs_whole_on_the_thread_that_asks(allow: Callable[[int], int]) -> None:
    allow(3)
    inner: list[tuple[int, int, int, int]] = []
    run = parallel()

    def body(_: object, begin: int, end: int) -> None:
        here = threading.get_native_id()

        def within(_: object, low: int, high: int) -> None:
            inner.append((begin, low, high, threading.get_native_id() == here))

        for _ in range(begin, end):
            run(50, 1, BODY(within), None)

    for _ in range(TIMES // 10):
        inner.clear()
        run(12, 1, BODY(body), None)
        assert len(inner) == 12
        assert all((low, high, same) == (0, 50, True) for _, low, high, same in inner)
    assert allow(1) == 3


def product() -> tuple[Callable[[], Array], Array]:
    """Return a multiplication large enough for threads, and its result on one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 256)).astype(np.float32)
    weight = pack(rng.standard_normal((640, 256)).astype(np.float32))
    linear = ops.get("linear").door

    def run() -> Array:
        out = np.zeros((8, 40, 16), np.float32)
        linear(x, weight, None, None, out)
        return out

    return run, run()


def test_many_calls_give_the_same_to_the_bit(allow: Callable[[int], int]) -> None:
    run, alone = product()
    for threads in (2, 3, 5):
        allow(threads)
        assert all(np.array_equal(run(), alone) for _ in range(TIMES))


def test_callers_on_several_threads_do_not_wait_for_each_other_or_mix(
    allow: Callable[[int], int],
) -> None:
    run, alone = product()
    right: list[int] = []

    def call() -> None:
        allow(3)
        right.append(sum(np.array_equal(run(), alone) for _ in range(TIMES)))

    callers = [threading.Thread(target=call) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert right == [TIMES] * 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(allow: Callable[[int], int]) -> None:
    run, alone = product()
    allow(3)
    run()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            is_right = all(np.array_equal(run(), alone) for _ in range(TIMES // 10))
            os._exit(0 if is_right else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert np.array_equal(run(), alone)


def test_a_call_that_fails_leaves_the_number_of_threads_as_it_was(
    allow: Callable[[int], int],
) -> None:
    allow(3)
    with pytest.raises(RuntimeError, match="no native kernel"):
        ops.get("linear").door(np.zeros((2, 4), np.float32), None, None, None, None)
    assert allow(1) == 3


THROWS: Final = """
#include <openautoglm/op.h>
#include <openautoglm/parallel.h>
using namespace openautoglm;
struct Throws {
  static void forward(TensorView touched, int64_t from) {
    float* to = touched.data<float>();
    ParallelFor(touched.numel(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = 1;
      if (end > from) throw std::runtime_error("no room for range");
    });
  }
};
REGISTER_KERNEL(throws_in_threads, Throws, CPU, F32);
"""


@pytest.mark.parametrize("threads", [1, 4])
def test_what_a_body_throws_comes_back_once_all_ranges_have_ended(
    threads: int, allow: Callable[[int], int], opened: Callable[..., KernelLibrary]
) -> None:
    library = opened(throws_cc=THROWS)
    kernel = library.function(library.kernels[0].symbol)
    run, alone = product()
    allow(threads)
    for _ in range(TIMES // 10):
        touched = np.zeros(100, np.float32)
        with pytest.raises(KernelFailedError, match="no room for range"):
            kernel(touched, 50)
        assert touched.all()
        kernel(touched, 100)
        assert np.array_equal(run(), alone)
    assert allow(1) == threads


def test_numbers_out_of_range_are_brought_into_it(allow: Callable[[int], int]) -> None:
    allow(-5)
    assert allow(10**6) == 1
    assert allow(1) == 256
