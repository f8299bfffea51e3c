from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError, OperatorDefinitionError, UnknownNameError
from openautoglm.native import cells
from openautoglm.ops import ArraySpec, RegisteredOperator

if TYPE_CHECKING:
    from collections.abc import Callable

NATIVE = pytest.mark.skipif(cells.unavailable() is not None, reason="there is no compiled core")
X = np.ones(3, "f4")


@pytest.mark.usefixtures("owned")
def test_an_operator_tells_what_it_is() -> None:
    op = ops.define("shown", inputs=[ops.In("x")], reference=lambda x: x, doc="Show it.")
    assert op.name == op.__name__ == "shown"
    assert repr(op).startswith("<operator shown(Tensor")
    assert "Show it." in str(op.__doc__)


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((X,), {}, "expected an array, got nothing"),
        ((X, X, 1.0, 2), {}, "takes at most 3 arguments"),
        ((X, X), {"beta": 1}, "has no argument `beta`"),
        ((X, X), {"y": X}, "by position and by name"),
        ((X, X, "a"), {}, "expected a float, got 'a'"),
    ],
)
def test_wrong_arguments_are_told_as_the_call_should_be(
    args: tuple[object, ...], kwargs: dict[str, object], problem: str
) -> None:
    fresh = RegisteredOperator(ops.get("add").opdef)
    with pytest.raises(OperatorArgumentError) as caught:
        fresh(*args, **kwargs)
    assert problem in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("count", "kwargs"), [(4, {}), (2, {"beta": 1}), (2, {"y": 1}), (1, {}), (2, {"alpha": "a"})]
)
def test_wrong_arguments_are_a_type_error_before_and_after_the_first_tensor(
    count: int, kwargs: dict[str, object]
) -> None:
    import torch

    fresh = RegisteredOperator(ops.get("add").opdef)
    for _ in range(2):
        with pytest.raises(TypeError):
            fresh(*(torch.ones(1) for _ in range(count)), **kwargs)
        fresh(torch.ones(1), torch.ones(1))


@pytest.mark.usefixtures("owned")
def test_a_backward_is_said_once_and_before_the_first_tensor() -> None:
    import torch

    op = ops.define("late", inputs=[ops.In("x")], reference=lambda x: x * 3)
    op.backward()(lambda g: g * 3)
    with pytest.raises(OperatorDefinitionError, match="part of its contract"):
        op.backward()(lambda g: g)
    plain = ops.define("plain", inputs=[ops.In("x")], reference=lambda x: x)
    plain(torch.ones(1))
    with pytest.raises(OperatorDefinitionError, match="part of its contract"):
        plain.backward()(lambda g: g)


