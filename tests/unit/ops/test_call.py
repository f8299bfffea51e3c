from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import OperatorArgumentError, OperatorDefinitionError
from openautoglm.ops.arguments import ArraySpec, Attr, In, Out
from openautoglm.ops.call import bind_arguments, infer_outputs
from openautoglm.ops.opdef import OpDef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openautoglm.ops.arguments import AttrValue
    from openautoglm.ops.opdef import InputSpec

NORM = OpDef.from_schema(
    "norm(Tensor x[..., n], Tensor? weight[n], float eps=1e-6 in [0, *]) -> Tensor y[..., n]"
)
MUL = OpDef.from_schema("mul(Tensor x, Tensor y, float scale=1.0) -> Tensor")
TAKE = OpDef.from_schema("take(Tensor x[b, n], Tensor<i64> at[b], int axis) -> Tensor y[b]")


def f32(*shape: int, device: str = "cpu") -> ArraySpec:
    return ArraySpec(shape, "f32", device)


@pytest.mark.parametrize(
    ("args", "kwargs", "bound"),
    [
        (("x",), {}, (("x", None), (1e-6,))),
        (("x", "w", 1), {}, (("x", "w"), (1.0,))),
        (("x", None), {}, (("x", None), (1e-6,))),
        ((), {"x": "x", "eps": 0}, (("x", None), (0.0,))),
        (("x",), {"weight": "w"}, (("x", "w"), (1e-6,))),
    ],
)
def test_arguments_are_bound_by_position_and_by_name(
    args: tuple[object, ...], kwargs: dict[str, object], bound: object
) -> None:
    assert bind_arguments(NORM, args, kwargs) == bound


@pytest.mark.parametrize(
    ("op", "args", "kwargs", "message"),
    [
        (NORM, (), {}, "argument `x` of `norm`: expected an array, got nothing"),
        (NORM, (None,), {}, "argument `x` of `norm`: expected an array, got None"),
        (NORM, ("x", "w", 1, 2), {}, "`norm` takes at most 3 arguments"),
        (NORM, ("x",), {"epsilon": 1}, "`norm` has no argument `epsilon`"),
        (NORM, ("x",), {"x": 1}, "`x` of `norm`: expected one value, got it by position and"),
        (NORM, ("x",), {"eps": -1}, "`eps` of `norm`: expected a float of at least 0, got -1"),
        (NORM, ("x",), {"eps": None}, "expected a float of at least 0, got None"),
        (TAKE, ("x", "at"), {}, "argument `axis` of `take`: expected an int, got nothing"),
        (TAKE, ("x", "at", 1.0), {}, "argument `axis` of `take`: expected an int, got 1.0 .float"),
    ],
)
def test_arguments_that_do_not_fit_are_named_with_a_fix(
    op: OpDef, args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(OperatorArgumentError, match=message) as caught:
        bind_arguments(op, args, kwargs)
    assert caught.value.fix


def test_the_fix_of_a_missing_argument_shows_the_call() -> None:
    with pytest.raises(OperatorArgumentError, match=r"call it as take\(x, at, axis\)"):
        bind_arguments(TAKE, (), {})
    with pytest.raises(OperatorArgumentError, match=r"norm\(x, weight=..., eps=...\)"):
        bind_arguments(NORM, (), {})


@pytest.mark.parametrize(
    ("text", "specs", "expected"),
    [
        ("f(Tensor x, Tensor y) -> Tensor", [f32(4, 1), f32(3)], [f32(4, 3)]),
        ("f(Tensor x, Tensor y) -> Tensor z like y", [f32(4, 1), f32(3)], [f32(3)]),
        ("f(Tensor x, Tensor y) -> Tensor z broadcast(y)", [f32(4, 1), f32(3)], [f32(3)]),
        (
            "f(Tensor x[..., n]) -> (Tensor y[...], Tensor z[n, 2])",
            [f32(5, 3)],
            [f32(5), f32(3, 2)],
        ),
        ("f(Tensor x) -> Tensor<bool> y like x", [f32(2)], [ArraySpec((2,), "bool")]),
        (
            "f(Tensor<i64> x, Tensor<f32> w) -> Tensor<w> y like x",
            [ArraySpec((2,), "i64"), f32(7)],
            [f32(2)],
        ),
        ("f(Tensor x, Tensor? b) -> Tensor", [f32(2), None], [f32(2)]),
        ("f(Tensor x, Tensor? b) -> Tensor", [f32(2), f32(3, 1)], [f32(3, 2)]),
        ("f(Tensor[] xs[n]) -> Tensor y[n]", [(f32(4), f32(4))], [f32(4)]),
        ("f(Tensor[] xs) -> Tensor", [(f32(4, 1), f32(3))], [f32(4, 3)]),
        ("f() -> Tensor<f32> y[3]", [], [f32(3)]),
        ("f(Tensor x) -> Tensor", [f32(2, device="cuda")], [f32(2, device="cuda")]),
        ("f(Tensor x, Tensor y) -> Tensor", [f32(0), f32(1)], [f32(0)]),
    ],
)
def test_outputs_follow_their_rule(
    text: str, specs: Sequence[InputSpec], expected: list[ArraySpec]
) -> None:
    assert infer_outputs(OpDef.from_schema(text), specs, []) == expected


@pytest.mark.parametrize(
    ("op", "specs", "attrs", "message"),
    [
        (
            MUL,
            [ArraySpec((2,), "i64"), f32(2)],
            [1.0],
            "argument `x` of `mul`: expected dtype f16, bf16, f32 or f64, got dtype i64",
        ),
        (
            MUL,
            [f32(2), ArraySpec((2,), "f64")],
            [1.0],
            "argument `y` of `mul`: expected dtype f32, as `x` has, got dtype f64",
        ),
        (
            MUL,
            [f32(2), f32(2, device="cuda")],
            [1.0],
            "argument `y` of `mul`: expected an array on cpu, where `x` is, got an array on cuda",
        ),
        (
            MUL,
            [f32(4, 2), f32(3)],
            [1.0],
            r"`y` of `mul`: expected a shape that broadcasts with \(4, 2\), got shape \(3\)",
        ),
        (MUL, [f32(2), f32(2)], ["x"], "`scale` of `mul`: expected a float, got 'x' .str"),
        (MUL, [f32(2), None], [1.0], "`y` of `mul`: expected one array, got None"),
        (MUL, [f32(2), (f32(2),)], [1.0], "`y` of `mul`: expected one array, got a list of 1"),
        (
            NORM,
            [f32(2, 8), f32(7)],
            [1e-6],
            r"`weight` of `norm`: expected shape \[n\] with n=8 as in `x`, got shape \(7\)",
        ),
        (NORM, [f32(), None], [1e-6], r"`x` of `norm`: expected shape \[..., n\], got shape \(\)"),
        (NORM, [f32(2), None], [-1.0], "`eps` of `norm`: expected a float of at least 0, got -1.0"),
    ],
)
def test_a_call_that_does_not_fit_names_the_argument_and_the_fix(
    op: OpDef, specs: Sequence[InputSpec], attrs: Sequence[object], message: str
) -> None:
    with pytest.raises(OperatorArgumentError, match=message) as caught:
        infer_outputs(op, specs, attrs)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("spec", "got"),
    [(None, "nothing"), ((), "an empty list"), (f32(1), "one array")],
)
def test_a_list_input_takes_a_list_of_arrays(spec: InputSpec, got: str) -> None:
    cat = OpDef.from_schema("cat(Tensor[] xs) -> Tensor")
    with pytest.raises(OperatorArgumentError, match=f"a list of one or more arrays, got {got}"):
        infer_outputs(cat, [spec], [])


