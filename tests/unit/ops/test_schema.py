from __future__ import annotations

import string
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import REQUIRED, Attr, AttrValue, In, Out
from openautoglm.ops.dtypes import EVERY_DTYPE, FLOATS
from openautoglm.ops.opdef import OpDef

if TYPE_CHECKING:
    from openautoglm.ops.arguments import Shape

NORM = "rms_norm(Tensor x[..., n], Tensor? weight[n], float eps=1e-6) -> Tensor y[..., n]"


def test_a_declaration_gives_inputs_attributes_and_outputs() -> None:
    norm = OpDef.from_schema(NORM, amp="fp32", version=2)
    assert norm.name == "rms_norm"
    assert norm.inputs == (
        In("x", dtypes=FLOATS, shape=("...", "n")),
        In("weight", dtypes=FLOATS, shape=("n",), optional=True, like="x"),
    )
    assert norm.attrs == (Attr("eps", float, 1e-6),)
    assert norm.outputs == (Out("y", shape=("...", "n")),)
    assert (norm.amp, norm.version) == ("fp32", 2)


def test_a_declaration_may_say_all_that_a_definition_can() -> None:
    op = OpDef.from_schema(
        "op(Tensor<f32|i64> x[b, 4] contiguous, Tensor<i64>[] xs, Tensor<f32> z[] like x,"
        ' float p=0.5 in [0, 1.0], int k=2 in [1, *], str mode="a" in {"a", \'b"\'}, bool f=True)'
        " -> (Tensor<f32> y[b], Tensor<xs> z2 like x, Tensor w broadcast(x, z))"
    )
    assert op.inputs == (
        In("x", dtypes=("f32", "i64"), shape=("b", 4), layout="contiguous"),
        In("xs", dtypes=("i64",), many=True),
        In("z", dtypes=("f32",), shape=(), like="x"),
    )
    assert op.attrs == (
        Attr("p", float, 0.5, low=0, high=1.0),
        Attr("k", int, 2, low=1),
        Attr("mode", str, "a", choices=("a", 'b"')),
        Attr("f", bool, True),
    )
    assert op.outputs == (
        Out("y", shape=("b",), dtype="f32"),
        Out("z2", like="x", dtype="xs"),
        Out("w", broadcast=("x", "z")),
    )


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        (NORM, "(Tensor x, Tensor? weight, float eps=1e-06) -> Tensor"),
        ("f(Tensor x, Tensor? b) -> Tensor", "(Tensor x, Tensor? b=None) -> Tensor"),
        ("f(Tensor x, Tensor? b, float a) -> Tensor", "(Tensor x, Tensor? b, float a) -> Tensor"),
        ("f(Tensor x, Tensor? b, Tensor y) -> Tensor", "(Tensor x, Tensor? b, Tensor y) -> Tensor"),
        ("f(Tensor[] xs, int axis=-1) -> Tensor", "(Tensor[] xs, int axis=-1) -> Tensor"),
        ('f(Tensor x, str m="a") -> (Tensor, Tensor)', '(Tensor x, str m="a") -> (Tensor, Tensor)'),
        ("f(Tensor x, bool b=False) -> Tensor", "(Tensor x, bool b=False) -> Tensor"),
    ],
)
def test_the_schema_is_torchs(text: str, schema: str) -> None:
    found = OpDef.from_schema(text).schema()
    if "weight" in text:  # an optional input in front of a default may be left out too
        schema = schema.replace("weight,", "weight=None,")
    assert found == schema


def test_a_torch_schema_is_a_declaration() -> None:
    for text in (
        "(Tensor x, Tensor? b=None, float a=1.0) -> Tensor",
        "(Tensor x) -> (Tensor, Tensor)",
    ):
        assert OpDef.from_schema(f"f{text}").schema() == text
    assert OpDef.from_schema("f(Tensor x) -> (Tensor, Tensor)").output_names == ("out0", "out1")


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "the operator's name"),
        ("f", 2, "`(`"),
        ("f(Tensor x", 11, "`,`"),
        ("f(Tensor x)", 12, "`->`"),
        ("f(Tensor x) -> Tensor y, Tensor z", 24, "the end"),
        ("f(Tensor) -> Tensor", 9, "the input's name"),
        ("f(Tensor(a!) x) -> Tensor", 9, "an operator writes its outputs only"),
        ("f(float a, Tensor x) -> Tensor", 12, "inputs come first"),
        ("f(double a) -> Tensor", 3, "Tensor, float, int, bool or str"),
        ("f(Tensor x[n+1]) -> Tensor", 13, "`,`"),
        ("f(Tensor x[1.5]) -> Tensor", 12, "a size"),
        ("f(Tensor x, float a=x) -> Tensor", 21, "a value"),
        ("f(Tensor x, float a in [x, 1]) -> Tensor", 25, "a value"),
        ('f(Tensor x, float a in ["x", 1]) -> Tensor', 25, "a number or `*`"),
        ("f(Tensor x) -> float", 16, "`Tensor`"),
        ('f(Tensor x, str a="b) -> Tensor', 19, "a name, a number, a string or a mark"),
        ("f(Tensor x) -> Tensor $", 23, "a name"),
    ],
)
def test_a_text_that_cannot_be_read_is_pointed_at(text: str, column: int, expected: str) -> None:
    with pytest.raises(OperatorDefinitionError) as caught:
        OpDef.from_schema(text)
    assert "cannot be read: expected" in caught.value.problem
    assert expected in caught.value.problem
    assert caught.value.problem.endswith(f"in column {column}")
    assert str(caught.value.got).replace("»", "") == text


