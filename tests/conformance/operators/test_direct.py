"""Which calls may leave out Python and torch's dispatcher, and that nobody can tell.

On the other sides the same calls are made the same way as ever, so the suite holds all of them.
"""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from openautoglm import ops
from openautoglm.errors import KernelFailedError, OperatorArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import FrameType

    from openautoglm.ops.registered import RegisteredOperator

CopyOf: TypeAlias = "Callable[[str], RegisteredOperator]"
X, Y = torch.arange(6.0).reshape(2, 3), torch.full((2, 3), 0.5)


def frames_of(call: Callable[[], object]) -> list[str]:
    """Return the names of the Python functions that a call enters, its own left out."""
    seen: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event == "call":
            seen.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [name for name in seen if name != "<lambda>"]


def is_direct(call: Callable[[], object]) -> bool:
    return frames_of(call) == []


class Seen(TorchDispatchMode):  # type: ignore[misc] # torch has no types here
    """Notes what torch's dispatcher is asked."""

    names: tuple[str, ...] = ()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        del types
        self.names += (func.name(),)
        return func(*args, **(kwargs or {}))


class Heard(TorchFunctionMode):  # type: ignore[misc] # torch has no types here
    """Notes what torch's functions are called."""

    names: tuple[str, ...] = ()

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        del types
        self.names += (str(func),)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def add(copy_of: CopyOf) -> RegisteredOperator:
    made = copy_of("add")
    made(X, Y)
    made(X.numpy(), Y.numpy())
    return made


def test_plain_calls_enter_no_python_where_the_core_can(add: RegisteredOperator, side: str) -> None:
    base, pair = torch.arange(24.0).reshape(4, 6), np.ones(2, "f4")
    calls: list[Callable[[], object]] = [
        lambda: add(X, Y),
        lambda: add(X, Y, 2),
        lambda: add(y=Y, x=X, alpha=2.5),
        lambda: add(base.T[::2], base[0, :4]),
        lambda: add(base[:0], base[0]),
        lambda: add(torch.tensor(1.0), X),
        lambda: add(X.numpy(), Y.numpy(), alpha=2.5),
        lambda: add(X.numpy().T[::-1], pair),
    ]
    for call in calls:
        call()
        assert is_direct(call) == (side == "direct calls")


@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, contextlib.nullcontext],
    ids=["no_grad", "inference_mode", "plain"],
)
def test_what_a_call_makes_is_what_torch_makes(
    add: RegisteredOperator, side: str, context: Callable[[], AbstractContextManager[None]]
) -> None:
    with torch.inference_mode():
        inferred = torch.ones(2, 3)
    with context():
        for x in (X, torch.nn.Parameter(X), X.clone().requires_grad_(), inferred):
            out, expected = add(x, Y), torch.add(x, Y)
            assert torch.equal(out, expected)
            assert type(out) is torch.Tensor
            for fact in ("requires_grad", "is_leaf", "dtype", "device", "layout"):
                assert getattr(out, fact) == getattr(expected, fact)
            assert out.is_inference() == expected.is_inference()
            assert (out.stride(), out.storage_offset()) == (expected.stride(), 0)
            assert (out.grad_fn is None) == (expected.grad_fn is None)
            assert out.is_inference() or out._version == 0
            records = x.requires_grad and torch.is_grad_enabled() and not x.is_inference()
            assert is_direct(partial(add, x, Y)) == (side == "direct calls" and not records)
    out = add(X, Y)
    assert out.untyped_storage().resizable()
    assert out.resize_(100).shape == (100,)


def test_views_gradients_and_subclasses_go_on_through_torch(add: RegisteredOperator) -> None:
    class Marked(torch.Tensor):  # type: ignore[misc] # torch has no types here
        pass

    leaf = X.clone().requires_grad_()
    negated = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    named = torch.ones(2, 3).as_subclass(Marked)
    functional = torch._to_functional_tensor(torch.ones(2, 3))
    for values in [(leaf, Y), (X, leaf), (named, Y), (negated, negated), (functional, Y)]:
        assert not is_direct(partial(add, *values))
    assert add(leaf, Y).grad_fn is not None
    assert type(add(named, Y)) is Marked
    assert add(negated, negated).tolist() == [-4.0, 8.0]
    assert torch._is_functional_tensor(add(functional, Y))
    assert torch.equal(add(torch._efficientzerotensor(2, 3), Y), Y)


@pytest.mark.parametrize(
    "x", [X.to_sparse(), X.to("meta"), X.to(torch.cfloat), torch.ones(2, 3, dtype=torch.int32)]
)
def test_what_is_no_plain_tensor_is_refused_or_served_as_ever(
    add: RegisteredOperator, x: torch.Tensor
) -> None:
    def outcome(call: Callable[..., Any]) -> object:
        try:
            return call(x, Y).device
        except (OperatorArgumentError, RuntimeError, NotImplementedError) as error:
            return type(error), str(error)

    front: Callable[..., Any] = type(add).__call__
    assert outcome(add) == outcome(lambda *args: front(add, *args))


