"""Gradients of any order, in eager calls and in graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from openautoglm import ops
from openautoglm.errors import KernelFailedError, TransformUnsupportedError
from openautoglm.ops import Backward

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from openautoglm.ops.registered import RegisteredOperator

    Define = Callable[..., RegisteredOperator]
    CopyOf = Callable[[str], RegisteredOperator]

MUL = "times(Tensor x, Tensor y, float scale=1.0) -> Tensor"


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def in_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    made: Callable[..., Any] = torch.compile(function, backend="aot_eager", fullgraph=True)
    return made


def times(define: Define) -> RegisteredOperator:
    def backward(g: Tensor, x: Tensor, y: Tensor, scale: float) -> tuple[Tensor, ...]:
        return op(g, y, scale), op(g, x, scale)

    op = define(
        MUL,
        reference=lambda x, y, scale: x * y * scale,
        backward=Backward(backward, save=("x", "y")),
    )
    return op


@pytest.mark.parametrize("name", ["rms_norm", "bias_gelu", "scale_add"])
def test_built_in_gradients_are_right_to_the_second_order(copy_of: CopyOf, name: str) -> None:
    op = copy_of(name)
    vectors = {"rms_norm": (5,), "bias_gelu": (5,)}
    inputs = [doubles(3, 5), doubles(*vectors.get(name, (3, 5)), seed=1)]
    inputs += [doubles(3, 5, seed=2)] * (len(op.opdef.inputs) - 2)
    assert gradcheck(op, inputs)
    assert gradgradcheck(op, inputs)


def test_first_and_second_derivatives_are_right_in_eager_calls_and_by_the_public_operator(
    define: Define, public_of: Callable[..., Any]
) -> None:
    op = times(define)
    inputs = (doubles(2, 3), doubles(2, 3, seed=1))
    public = public_of(op, *inputs)
    assert gradcheck(lambda x, y: op(x, y, 3.0), inputs)
    assert gradgradcheck(lambda x, y: op(x, y, 3.0), inputs)
    assert gradgradcheck(lambda x, y: public(x, y, 3.0), inputs)


def test_a_graph_has_the_gradient_of_an_eager_call(define: Define) -> None:
    op = times(define)

    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return op(x * 2, y, 3.0).pow(2).sum()

    found = []
    for run in (function, in_graph(function)):
        x, y = doubles(2, 3), doubles(2, 3, seed=1)
        run(x, y).backward()
        found.append((x.grad, y.grad))
    torch.testing.assert_close(found[0], found[1])


def test_expanded_gradients_and_broadcast_inputs_are_taken(loaded: ops.LoadedLibrary) -> None:
    del loaded
    add, x, y = ops.get("add"), torch.ones(3, 4, requires_grad=True), torch.ones(4)
    y.requires_grad_()
    add(x, y, alpha=2.0).sum().backward()  # the gradient has strides of 0
    assert torch.equal(x.grad, torch.ones(3, 4))
    assert torch.equal(y.grad, torch.full((4,), 6.0))
    norm, z = ops.get("rms_norm"), torch.randn(3, 4, requires_grad=True)
    norm(z).sum().backward()
    expected = torch.autograd.grad(torch.nn.functional.rms_norm(z, (4,), eps=1e-6).sum(), z)[0]
    torch.testing.assert_close(z.grad, expected)


def test_only_inputs_that_need_a_gradient_get_one(define: Define) -> None:
    op, x, y = times(define), doubles(2), doubles(2).detach()
    out = op(x, y)
    out.sum().backward()
    assert torch.equal(x.grad, y)
    assert y.grad is None
    assert not op(x.detach(), y).requires_grad
    with torch.no_grad():
        assert not op(x, y).requires_grad
    with torch.inference_mode():
        assert op(x, y).is_inference()


def test_optional_integer_and_several_outputs_have_their_gradients(define: Define) -> None:
    def reference(x: Tensor, index: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        picked = x[index]
        return (picked if weight is None else picked * weight), index + 1

    def backward(g: Tensor, _: Tensor, x: Tensor, index: Tensor, weight: Tensor) -> object:
        spread = torch.zeros_like(x).index_add(0, index, g if weight is None else g * weight)
        return spread, None, None if weight is None else g * x[index]

    op = define(
        "pick",
        inputs=[
            ops.In("x", shape=("n",)),
            ops.In("index", dtypes=("i64",), shape=("m",)),
            ops.In("weight", shape=("m",), optional=True),
        ],
        outputs=[ops.Out("y", shape=("m",)), ops.Out("z", shape=("m",), dtype="i64")],
        reference=reference,
        backward=Backward(backward, save=("x", "index", "weight")),
    )
    x, index, weight = doubles(4), torch.tensor([1, 1, 3]), doubles(3, seed=1)
    assert gradcheck(lambda x, w: op(x, index, w)[0], (x, weight))
    assert gradcheck(lambda x: op(x, index)[0], (x,))
    y, z = in_graph(lambda x: op(x, index))(x)
    assert z.tolist() == [2, 2, 4]
    assert not z.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [0, 2, 0, 1]


def test_lists_have_a_gradient_for_each_tensor(define: Define) -> None:
    op = define(
        "stack_sum(Tensor[] xs, Tensor y) -> Tensor",
        reference=lambda xs, y: sum(xs[1:], xs[0]) * y,
        backward=Backward(
            lambda g, xs, y: ([g * y for _ in xs], g * sum(xs[1:], xs[0])), save=("xs", "y")
        ),
    )
    inputs = (doubles(2), doubles(2, seed=1), doubles(2, seed=2))
    assert gradcheck(lambda a, b, y: op([a, b, a], y), inputs)
    run = in_graph(lambda a, b, y: op([a, b], y).sum())
    expected = torch.autograd.grad(op(list(inputs[:2]), inputs[2]).sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad(run(*inputs), inputs), expected)


def test_a_saved_output_and_chosen_attributes_reach_the_backward(define: Define) -> None:
    op = define("root(Tensor x) -> Tensor y", reference=lambda x: x**0.5)
    op.backward()(lambda g, y: g / (2 * y))
    assert gradcheck(op, (doubles(3).detach().abs().add(1).requires_grad_(),))


def test_without_a_backward_a_gradient_is_refused_and_never_left_out(define: Define) -> None:
    op, x = define("one_way(Tensor x) -> Tensor", reference=lambda x: x * 2), doubles(2)
    with pytest.raises(TransformUnsupportedError, match="`one_way` has no gradient"):
        op(x).sum().backward()
    with pytest.raises(Exception, match="`one_way` has no gradient"):
        in_graph(op)(x)
    assert torch.equal(in_graph(op)(x.detach()), x.detach() * 2)


def test_a_backward_that_returns_too_few_gradients_is_named(define: Define) -> None:
    op = define(MUL, reference=lambda x, y, scale: x * y * scale, backward=Backward(lambda g, _: g))
    x = doubles(2)
    with pytest.raises(KernelFailedError, match="returned 1 gradients"):
        op(x, x).sum().backward()


def test_a_backward_in_plain_tensors_that_forgets_a_term_is_seen_by_gradgradcheck(
    define: Define,
) -> None:
    op = define(
        MUL,
        reference=lambda x, y, scale: x * y * scale,
        backward=Backward(
            lambda g, x, y, scale: (g * y.detach() * scale, g * x.detach() * scale),
            save=("x", "y"),
        ),
    )
    inputs = (doubles(2), doubles(2, seed=1))
    assert gradcheck(op, inputs)
    with pytest.raises(RuntimeError, match=r"Jacobian mismatch|requires_grad"):
        gradgradcheck(op, inputs)


def summed(define: Define, kind: Callable[[list[Tensor]], object]) -> RegisteredOperator:
    op = define(
        "summed",
        inputs=[ops.In("xs", many=True)],
        outputs=[ops.Out("y", broadcast=("xs",))],
        reference=lambda xs: sum(xs[1:], xs[0]),
    )
    op.backward()(lambda g, xs: kind([g * (i + 1) for i in range(len(xs))]))
    return op


@pytest.mark.parametrize(
    "kind", [list, tuple, lambda grads: (grads,), lambda grads: [tuple(grads)]]
)
def test_the_gradients_of_a_list_come_alone_or_in_a_tuple(
    define: Define, kind: Callable[[list[Tensor]], object]
) -> None:
    op = summed(define, kind)
    for call in (op, in_graph(op)):
        x, y = (torch.ones(2, requires_grad=True) for _ in "xy")
        call([x, y]).sum().backward()
        call([y]).sum().backward()
        assert (x.grad, y.grad) != (None, None)
        assert [x.grad.tolist(), y.grad.tolist()] == [[1.0, 1.0], [3.0, 3.0]]


def test_a_list_may_have_no_gradient_or_one_that_is_refused_in_words(define: Define) -> None:
    x = torch.ones(2, requires_grad=True)
    (summed(define, lambda _: None)([x, x]) + x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    ops.remove("summed")
    for made, got in [(lambda grads: grads[:1], "list of 1"), (lambda _: [(3,)], "tuple of 1")]:
        with pytest.raises(KernelFailedError, match="gradient of `xs` is no list of 2") as caught:
            summed(define, made)([x, x]).sum().backward()
        assert caught.value.got == got
        ops.remove("summed")
    op = define("two", inputs=[ops.In("xs", many=True), ops.In("y")], reference=lambda _, y: y * 1)
    op.backward()(lambda g, y: (3, g * y))
    with pytest.raises(KernelFailedError, match="no list of 1") as caught:
        op([x], x).sum().backward()
    assert caught.value.got == "int"
