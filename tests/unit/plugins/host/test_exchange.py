"""What crosses between host and worker, and what does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import (
    BackendRequestError,
    NoKernelError,
    OpenAutoGLMError,
    PluginCallError,
    PluginCrashedError,
    PluginProtocolError,
    SharedTensorError,
    StepError,
)
from openautoglm.errors.passing import asked_wait_s, may_pass
from openautoglm.native.arena import MIB, Arena, lend, lend_for_writing
from openautoglm.native.mappings import Mappings
from openautoglm.plugins.host import frames
from openautoglm.plugins.host.exchange import Codec, Exchange
from openautoglm.plugins.host.frames import PACKET, Answer, Ask, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.native.segment import Segment


class Pair:
    """Both sides in one process."""

    def __init__(self, *, limit_bytes: int = 64 * MIB) -> None:
        self.host_arena = Arena(lend, limit_bytes=limit_bytes)
        self.worker_arena = Arena(self._grown, limit_bytes=limit_bytes)
        self.in_host = Mappings(writable=False)
        self.in_worker = Mappings(writable=False)
        host = Exchange(self.host_arena, self.in_host, lend=self._lend)
        worker = Exchange(self.worker_arena, self.in_worker)
        self.host, self.worker = Codec(host, Reply), Codec(worker, Request)
        self.exchange = host

    def _grown(self, number: int, size: int) -> Segment:
        segment = lend_for_writing(number, size)
        self.in_host.adopt(os.dup(segment.handle), number)
        return segment

    def _lend(self, number: int) -> None:
        if number not in self.in_worker:
            self.in_worker.adopt(os.dup(self.host_arena.segment(number).handle), number)

    def ask(self, *values: object) -> list[Any]:
        data = self.host.encode(Request(Ask.CALL, 1, "t", "m", list(values), {}, []))
        assert len(data) <= PACKET
        return self.worker.decode(data).args

    def answer(self, value: object) -> Any:  # noqa: ANN401 - what a plugin returned
        data = self.worker.encode(Reply(Answer.VALUE, 1, value, []))
        assert len(data) <= PACKET
        return self.host.decode(data).value


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(PLAIN)
def test_plain_values_cross_both_ways_as_they_are(value: object) -> None:
    pair = Pair()
    assert pair.ask(value) == [value]
    assert pair.answer(value) == value


@pytest.mark.parametrize("size", [0, 1, 7, 1024, 1025, 100_000])
@pytest.mark.parametrize("dtype", ["<f4", "|b1", "<i8", "<f2", "<c16"])
def test_arrays_cross_both_ways(size: int, dtype: str) -> None:
    pair = Pair()
    array = (np.arange(size) % 2).astype(dtype)
    (seen,) = pair.ask(array)
    assert seen.dtype == array.dtype
    assert np.array_equal(seen, array)
    assert np.array_equal(pair.answer(array), array)


def test_arrays_cross_inside_of_other_values() -> None:
    array = np.arange(10_000.0)
    (seen,) = Pair().ask({"rows": [array, array[:3], 5]})
    assert np.array_equal(seen["rows"][0], array)
    assert seen["rows"][1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("size", [3, 100_000])
def test_tensors_of_torch_come_as_tensors_of_torch(dtype: str, size: int) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones(size, dtype=getattr(torch, dtype))
    (seen,) = Pair().ask(tensor)
    assert seen.dtype == tensor.dtype
    assert torch.equal(seen, tensor)


def test_an_array_of_the_arena_is_not_copied_there_or_back() -> None:
    pair = Pair()
    array = pair.host_arena.empty(100_000)
    array[:] = 1
    (seen,) = pair.ask(array)
    array[5] = 7
    assert seen[5] == 7
    back = pair.answer(seen)
    back[6] = 8
    assert array[6] == 8
    assert pair.worker_arena.live == 0


def test_a_tensor_of_the_arena_comes_back_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    pair = Pair()
    array = pair.host_arena.empty(100_000)
    (seen,) = pair.ask(torch.from_numpy(array))
    back = pair.answer(seen[10:])
    assert back.data_ptr() == array[10:].ctypes.data


def test_slots_are_free_again_after_the_call() -> None:
    pair = Pair()
    pair.ask(np.zeros(100_000))
    assert pair.host_arena.live == 1  # until the worker's next frame says so
    pair.answer(None)
    assert pair.host_arena.live == 0
    value = pair.answer(np.zeros(100_000))
    assert pair.worker_arena.live == 1
    del value
    pair.ask(1)
    assert pair.worker_arena.live == 0


@pytest.mark.parametrize("make", [lambda n: b"x" * n, lambda n: "ü" * n, lambda n: [1] * n])
def test_large_messages_go_through_shared_memory(make: Callable[[int], object]) -> None:
    pair = Pair()
    value = make(3 * PACKET)
    assert pair.ask(value) == [value]
    assert pair.answer(value) == value
    pair.ask(None)
    assert pair.worker_arena.live == 0


@pytest.mark.parametrize(
    "value",
    [
        object(),
        lambda: 1,
        1 << 70,
        {1j: 2},
        np.array(["text"]),
        np.array([object()]),
        np.zeros(9_999, "U3"),
        [[object()]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_cross_is_refused_and_pins_nothing(value: object) -> None:
    pair = Pair()
    kept = pair.host_arena.empty(10_000)
    with pytest.raises((PluginProtocolError, SharedTensorError)):
        pair.ask(kept, value)
    del kept
    assert pair.host_arena.live == 0
    assert pair.ask(1) == [1]


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(PluginProtocolError):
        Pair().ask(value)


def test_no_room_is_an_error_of_that_call_alone() -> None:
    pair = Pair(limit_bytes=2 * MIB)
    with pytest.raises(SharedTensorError, match="no room"):
        pair.ask(np.zeros(4 * MIB, "u1"))
    assert pair.ask(np.ones(3000, "f4"))[0].sum() == 3000


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused_and_does_no_harm(data: bytes) -> None:
    pair = Pair()
    for codec in (pair.host, pair.worker):
        with pytest.raises((PluginProtocolError, SharedTensorError)):
            codec.decode(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_frame_is_refused_or_read_but_never_breaks(data: st.DataObject) -> None:
    pair = Pair()
    good = bytearray(pair.worker.encode(Reply(Answer.VALUE, 1, np.arange(2000.0), [(0, 1, 1)])))
    at: int = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    try:
        pair.host.decode(bytes(good))
    except (PluginProtocolError, SharedTensorError):
        assert pair.ask(1) == [1]


def test_a_dead_workers_pins_are_let_go() -> None:
    pair = Pair()
    pair.ask(np.zeros(100_000), np.zeros(100_000))
    assert pair.host_arena.live == 2
    pair.exchange.abandon()
    assert pair.host_arena.live == 0


def test_a_worker_can_let_go_only_of_what_it_has() -> None:
    pair = Pair()
    kept = pair.host_arena.empty(10)
    reference = pair.host_arena.reference(kept)
    assert reference is not None
    pair.host_arena.pin(reference.token)  # for another worker
    pair.exchange.let_go([reference.token] * 3)
    del kept
    assert pair.host_arena.live == 1


# errors


def crossed(error: BaseException) -> OpenAutoGLMError:
    return frames.error_of(frames.packed(frames.failure_of(error, "upper.py:3")), "`run` of `a`")


def test_an_error_of_the_house_comes_as_its_own_class() -> None:
    error = crossed(NoKernelError("no kernel", got=[1], fix="register one"))
    assert type(error) is NoKernelError
    assert str(error) == "[OAG201] no kernel\n  got: [1]\n  fix: register one"


def test_an_error_of_the_plugin_says_what_and_where() -> None:
    error = crossed(KeyError("x"))
    assert type(error) is PluginCallError
    assert "`run` of `a` raised" in str(error)
    assert "KeyError: 'x' (upper.py:3)" in str(error)


def test_a_plugin_cannot_say_what_only_the_host_says() -> None:
    assert type(crossed(PluginCrashedError("i am dead"))) is PluginCallError


def test_an_error_whose_text_raises_is_still_told() -> None:
    class Mute(Exception):  # noqa: N818 - the point is its text
        def __str__(self) -> str:
            raise RuntimeError

    assert "Mute: its text raised RuntimeError" in str(crossed(Mute()))


def test_a_malformed_failure_is_an_error_of_the_protocol() -> None:
    with pytest.raises(PluginProtocolError):
        frames.error_of({"code": 5}, "x")


@pytest.mark.parametrize(
    ("error", "passes", "wait_s"),
    [
        (BackendRequestError("busy", may_pass=True, wait_s=2.5), True, 2.5),
        (BackendRequestError("no such model"), False, 0.0),
        (ConnectionResetError("by peer"), True, 0.0),
        (TimeoutError(), True, 0.0),
        (KeyError("x"), False, 0.0),
    ],
)
def test_an_error_that_may_pass_may_pass_on_the_other_side_too(
    error: Exception,
    passes: bool,  # noqa: FBT001 - of the table
    wait_s: float,
) -> None:
    found = crossed(error)
    assert may_pass(found) is passes
    assert asked_wait_s(found) == wait_s
    assert may_pass(crossed(found)) is passes  # through one more process


def test_what_an_error_was_raised_from_is_judged_before_it_crosses() -> None:
    error = StepError("in step")
    error.__cause__ = BackendRequestError("busy", may_pass=True, wait_s=1.0)
    assert asked_wait_s(crossed(error)) == 1.0


def test_a_worker_that_says_nothing_of_passing_is_understood() -> None:
    old = ["OAG403", "in step", None, None, "StepError", ""]
    assert not may_pass(frames.error_of(frames.packed(old), "`run` of `a`"))