@given(st.text(alphabet="f(Tensorx)[]?<>,=-.0123 {}\"'|*", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(OperatorDefinitionError):
        assert OpDef.from_schema(text).inputs


NAMES = st.lists(
    st.from_regex(r"[a-z][a-z0-9_]{0,5}x", fullmatch=True), min_size=10, max_size=10, unique=True
)
SIZES: st.SearchStrategy[str | int] = st.sampled_from(["n", "m", 4, 0])
SHAPES: st.SearchStrategy[Shape | None] = st.none() | st.builds(
    lambda leading, rest: (*leading, *rest),
    st.sampled_from([(), ("...",)]),
    st.lists(SIZES, max_size=3),
)
DTYPES = st.lists(st.sampled_from(EVERY_DTYPE), min_size=1, max_size=3, unique=True).map(tuple)
TEXTS = st.text(string.printable + "é摘", max_size=6)


@st.composite
def attributes(draw: st.DrawFn, name: str) -> Attr:
    kind = draw(st.sampled_from(["range", "int", "bool", "choices"]))
    if kind == "range":
        low = draw(st.none() | st.floats(-1e6, 0))
        return Attr(
            name,
            float,
            draw(st.floats(0, 1e6, allow_subnormal=False)),
            low=low,
            high=draw(st.none() | st.just(2e6)),
        )
    if kind == "int":
        return Attr(name, int, draw(st.integers(0, 2**63 - 1)), low=draw(st.none() | st.just(0)))
    if kind == "bool":
        return Attr(name, bool, draw(st.booleans()))
    choices = draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True))
    default: AttrValue = choices[0]
    return Attr(name, str, default, choices=tuple(choices))


@st.composite
def outputs(draw: st.DrawFn, name: str, first: In) -> Out:
    dtype = draw(st.none() | st.sampled_from([first.name, "f32", "bool"]))
    rule = draw(st.sampled_from(["like", "broadcast", "shape", "none"]))
    if rule == "like":
        return Out(name, like=first.name, dtype=dtype)
    if rule == "broadcast":
        return Out(name, broadcast=(first.name,), dtype=dtype)
    return Out(name, shape=first.shape if rule == "shape" else None, dtype=dtype)


@st.composite
def definitions(draw: st.DrawFn) -> OpDef:
    names = iter(draw(NAMES))
    first = In(next(names), dtypes=draw(DTYPES), shape=draw(SHAPES))
    second = In(next(names), shape=draw(SHAPES), optional=draw(st.booleans()))
    third = In(
        next(names),
        dtypes=draw(DTYPES),
        many=draw(st.booleans()),
        layout=draw(st.sampled_from(["strided", "contiguous"])),
    )
    attrs = [draw(attributes(next(names))) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        attrs.insert(0, Attr(next(names), int, REQUIRED))
    outs = [draw(outputs(next(names), first)) for _ in range(draw(st.integers(1, 3)))]
    return OpDef(next(names), inputs=[first, second, third], attrs=attrs, outputs=outs)


@given(definitions())
def test_a_definition_is_read_back_from_its_declaration(op: OpDef) -> None:
    again = OpDef.from_schema(op.declaration())
    assert again == op
    assert again.contract_hash == op.contract_hash
    assert OpDef.from_schema(op.name + op.schema()).schema() == op.schema()


@settings(max_examples=50, deadline=None)  # the first example imports torch
@given(definitions())
def test_torch_reads_the_schema_as_it_was_meant(op: OpDef) -> None:
    torch = pytest.importorskip("torch", reason="torch's own reader is in torch")
    read = torch._C.parse_schema(op.name + op.schema())
    defaults = {argument.name: argument.default_value for argument in read.arguments}
    assert tuple(defaults) == (*op.input_names, *op.attr_names)
    for attr in op.attrs:
        assert defaults[attr.name] == (None if attr.default is REQUIRED else attr.default)
    assert len(read.returns) == len(op.outputs)