def test_the_arrays_of_a_list_have_one_dtype() -> None:
    cat = OpDef.from_schema("cat(Tensor[] xs) -> Tensor")
    with pytest.raises(OperatorArgumentError, match="expected dtype f32, as `xs` has"):
        infer_outputs(cat, [(f32(1), ArraySpec((1,), "f16"))], [])


def joined(specs: tuple[InputSpec, ...], attrs: Mapping[str, AttrValue]) -> list[ArraySpec]:
    arrays = specs[0]
    if not isinstance(arrays, tuple) or len({len(a.shape) for a in arrays}) > 1:
        raise ValueError("all have one rank")
    shape = list(arrays[0].shape)
    shape[int(attrs["axis"])] = sum(a.shape[int(attrs["axis"])] for a in arrays)
    return [ArraySpec(tuple(shape), arrays[0].dtype, arrays[0].device)]


CAT = OpDef("cat", inputs=[In("xs", many=True)], attrs=[Attr("axis", int, 0)], infer=joined)


def test_infer_says_what_rules_cannot() -> None:
    assert infer_outputs(CAT, [(f32(2, 3), f32(4, 3))], [0]) == [f32(6, 3)]


def test_infer_refuses_with_its_own_words_and_what_it_got() -> None:
    message = r"together: all have one rank\n  got: \[f32\(2, 3\), f32\(4\)\]"
    with pytest.raises(OperatorArgumentError, match=message) as caught:
        infer_outputs(CAT, [(f32(2, 3), f32(4))], [0])
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("returned", [[], [f32(1), f32(2)], [ArraySpec((1,), "float32")]])
def test_infer_that_returns_the_wrong_thing_is_the_definitions_fault(
    returned: list[ArraySpec],
) -> None:
    op = OpDef("op", inputs=[In("x")], infer=lambda _specs, _attrs: returned)
    with pytest.raises(OperatorDefinitionError, match="infer of `op`: expected 1 ArraySpec"):
        infer_outputs(op, [f32(1)], [])


def test_a_single_output_may_be_returned_bare() -> None:
    op = OpDef("op", inputs=[In("x")], outputs=[Out("y")], infer=lambda _specs, _attrs: f32(9))
    assert infer_outputs(op, [f32(1)], []) == [f32(9)]


@pytest.mark.parametrize(
    ("infer", "got"),
    [
        (lambda specs, _: [specs[3]], "IndexError: tuple index out of range"),
        (lambda _specs, attrs: attrs["size"], "KeyError: 'size'"),
        (lambda _specs, _attrs: None, "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_an_error_inside_infer_is_the_definitions_fault(
    infer: Callable[..., list[ArraySpec]], got: str
) -> None:
    opdef = OpDef("guess", inputs=[In("x")], infer=infer)
    with pytest.raises(OperatorDefinitionError, match="infer of `guess` failed") as caught:
        infer_outputs(opdef, [f32(1)], [])
    assert caught.value.got == got
    assert caught.value.fix
