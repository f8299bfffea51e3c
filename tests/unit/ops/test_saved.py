from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.opdef import OpDef
from openautoglm.ops.saved import bound_backward

if TYPE_CHECKING:
    from collections.abc import Callable

OP = OpDef.from_schema("op(Tensor x, Tensor y, float a=1.0, int b=2) -> (Tensor u, Tensor v)")


def called(function: Callable[..., object]) -> object:
    """Return what the function is given for gradients `gu`, `gv` and every argument by its name."""
    backward = bound_backward(OP, function)
    return backward.function("gu", "gv", *backward.save, *OP.attr_names)


def with_keywords(gu: object, gv: object, /, y: object, *, b: object, **_: object) -> object:
    return gu, gv, y, b


def with_a_default(gu: object, gv: object, scale: object = 3, a: object = 4) -> object:
    return gu, gv, scale, a


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda gu, gv: (gu, gv), ("gu", "gv")),
        (lambda gu, gv, v, x: (gu, gv, v, x), ("gu", "gv", "v", "x")),
        (lambda gu, gv, b, a: (gu, gv, b, a), ("gu", "gv", "b", "a")),
        (lambda gu, gv, b, y, a, u: (gu, gv, b, y, a, u), ("gu", "gv", "b", "y", "a", "u")),
        (lambda u, v, y: (u, v, y), ("gu", "gv", "y")),
        (with_keywords, ("gu", "gv", "y", "b")),
        (with_a_default, ("gu", "gv", 3, "a")),
        (lambda *arguments: arguments, ("gu", "gv", "a", "b")),
        (lambda gu, gv, x, *attrs: (gu, gv, x, attrs), ("gu", "gv", "x", ("a", "b"))),
    ],
)
def test_a_backward_is_given_what_it_names_in_its_own_order(
    function: Callable[..., object], given: tuple[object, ...]
) -> None:
    assert called(function) == given


def test_a_function_in_the_order_of_the_contract_is_taken_as_it_is() -> None:
    def function(gu: object, gv: object, v: object, a: object, b: object) -> object:
        return gu, gv, v, a, b

    assert bound_backward(OP, function).function is function
    assert bound_backward(OP, function).save == ("v",)


def test_what_is_said_to_be_saved_comes_by_position() -> None:
    backward = bound_backward(OP, lambda *arguments: arguments, ["y", "x"])
    assert backward.save == ("y", "x")
    assert bound_backward(OP, operator.add, ["x"]).save == ("x",)


@pytest.mark.parametrize(
    ("function", "save", "problem"),
    [
        (lambda gu, gv, z: (gu, gv, z), None, "`z` is no input, output or attribute"),
        (lambda gu: gu, None, "the gradients of the outputs"),
        (lambda gu, gv, b, a: (gu, gv, b, a), (), "argument `b` would be given `a`"),
        (lambda gu, gv, y, a, b: (gu, gv, y, a, b), ("x",), "argument `y` would be given `x`"),
        (3, None, "is a function"),
    ],
)
def test_a_backward_that_cannot_be_given_what_it_wants_is_refused(
    function: Callable[..., object], save: tuple[str, ...] | None, problem: str
) -> None:
    with pytest.raises(OperatorDefinitionError, match=problem) as caught:
        bound_backward(OP, function, save)
    assert caught.value.fix


def test_another_order_is_another_contract() -> None:
    from dataclasses import replace

    written = [lambda gu, gv, b, a: (gu, gv, b, a), lambda gu, gv, a, b: (gu, gv, a, b)]
    hashes = {replace(OP, backward=bound_backward(OP, f)).contract_hash for f in written}
    assert len(hashes) == 2
