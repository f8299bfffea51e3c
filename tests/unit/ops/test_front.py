from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError

pytestmark = pytest.mark.usefixtures("owned")


def make() -> ops.RegisteredOperator:
    op = ops.define(
        "fronted",
        inputs=[ops.In("x"), ops.In("b", optional=True)],
        attrs=[ops.Attr("by", float), ops.Attr("mode", str, "a", choices=("a", "b"))],
        outputs=[ops.Out("y", like="x")],
        reference=lambda x, b, by, mode: x * by + (0 if b is None else b) + (mode == "b") * 100,
    )
    op(torch.ones(1), by=1.0)
    return op


def test_it_takes_arguments_by_position_and_by_name() -> None:
    op, x = make(), torch.ones(1)
    assert op(x, None, 2.0).item() == 2.0
    assert op(x, x, 2).item() == 3.0
    assert op(by=2.0, x=x, mode="b").item() == 102.0
    assert list(inspect.signature(op).parameters)[:2] == ["x", "b"]


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {"by": 1.0}, "`x` of `fronted`: expected an array, got nothing"),
        ((torch.ones(1),), {}, "`by` of `fronted`: expected a float, got nothing"),
        ((torch.ones(1),), {"by": "2"}, "`by` of `fronted`: expected a float, got '2'"),
        ((torch.ones(1),), {"by": 10**400}, "`by` of `fronted`: expected a float"),
        ((torch.ones(1), [1.0]), {"by": 1.0}, "`b`: expected an array, got list"),
    ],
)
def test_what_is_wrong_with_a_call_is_told(
    args: tuple[object, ...], kwargs: dict[str, object], problem: str
) -> None:
    with pytest.raises(OperatorArgumentError) as caught:
        make()(*args, **kwargs)
    assert problem in str(caught.value)


def test_a_choice_that_is_not_there_lists_those_that_are() -> None:
    gelu = ops.get("bias_gelu")
    with pytest.raises(
        OperatorArgumentError, match="`approximate` of `bias_gelu`: expected one of"
    ):
        gelu(torch.ones(2, 3), torch.ones(3), "tan")


def test_once_it_knows_torch_it_still_takes_numpy() -> None:
    op = make()
    assert isinstance(op(np.ones(1), by=2.0), np.ndarray)
    assert op(np.ones(1, "f4"), torch.ones(1), by=2.0).item() == 3.0
    with pytest.raises(OperatorArgumentError, match="expected an array on cpu"):
        op(torch.ones(1), torch.ones(1, device="meta"), by=1.0)


def test_half_an_operator_is_not_seen_by_subclasses_of_tensor() -> None:
    class Logged(torch.Tensor):  # type: ignore[misc] # torch has no types here
        seen: tuple[str, ...] = ()

        @classmethod
        def __torch_function__(
            cls,
            func: object,
            types: object,
            args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:
            Logged.seen += (str(func),)
            return super().__torch_function__(func, types, args, kwargs or {})

    out = make()(torch.ones(1).as_subclass(Logged), by=2.0)
    assert type(out) is Logged
    assert any(name.startswith("oag.fronted") for name in Logged.seen)


def test_an_absent_trailing_input_is_absent_under_autocast_too() -> None:
    norm, x = ops.get("rms_norm"), torch.ones(2, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x).dtype == torch.float32
        assert norm(x, eps=1e-3).dtype == torch.float32
        assert norm(x.requires_grad_()).dtype == torch.float32
