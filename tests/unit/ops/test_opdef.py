from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import ArraySpec, Attr, In, Out
from openautoglm.ops.opdef import Backward, OpDef

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_first_input_takes_floats_and_the_others_are_like_it() -> None:
    add = OpDef("add", inputs=[In("x"), In("y")])
    assert add.inputs[0].dtypes == ("f16", "bf16", "f32", "f64")
    assert add.inputs[0].like is None
    assert (add.inputs[1].like, add.inputs[1].dtypes) == ("x", add.inputs[0].dtypes)


def test_an_input_with_dtypes_of_its_own_is_like_no_other() -> None:
    loss = OpDef("loss", inputs=[In("logits"), In("target", dtypes=("i64",))])
    assert loss.inputs[1].like is None


def test_an_output_is_made_when_none_is_given() -> None:
    assert OpDef("add", inputs=[In("x"), In("y")]).output_names == ("out",)


def test_likeness_goes_through_an_input_that_is_like_another() -> None:
    op = OpDef("op", inputs=[In("x", dtypes=("f32", "i64")), In("y"), In("z", like="y")])
    assert op.inputs[2].dtypes == ("f32", "i64")


REFUSED: dict[str, tuple[Callable[[], OpDef], str]] = {
    "name": (lambda: OpDef("my op"), "no identifier"),
    "version": (lambda: OpDef("op", version=0, inputs=[In("x")]), "counted from 1"),
    "too many inputs": (
        lambda: OpDef("op", inputs=[In(f"x{i}") for i in range(16)]),
        "at most 15 inputs\n  got: 16",
    ),
    "too many outputs": (
        lambda: OpDef("op", inputs=[In("x")], outputs=[Out(f"y{i}") for i in range(7)]),
        "1 to 6 outputs\n  got: 7",
    ),
    "no outputs": (lambda: OpDef("op", inputs=[In("x")], outputs=[]), "1 to 6 outputs"),
    "two of one name": (
        lambda: OpDef("op", inputs=[In("x")], attrs=[Attr("x", float)]),
        "`x` twice",
    ),
    "an output named as an input": (
        lambda: OpDef("op", inputs=[In("x")], outputs=[Out("x")]),
        "`x` twice",
    ),
    "like a later input": (
        lambda: OpDef("op", inputs=[In("x", like="y"), In("y", dtypes=("f32",))]),
        "like='y'; there is none",
    ),
    "like an optional input": (
        lambda: OpDef("op", inputs=[In("x"), In("b", optional=True), In("c", like="b")]),
        "earlier input that is always there",
    ),
    "like what it can never be": (
        lambda: OpDef("op", inputs=[In("x"), In("y", dtypes=("i64",), like="x")]),
        "like `x`, which is never i64",
    ),
    "required behind defaulted": (
        lambda: OpDef("op", inputs=[In("x")], attrs=[Attr("a", float, 1.0), Attr("b", float)]),
        "`b` behind `a`",
    ),
    "output like an unknown input": (
        lambda: OpDef("op", inputs=[In("x")], outputs=[Out("y", like="z")]),
        "no input or dtype is called `z`",
    ),
    "output of an unknown dtype": (
        lambda: OpDef("op", inputs=[In("x")], outputs=[Out("y", dtype="f31")]),
        "no input or dtype is called `f31`",
    ),
    "output like an optional input": (
        lambda: OpDef("op", inputs=[In("x"), In("b", optional=True)], outputs=[Out("y", like="b")]),
        "input `b` may be absent",
    ),
    "output dtype of an optional first input": (
        lambda: OpDef("op", inputs=[In("b", optional=True)], outputs=[Out("y", shape=(3,))]),
        "input `b` may be absent",
    ),
    "output like a list": (
        lambda: OpDef("op", inputs=[In("xs", many=True)], outputs=[Out("y", like="xs")]),
        "a list of arrays has no one shape",
    ),
    "output of an unknown symbol": (
        lambda: OpDef("op", inputs=[In("x", shape=("n",))], outputs=[Out("y", shape=("m",))]),
        "says what m is\n  got: known: n",
    ),
    "output of unknown leading sizes": (
        lambda: OpDef("op", inputs=[In("x", shape=("n",))], outputs=[Out("y", shape=("...",))]),
        "says what ... is",
    ),
    "output of a symbol that only an optional input has": (
        lambda: OpDef(
            "op",
            inputs=[In("x"), In("b", shape=("n",), optional=True)],
            outputs=[Out("y", shape=("n",))],
        ),
        "says what n is",
    ),
    "broadcast of an unknown input": (
        lambda: OpDef("op", inputs=[In("x")], outputs=[Out("y", broadcast=("x", "z"))]),
        "no input or dtype is called `z`",
    ),
    "broadcast of nothing": (
        lambda: OpDef("op", inputs=[In("x")], outputs=[Out("y", broadcast=())]),
        "no input to take a shape from",
    ),
    "no inputs and no rule": (
        lambda: OpDef("op", outputs=[Out("y", dtype="f32")]),
        "no input to take a shape from",
    ),
    "no inputs and no dtype": (
        lambda: OpDef("op", outputs=[Out("y", shape=(3,))]),
        "no input or dtype is called `none`",
    ),
    "a rule beside infer": (
        lambda: OpDef(
            "op",
            inputs=[In("x")],
            outputs=[Out("y", like="x")],
            infer=lambda specs, attrs: ArraySpec((), f"{specs}{attrs}"),
        ),
        "has a rule, and infer= is given too",
    ),
    "infer of other parameters": (
        lambda: OpDef("op", inputs=[In("x")], infer=lambda specs: specs),  # type: ignore[arg-type,misc] # what is refused
        r"infer: it is called with \(specs, attrs\)",
    ),
    "reference of other parameters": (
        lambda: OpDef("op", inputs=[In("x")], attrs=[Attr("a", float)], reference=lambda x: x),
        r"reference: it is called with \(x, a\)",
    ),
    "backward of other parameters": (
        lambda: OpDef("op", inputs=[In("x")], backward=Backward(lambda g: g, save=("x",))),
        r"backward: it is called with \(grad_out, x\)",
    ),
    "backward that saves what there is not": (
        lambda: OpDef("op", inputs=[In("x")], backward=Backward(lambda g, z: (g, z), save=("z",))),
        "saves z, which is no input or output",
    ),
    "amp of no policy": (
        lambda: OpDef("op", inputs=[In("x")], amp="half"),  # type: ignore[arg-type] # what is refused
        "lower, fp32, promote or keep\n  got: 'half'",
    ),
    "amp of no input": (
        lambda: OpDef("op", inputs=[In("x")], amp={"y": "fp32"}),
        "policy for y, which is no input",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_definition_that_contradicts_itself_is_refused_with_a_fix(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(OperatorDefinitionError, match=message) as caught:
        make()
    assert caught.value.fix
    assert caught.value.got is not None


def test_built_in_functions_are_taken_as_they_are() -> None:
    assert OpDef("largest", inputs=[In("x"), In("y")], reference=max).reference is max


def test_a_per_input_policy_cannot_be_changed_from_outside() -> None:
    policies = {"x": "fp32"}
    op = OpDef("op", inputs=[In("x")], amp=policies)  # type: ignore[arg-type] # inferred as str
    policies["x"] = "keep"
    assert op.amp == {"x": "fp32"}


def test_a_changed_copy_is_resolved_once_more_to_the_same() -> None:
    add = OpDef("add", inputs=[In("x"), In("y")])
    assert replace(add, doc="sum").inputs == add.inputs
    assert hash(add) == hash(OpDef("add", inputs=[In("x"), In("y")]))
