from __future__ import annotations

import pytest
import torch

from openautoglm import ops

pytestmark = pytest.mark.usefixtures("owned")


def test_each_slice_is_a_call_of_its_own() -> None:
    shapes = []

    def centred(x: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return x - x.mean()  # leading sizes are not independent here

    op = ops.define("centred", inputs=[ops.In("x", shape=("...", "n"))], reference=centred)
    x = torch.randn(3, 2, 4)
    found = torch.vmap(op)(x)
    torch.testing.assert_close(found, x - x.mean((1, 2), keepdim=True))
    assert shapes == [(2, 4)] * 3


def test_attributes_and_absent_inputs_are_the_same_for_all_slices() -> None:
    op = ops.define(
        "shifted",
        inputs=[ops.In("x", shape=("n",)), ops.In("b", shape=("n",), optional=True)],
        attrs=[ops.Attr("by", float, 1.0)],
        outputs=[ops.Out("y", shape=("n",))],
        reference=lambda x, b, by: x * by + (0 if b is None else b),
    )
    x = torch.ones(2, 3)
    assert torch.equal(torch.vmap(lambda a: op(a, by=3.0))(x), x * 3)
    assert torch.equal(torch.vmap(op)(x, x), x * 2)
    assert torch.equal(torch.vmap(lambda a: op(a, x[0]))(x), x * 2)


def test_no_slices_give_no_results_of_the_right_shape() -> None:
    op = ops.define("same", inputs=[ops.In("x")], reference=lambda x: x)
    assert torch.vmap(op)(torch.ones(0, 3)).shape == (0, 3)
    assert torch.vmap(op, in_dims=1)(torch.ones(3, 0)).shape == (0, 3)
