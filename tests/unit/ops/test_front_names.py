"""What stands behind the generated front: its names, its order of checks, its way into graphs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError, TransformUnsupportedError
from openautoglm.ops import Attr, In

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.ops import RegisteredOperator


@pytest.fixture
def product() -> Iterator[RegisteredOperator]:
    made = ops.define(
        "front_product",
        inputs=[In("x"), In("y")],
        attrs=[Attr("scale", float, 1.0, low=0.0)],
        reference=lambda x, y, scale: x * y * scale,
    )
    made.backward()(lambda g, x, y, scale: (made(g, y, scale), made(g, x, scale)))
    yield made
    ops.remove("front_product")


def test_attributes_may_have_the_names_that_the_front_is_made_of() -> None:
    names = ["a", "default_a", "read_a", "raw", "cast", "transforming", "is_compiling", "unusual"]
    made = ops.define(
        "front_names",
        inputs=[In("x")],
        attrs=[Attr(name, float, float(i)) for i, name in enumerate(names)],
        reference=lambda x, *values: x * 0 + sum(values),
    )
    try:
        given = dict.fromkeys(names, 10.0)
        assert made(torch.ones(1), **given).item() == 80.0
        assert made(torch.ones(1)).item() == sum(range(8))
        assert made(torch.ones(1), 3.0, 3.0).item() == sum(range(2, 8)) + 6.0
    finally:
        ops.remove("front_names")


def test_operators_whose_torch_names_would_meet_live_side_by_side() -> None:
    first = ops.define("front_twice", inputs=[In("x")], reference=lambda x: x * 2)
    second = ops.define("slow_front_twice", inputs=[In("x")], reference=lambda x: x * 4)
    third = ops.define("_front_twice", inputs=[In("x")], reference=lambda x: x * 8)
    try:
        found = [made(torch.ones(1)).item() for made in (first, second, third)]
        assert found == [2.0, 4.0, 8.0]
    finally:
        for name in ("front_twice", "slow_front_twice", "_front_twice"):
            ops.remove(name)


def test_a_transform_does_not_pass_by_the_checks(product: RegisteredOperator) -> None:
    x = torch.ones(2, 3)
    with pytest.raises(OperatorArgumentError, match="scale"):
        torch.vmap(lambda a: product(a, a, scale=-1.0))(x)
    with pytest.raises(OperatorArgumentError, match="broadcasts"):
        torch.vmap(lambda a: product(a, torch.ones(2)))(x)


def test_autocast_acts_inside_a_transform(product: RegisteredOperator) -> None:
    x = torch.ones(3)

    def loss(a: torch.Tensor) -> torch.Tensor:
        with (
            torch.autocast("cpu", torch.bfloat16),
            ops.precision.override({"front_product": "promote"}),
        ):
            return product(a, torch.ones(3, dtype=torch.bfloat16)).sum()

    assert torch.func.grad(loss)(x).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of the graph break
def test_a_graph_inside_which_a_transform_differentiates_is_right(
    product: RegisteredOperator,
) -> None:
    x, y = torch.randn(3), torch.randn(3)

    def pulled(a: torch.Tensor) -> torch.Tensor:
        _, pull = torch.func.vjp(lambda b: product(b, y), a)
        (gradient,) = pull(torch.ones(3))
        return gradient

    assert torch.allclose(torch.compile(pulled, backend="aot_eager")(x), y)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of its decompositions
def test_forward_mode_is_refused_in_graphs_too(product: RegisteredOperator) -> None:
    x = torch.randn(3)

    def pushed(a: torch.Tensor) -> torch.Tensor:
        _, tangent = torch.func.jvp(lambda b: product(b, b), (a,), (a,))
        return tangent

    with pytest.raises(TransformUnsupportedError):
        torch.compile(pushed, backend="aot_eager")(x)


def test_an_exported_program_keeps_the_gradient(product: RegisteredOperator) -> None:
    class Model(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = product(a, b)
            return out

    program = torch.export.export(Model(), (torch.ones(3), torch.ones(3)), strict=True).module()
    a = torch.ones(3, requires_grad=True)
    program(a, torch.full((3,), 2.0)).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [2.0, 2.0, 2.0]


def test_meta_tensors_pass_under_autocast() -> None:
    x = torch.ones(3, device="meta", requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert ops.get("add")(x, x).shape == (3,)


def test_a_call_that_cannot_allocate_gives_its_inputs_back() -> None:
    add = ops.get("add")
    process = psutil.Process()

    def fail() -> None:
        wide, tall = torch.ones(1, 2**22), torch.ones(2**22, 1)  # the sum would take 64 TiB
        with contextlib.suppress(RuntimeError):
            add(wide, tall)
            pytest.fail("nobody has so much memory")

    fail()
    before = process.memory_info().rss
    for _ in range(20):
        fail()
    assert process.memory_info().rss - before < 200 * 2**20