@pytest.mark.usefixtures("owned")
def test_a_backward_takes_attributes_by_name_in_both_forms() -> None:
    import torch

    def reference(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return x * (2 * low + high)

    attrs = [ops.Attr("low", float), ops.Attr("high", float)]
    made = ops.define("in_function", inputs=[ops.In("x")], attrs=attrs, reference=reference)
    made.backward()(lambda g, high, low: g * (2 * low + high))

    class InClass(ops.Operator):
        def forward(self, x: torch.Tensor, low: float, high: float) -> torch.Tensor:
            return x * (2 * low + high)

        def backward(self, g: torch.Tensor, high: float, low: float) -> torch.Tensor:
            return g * (2 * low + high)

    for op in (made, ops.register(InClass)):
        x = torch.ones(1, requires_grad=True)
        op(x, 3.0, 5.0).sum().backward()
        assert x.grad is not None
        assert x.grad.item() == 11.0


@pytest.mark.usefixtures("owned")
def test_a_decorator_without_parentheses_is_told_how_it_is_written() -> None:
    op = ops.define("bare", inputs=[ops.In("x")], reference=lambda x: x)

    def function(*_: object) -> None: ...

    written_as: dict[str, Callable[..., object]] = {
        '@op.kernel("name")': op.kernel,
        "@op.backward()": op.backward,
    }
    for written, decorate in written_as.items():
        with pytest.raises(OperatorDefinitionError, match="without parentheses") as caught:
            decorate(function)
        assert caught.value.fix == f"write `{written}`"


@pytest.mark.usefixtures("owned")
def test_a_kernel_can_be_removed_and_the_reference_cannot() -> None:
    op = ops.define("shrinking", inputs=[ops.In("x")], reference=lambda x: x)
    op.kernel("two", priority=1)(lambda x, *, out: np.add(x, 1, out=out))
    assert op(X).tolist() == [2.0] * 3
    op.remove_kernel("two")
    assert op(X).tolist() == [1.0] * 3
    with pytest.raises(UnknownNameError, match="`shrinking` has no kernel `two`") as unknown:
        op.remove_kernel("two")
    assert unknown.value.got == "kernels: reference"
    with pytest.raises(OperatorDefinitionError, match="cannot be removed"):
        op.remove_kernel("reference")


def narrow(x: object, *, out: object) -> None:
    del x, out


def without_out(x: object, by: object) -> None:
    del x, by


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize(
    ("function", "fields", "problem"),
    [
        (narrow, {}, r"called with \(x, by, out=...\)\n  got: narrow: too many"),
        (without_out, {}, r"called with \(x, by, out=...\)\n  got: without_out: .*'out'"),
        (lambda *_, out: None, {"when": lambda x: True}, r"when: it is called with \(x, by\)"),  # noqa: ARG005 - never called
        (lambda *_, out: None, {"priority": "high"}, "priority is a whole number"),  # noqa: ARG005 - never called
        (3, {}, "function is a function\n  got: 3"),
    ],
)
def test_a_kernel_that_cannot_be_called_is_refused_when_it_is_registered(
    function: Callable[..., object], fields: dict[str, object], problem: str
) -> None:
    op = ops.define("strict", inputs=[ops.In("x")], attrs=[ops.Attr("by", float)])
    with pytest.raises(OperatorDefinitionError, match=problem) as caught:
        op.kernel("wrong", **fields)(function)  # type: ignore[arg-type] # what a caller may get wrong
    assert caught.value.fix
    assert op.table.kernels == ()


def test_outputs_can_be_asked_for_without_arrays() -> None:
    made = ops.get("rms_norm").infer(ArraySpec((7, 4), "bf16"), None)
    assert made == [ArraySpec((7, 4), "bf16")]


@NATIVE
def test_the_door_takes_what_a_kernel_takes_as_it_is_and_refuses_all_else() -> None:
    door, out = ops.get("add").door, np.empty(3, "f4")
    door(X, X, 2.0, out)
    assert out.tolist() == [3.0] * 3
    wrong: list[tuple[object, ...]] = [
        (X, X.astype("f8"), 2.0, out),
        (X, X, 2.0, np.empty(3)),
        (X, X, 2.0, np.empty(6, "f4")[::2]),
        (X.astype("i4"), X.astype("i4"), 2.0, out),
        ([1], X, 2.0, out),
        (X, X, 2.0, None),
    ]
    for arguments in wrong:
        with pytest.raises(RuntimeError, match="OAG201"):
            door(*arguments)
    with pytest.raises(TypeError, match="takes 4 arguments"):
        door(X, X)
    for arguments in [(X, np.ones(4, "f4"), 1.0, out), (X, X, 1.0, np.empty(4, "f4"))]:
        with pytest.raises(OperatorArgumentError, match="must broadcast"):
            door(*arguments)


@NATIVE
def test_the_door_is_closed_while_a_preference_needs_python() -> None:
    add, out = ops.get("add"), np.empty(3, "f4")
    with add.prefer("reference"), pytest.raises(RuntimeError, match="OAG201"):
        add.door(X, X, 1.0, out)
    add.door(X, X, 1.0, out)


def test_without_the_compiled_core_there_is_no_door() -> None:
    text = "from openautoglm import ops; ops.get('add').door"
    env = {"OPENAUTOGLM_NATIVE": "0"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, env=env, check=False)
    assert b"OAG203" in done.stderr


@pytest.mark.usefixtures("owned")
def test_kernels_may_come_and_go_while_threads_call() -> None:
    op = ops.define("busy", inputs=[ops.In("x")], reference=lambda x: x + 1)
    stop, results = threading.Event(), set()

    def call() -> None:
        while not stop.is_set():
            results.add(op(X).sum().item())

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        op.kernel("two", priority=1)(lambda x, *, out: np.add(x, 2, out=out))
        op.remove_kernel("two")
    stop.set()
    for thread in threads:
        thread.join()
    assert results <= {6.0, 9.0}
    assert 6.0 in results
