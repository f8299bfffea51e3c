from __future__ import annotations

from openautoglm.ops.opdef import OpDef
from openautoglm.ops.saved import saved_names

OP = OpDef.from_schema("op(Tensor x, Tensor y, float a=1.0) -> (Tensor u, Tensor v)")


def test_arguments_after_the_gradients_that_are_inputs_or_outputs_are_kept_in_order() -> None:
    assert saved_names(OP, lambda gu, gv, v, x, a: (gu, gv, v, x, a), None) == ("v", "x")


def test_a_gradient_that_is_called_like_an_output_is_a_gradient() -> None:
    assert saved_names(OP, lambda u, v, y: (u, v, y), None) == ("y",)


def test_what_is_said_goes_before_what_is_read() -> None:
    assert saved_names(OP, lambda *arguments: arguments, ["y", "x"]) == ("y", "x")
    assert saved_names(OP, lambda *arguments: arguments, None) == ()
