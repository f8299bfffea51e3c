"""Operators under torch.func: reverse mode and vmap are right, forward mode is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.autograd import forward_ad

from openautoglm.errors import TransformUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.ops.registered import RegisteredOperator

    CopyOf = Callable[[str], RegisteredOperator]
    Define = Callable[..., RegisteredOperator]


def norm_of(x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    return torch.nn.functional.rms_norm(x, x.shape[-1:], weight, eps=1e-6)


def test_vmap_is_a_loop_over_slices_along_any_dimension(copy_of: CopyOf) -> None:
    norm, x, weight = copy_of("rms_norm"), torch.randn(3, 4, 5), torch.randn(5)
    expected = norm_of(x, weight)
    over = torch.vmap
    torch.testing.assert_close(over(norm, in_dims=(0, None))(x, weight), expected)
    torch.testing.assert_close(over(norm, in_dims=(1, None), out_dims=1)(x, weight), expected)
    weights = torch.randn(3, 5)
    torch.testing.assert_close(over(norm)(x, weights), norm_of(x) * weights[:, None])
    torch.testing.assert_close(over(over(norm))(x), norm_of(x))
    assert over(norm)(x[:0]).shape == (0, 4, 5)


def test_vmap_gives_every_output_its_dimension(copy_of: CopyOf) -> None:
    backward, x = copy_of("rms_norm_backward"), torch.randn(3, 4, 5)
    grad_x, grad_weight = torch.vmap(backward)(x, x)
    assert (grad_x.shape, grad_weight.shape) == ((3, 4, 5), (3, 5))
    none = torch.vmap(backward)(x[:0], x[:0])
    assert [out.shape for out in none] == [(0, 4, 5), (0, 5)]


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: torch.func.grad(lambda a: f(a).pow(3).sum())(x),
        lambda f, x: torch.func.vjp(f, x)[1](torch.ones_like(x))[0],
        lambda f, x: torch.func.jacrev(f)(x[0]),
        lambda f, x: torch.vmap(torch.func.grad(lambda a: f(a).pow(3).sum()))(x),
        lambda f, x: torch.func.grad(
            lambda a: torch.func.grad(lambda b: f(b).pow(3).sum())(a).pow(2).sum()
        )(x),
        lambda f, x: torch.func.jacrev(torch.func.jacrev(lambda a: f(a).sum()))(x[0]),
    ],
    ids=["grad", "vjp", "jacrev", "vmap of grad", "grad of grad", "jacrev of jacrev"],
)
def test_reverse_mode_is_right(copy_of: CopyOf, transform: Callable[..., Any]) -> None:
    norm, x = copy_of("rms_norm"), torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(transform(norm, x), transform(norm_of, x))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own first jvp
def test_forward_mode_is_refused_by_name(copy_of: CopyOf) -> None:
    norm, x = copy_of("rms_norm"), torch.randn(5)
    forward: list[Callable[[], object]] = [
        lambda: torch.func.jvp(norm, (x,), (x,)),
        lambda: torch.func.jacfwd(norm)(x),
        lambda: torch.func.hessian(lambda a: norm(a).sum())(x),
    ]
    for run in forward:
        with pytest.raises(TransformUnsupportedError, match="no forward-mode derivative"):
            run()
    with forward_ad.dual_level():
        with pytest.raises(TransformUnsupportedError, match="use reverse mode"):
            norm(forward_ad.make_dual(x, x))
        torch.testing.assert_close(norm(x), norm_of(x))


def test_transforms_of_list_inputs_are_refused_by_name(define: Define) -> None:
    op = define("listed(Tensor[] xs) -> Tensor", reference=lambda xs: xs[0] * 2)
    x = torch.ones(2, 2)
    with pytest.raises(TransformUnsupportedError, match="list of arrays"):
        torch.vmap(lambda a: op([a]))(x)
    with pytest.raises(TransformUnsupportedError, match="list of arrays"):
        torch.func.grad(lambda a: op([a]).sum())(x)
