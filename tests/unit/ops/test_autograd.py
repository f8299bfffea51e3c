from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from openautoglm import ops
from openautoglm.errors import KernelFailedError, TransformUnsupportedError
from openautoglm.ops.autograd import eager_function, transformed_function
from openautoglm.ops.opdef import Backward, OpDef

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_a_backward_keeps_comes_in_the_order_it_names() -> None:
    seen: list[tuple[Any, ...]] = []

    def backward(*arguments: object) -> object:
        seen.append(arguments)
        return arguments[0], None

    opdef = OpDef.from_schema(
        "op(Tensor x, Tensor y, float a=2.0, int n=3) -> Tensor z",
        backward=Backward(backward, save=("z", "y", "x")),
    )
    apply = eager_function(opdef, lambda x, y, *_: x + y)
    x, y = torch.ones(1, requires_grad=True), torch.tensor([5.0])
    apply(x, y, 7.0).sum().backward()
    grad, z, kept_y, kept_x, *attrs = seen[0]
    assert [t.item() for t in (grad, z, kept_y, kept_x)] == [1.0, 6.0, 5.0, 1.0]
    assert attrs == [7.0, 3]


def test_an_output_that_was_changed_in_place_is_seen() -> None:
    opdef = OpDef.from_schema(
        "op(Tensor x) -> Tensor z", backward=Backward(lambda g, z: g * z, save=("z",))
    )
    out = eager_function(opdef, torch.exp)(torch.ones(1, requires_grad=True))
    out.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def differentiated(backward: Callable[..., object]) -> torch.Tensor:
    """Return the gradient by `x` of an operator that takes one tensor and may take another."""
    opdef = OpDef.from_schema("op(Tensor x, Tensor? b, float a=2.0) -> Tensor z")
    made = replace(opdef, backward=Backward(lambda g, _: backward(g)))
    x = torch.ones(2, 3, requires_grad=True)
    eager_function(made, lambda x, *_: x * 2)(x, None).sum().backward()
    assert x.grad is not None
    return x.grad


def test_the_gradient_of_an_absent_input_is_left_out() -> None:
    assert differentiated(lambda g: (g * 2, g)).tolist() == [[2.0] * 3] * 2


def test_a_gradient_that_sums_up_to_its_input_is_taken() -> None:
    assert differentiated(lambda g: (g.expand(4, 2, 3), None)).tolist() == [[4.0] * 3] * 2


@pytest.mark.parametrize(
    ("backward", "problem", "got"),
    [
        (lambda g: (g[:1, :2], None), "the gradient of `x` has a wrong shape", "(1, 2), the input"),
        (lambda g: (g[0], None), "the gradient of `x` has a wrong shape", "(3,), the input has"),
        (lambda _: (1.0, None), "the gradient of `x` is no tensor", "float"),
        (lambda g: g, "returned 1 gradients", "2 inputs"),
    ],
)
def test_a_gradient_that_is_none_is_told_as_the_operators(
    backward: Callable[..., object], problem: str, got: str
) -> None:
    with pytest.raises(KernelFailedError, match="backward of `op`") as caught:
        differentiated(backward)
    assert problem in caught.value.problem
    assert got in str(caught.value.got)
    assert caught.value.fix


def test_an_error_inside_a_backward_is_told_with_its_cause() -> None:
    def lost(_: object) -> object:
        raise LookupError("lost")

    def refused(_: object) -> object:
        raise TransformUnsupportedError("ours")

    with pytest.raises(KernelFailedError, match="backward of `op` failed") as caught:
        differentiated(lost)
    assert caught.value.got == "LookupError: lost"
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(TransformUnsupportedError, match="ours"):
        differentiated(refused)


@pytest.mark.parametrize("way", [transformed_function, eager_function])
def test_an_absent_input_has_no_gradient_in_any_way_of_calling(way: Callable[..., Any]) -> None:
    opdef = OpDef.from_schema(
        "op(Tensor x, Tensor? b) -> Tensor z", backward=Backward(lambda g: (g * 2, g))
    )
    apply, x = way(opdef, lambda x, *_: x * 2), torch.ones(2, requires_grad=True)
    assert torch.autograd.grad(apply(x, None).sum(), x)[0].tolist() == [2.0, 2.0]


@pytest.mark.usefixtures("owned")
def test_an_absent_input_has_no_gradient_in_a_graph() -> None:
    op = ops.define(
        "may_add",
        inputs=[ops.In("x"), ops.In("b", optional=True)],
        outputs=[ops.Out("z", like="x")],
        reference=lambda x, b: x * 2 if b is None else x * 2 + b,
        backward=Backward(lambda g: (g * 2, g)),
    )
    x = torch.ones(2, requires_grad=True)
    graph = torch.compile(lambda x: op(x, None).sum(), backend="aot_eager", fullgraph=True)
    assert torch.autograd.grad(graph(x), x)[0].tolist() == [2.0, 2.0]
