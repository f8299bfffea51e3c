from __future__ import annotations

from typing import Any

import pytest
import torch

from openautoglm.ops.autograd import _flat, _nested, eager_function
from openautoglm.ops.opdef import Backward, OpDef


def test_lists_are_taken_apart_and_put_together_again() -> None:
    values = [1, [2, 3], [], None, [4]]
    counts = [len(v) if isinstance(v, list) else None for v in values]
    assert _flat(values) == [1, 2, 3, None, 4]
    assert _nested(_flat(values), counts) == values


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
