"""The gradient of an operator in a worker is the one it has in the host, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch

from openautoglm.errors import KernelFailedError, TransformUnsupportedError
from openautoglm.ops import In, Operator, Out, RegisteredOperator
from openautoglm.ops.authoring import read_class
from openautoglm.plugins.operators import remote_operator
from openautoglm.testing import LocalRemote

if TYPE_CHECKING:
    from collections.abc import Sequence


class mix(Operator):  # noqa: N801 - the operator's name
    """Uses what a gradient can meet: a broadcast, an index, what may be absent, an attribute."""

    inputs: ClassVar[Sequence[In]] = (
        In("x"),
        In("w"),
        In("index", dtypes=("i64",)),
        In("bias", optional=True),
    )
    outputs: ClassVar[Sequence[Out]] = (Out("out", broadcast=("x", "w")),)

    def forward(self, x: Any, w: Any, index: Any, bias: Any = None, by: float = 2.0) -> Any:  # noqa: ANN401 - arrays
        y = x * w[index] * by
        return y if bias is None else y + bias

    def backward(self, g: Any, x: Any, w: Any, index: Any, by: float) -> Any:  # noqa: ANN401 - arrays
        of_w = torch.zeros_like(w).index_add(0, index, (g * x).reshape(-1, 3).sum(0) * by)
        return g * w[index] * by, of_w, None, g


class Named:
    point, contract = "operator", 1

    def __init__(self, name: str) -> None:
        self.name = name


def both(written: type[Operator]) -> tuple[Any, Any]:
    """Return an operator here, and the same in a worker."""
    here = RegisteredOperator(read_class(written))
    return here, remote_operator(LocalRemote("operator", here), Named(here.name))


def arguments() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    return x, w, torch.tensor([2, 0, 1])


@pytest.mark.parametrize("has_bias", [False, True])
def test_gradients_are_those_that_the_operator_has_in_the_host(*, has_bias: bool) -> None:
    here, there = both(mix)
    x, w, index = arguments()
    bias = (
        torch.randn(3, dtype=torch.float64, requires_grad=True).expand(4, 3) if has_bias else None
    )
    wanted = torch.autograd.grad(here(x, w, index, bias, by=3.0).pow(2).sum(), (x, w))
    found = torch.autograd.grad(there(x, w, index, bias, by=3.0).pow(2).sum(), (x, w))
    torch.testing.assert_close(found, wanted)
    assert torch.autograd.gradcheck(lambda x, w: there(x, w, index, bias), (x, w))


def test_no_gradient_is_recorded_where_none_is_wanted() -> None:
    _, there = both(mix)
    x, w, index = arguments()
    with torch.no_grad():
        assert not there(x, w, index).requires_grad
    assert not there(x.detach(), w.detach(), index).requires_grad


def test_a_compiled_call_has_the_gradient_too() -> None:
    here, there = both(mix)
    x, w, index = arguments()
    compiled = torch.compile(
        lambda x, w: there(x, w, index, by=3.0).pow(2).sum(), fullgraph=True, backend="aot_eager"
    )
    found = torch.autograd.grad(compiled(x, w), (x, w))
    wanted = torch.autograd.grad(here(x, w, index, by=3.0).pow(2).sum(), (x, w))
    torch.testing.assert_close(found, wanted)


def test_functional_transforms_have_it() -> None:
    here, there = both(mix)
    x, w, index = arguments()

    def gradients(operator: Any) -> Any:  # noqa: ANN401 - an operator
        one = torch.func.grad(lambda row: operator(row, w.detach(), index).pow(2).sum())
        return torch.func.vmap(one)(x.detach())

    torch.testing.assert_close(gradients(there), gradients(here))


def test_second_derivatives_are_refused_and_never_left_out() -> None:
    _, there = both(mix)
    x, w, index = arguments()
    (first,) = torch.autograd.grad(there(x, w, index).pow(2).sum(), x, create_graph=True)
    with pytest.raises(TransformUnsupportedError, match='isolation = "L0"'):
        first.sum().backward()


def test_no_gradient_is_a_gradient_of_zeros_in_a_worker() -> None:
    class half(Operator):  # noqa: N801 - the operator's name
        def forward(self, x: Any, y: Any) -> Any:  # noqa: ANN401 - arrays
            return x + y

        def backward(self, g: Any) -> Any:  # noqa: ANN401 - arrays
            return g, None

    _, there = both(half)
    x, y = (torch.ones(3, requires_grad=True) for _ in range(2))
    there(x, y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.tolist(), y.grad.tolist()) == ([1.0] * 3, [0.0] * 3)


def test_an_operator_without_a_gradient_says_so() -> None:
    class plain(Operator):  # noqa: N801 - the operator's name
        def forward(self, x: Any) -> Any:  # noqa: ANN401 - arrays
            return x * 2

    _, there = both(plain)
    with pytest.raises(TransformUnsupportedError, match="`plain` has no gradient"):
        there(torch.ones(3, requires_grad=True)).sum().backward()


def test_the_gradient_of_a_list_needs_the_hosts_process() -> None:
    class total(Operator):  # noqa: N801 - the operator's name
        inputs: ClassVar[Sequence[In]] = (In("xs", many=True, shape=("n",)),)
        outputs: ClassVar[Sequence[Out]] = (Out("out", shape=("n",)),)

        def forward(self, xs: Any) -> Any:  # noqa: ANN401 - arrays
            return sum(xs)

        def backward(self, g: Any, xs: Any) -> Any:  # noqa: ANN401 - arrays
            return [g for _ in xs]

    _, there = both(total)
    x = torch.ones(3, requires_grad=True)
    assert there([x, x]).tolist() == [2.0] * 3
    with pytest.raises(TransformUnsupportedError, match='isolation = "L0"'):
        there([x, x]).sum().backward()


@pytest.mark.parametrize(
    ("gradients", "said"), [(lambda g: (g, g), "2 gradients"), (lambda g: g[:2], "does not fit")]
)
def test_a_wrong_gradient_is_the_operators_mistake(gradients: Any, said: str) -> None:  # noqa: ANN401 - a backward
    class wrong(Operator):  # noqa: N801 - the operator's name
        def forward(self, x: Any) -> Any:  # noqa: ANN401 - arrays
            return x * 2

        def backward(self, g: Any) -> Any:  # noqa: ANN401 - arrays
            return gradients(g)

    _, there = both(wrong)
    with pytest.raises(KernelFailedError, match=said):
        there(torch.ones(3, requires_grad=True)).sum().backward()