def test_modes_of_torch_see_every_call(add: RegisteredOperator) -> None:
    with Seen() as seen:
        add(X, Y)
    assert any(name.startswith("oag::_add") for name in seen.names)
    with Heard() as heard:
        add(X, Y)
    assert any(name.startswith("oag._add") for name in heard.names)
    with torch.device("meta"):
        assert add(X, Y).device.type == "cpu"
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert type(add(X, Y)).__name__ == "FakeTensor"


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch's own farewell to it
def test_profilers_and_tracers_see_every_call(add: RegisteredOperator) -> None:
    for profile in (torch.profiler.profile, torch.autograd.profiler.profile):
        with profile() as seen:
            add(X, Y)
        assert any(event.key.startswith("oag::_add") for event in seen.key_averages())
    traced = torch.jit.trace(lambda x, y: add(x, y, 2.0), (X, Y))
    assert "oag::_add" in str(traced.graph)


def test_autocast_and_transforms_keep_their_say(add: RegisteredOperator) -> None:
    half = X.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert add(half, Y).dtype == torch.float32
        assert not is_direct(lambda: add(X, Y))
    assert torch.equal(torch.vmap(add)(X, Y), X + Y)
    assert torch.equal(torch.func.grad(lambda x: add(x, Y).sum())(X), torch.ones_like(X))
    with forward_ad.dual_level():
        assert not is_direct(lambda: add(X, Y))


def test_settings_of_one_thread_do_not_hold_in_another(add: RegisteredOperator, side: str) -> None:
    import threading

    found: list[bool] = []
    with Seen():
        thread = threading.Thread(target=lambda: found.append(is_direct(lambda: add(X, Y))))
        thread.start()
        thread.join()
        assert not is_direct(lambda: add(X, Y))
    assert found == [side == "direct calls"]
    assert is_direct(lambda: add(X, Y)) == (side == "direct calls")


def test_preferences_watchers_and_predicates_keep_their_say(
    loaded: ops.LoadedLibrary, side: str
) -> None:
    del loaded
    tagged, x = ops.get("tagged"), np.zeros(2, "f4")
    runs: list[ops.KernelRun] = []
    tagged(x)
    assert is_direct(lambda: tagged(x)) == (side == "direct calls")
    with ops.watching(runs.append):
        tagged(x)
    assert [run.kernel for run in runs] == ["tagged"]
    tagged.kernel("other")(lambda *_, out: out.fill(5))
    with tagged.prefer("other"):
        assert tagged(x).tolist() == [5.0, 5.0]
    before = tagged.counts()["tagged"]
    assert (tagged(x).tolist(), tagged.counts()["tagged"]) == ([1.0, 1.0], before + 1)
    tagged.kernel("big", priority=9, when=lambda x, scale: x.size > 2 * scale)(
        lambda *_, out: out.fill(9)
    )
    assert (tagged(x).tolist(), tagged(np.zeros(3, "f4")).tolist()) == ([1.0] * 2, [9.0] * 3)


def test_an_error_of_a_kernel_is_the_same_on_every_side(loaded: ops.LoadedLibrary) -> None:
    del loaded
    tagged = ops.get("tagged")
    for seven in (torch.ones(7), np.ones(7, "f4")):
        for _ in range(2):
            with pytest.raises(OperatorArgumentError, match="seven elements") as caught:
                tagged(seven)
            assert caught.value.got == "7"
    assert tagged(torch.ones(6)).sum() == tagged(np.ones(6, "f4")).sum() == 12
    assert not issubclass(OperatorArgumentError, KernelFailedError)


WRONG: list[tuple[tuple[object, ...], dict[str, object], str]] = [
    ((X, Y, 1.0, 2.0), {}, "takes at most 3 arguments"),
    ((X, Y), {"beta": 1.0}, "has no argument `beta`"),
    ((X, Y), {"x": X}, "it by position and by name"),
    ((X, Y, 1.0), {"alpha": 1.0}, "it by position and by name"),
    ((X,), {}, "`y` of `add`: expected an array, got nothing"),
    ((), {}, "`x` of `add`: expected an array, got nothing"),
    ((X, Y, "1"), {}, "`alpha` of `add`: expected a float"),
    ((X, Y), {"alpha": True}, "`alpha` of `add`: expected a float"),
]


@pytest.mark.parametrize(("args", "named", "problem"), WRONG)
def test_a_wrong_call_is_one_error_before_and_after_torch_knows_the_operator(
    copy_of: CopyOf, args: tuple[object, ...], named: dict[str, object], problem: str
) -> None:
    add = copy_of("add")
    as_numpy = tuple(v.numpy() if isinstance(v, torch.Tensor) else v for v in args)
    for given in (as_numpy, args, args, as_numpy):
        with pytest.raises(OperatorArgumentError) as caught:
            add(*given, **named)
        assert isinstance(caught.value, TypeError)
        assert problem in str(caught.value)
        assert caught.value.fix
        add(X, Y)
