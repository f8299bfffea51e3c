"""The docstring of an operator, written from its contract.

Owns the words; everything in them is read from the `OpDef`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.ops.arguments import LEADING, REQUIRED, shape_text
from openautoglm.ops.dtypes import listed
from openautoglm.ops.schema import value_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.ops.arguments import Attr, In, Out
    from openautoglm.ops.opdef import OpDef


def describe(opdef: OpDef) -> str:
    """Return the docstring of an operator: inputs, attributes, outputs, errors.

    Example:
        >>> from openautoglm.ops.opdef import OpDef
        >>> print(describe(OpDef.from_schema("neg(Tensor<f32> x) -> Tensor y", doc="Negate.")))
        Negate.
        <BLANKLINE>
        neg(Tensor<f32> x) -> Tensor y
        <BLANKLINE>
        Args:
            x: an array of f32, any shape.
        <BLANKLINE>
        Returns:
            y: an array of the shape `x` has, dtype of `x`, contiguous.
        <BLANKLINE>
        Raises:
            OperatorArgumentError: an argument has a wrong dtype, shape, device or value.
            NoKernelError: no kernel takes the call.
    """
    arguments = [f"{part.name}: {_input(part)}." for part in opdef.inputs]
    arguments += [f"{attr.name}: {_attr(attr)}." for attr in opdef.attrs]
    returns = [f"{out.name}: {_output(opdef, out)}." for out in opdef.outputs]
    raises = [
        "OperatorArgumentError: an argument has a wrong dtype, shape, device or value.",
        "NoKernelError: no kernel takes the call.",
    ]
    paragraphs = [
        opdef.doc.strip() or f"Compute `{opdef.name}`.",
        opdef.declaration(),
        _section("Args", arguments),
        _section("Returns", returns),
        _gradient(opdef),
        _section("Raises", raises),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _section(title: str, lines: Iterable[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"{title}:\n{body}" if body else ""


def _input(part: In) -> str:
    what = (
        f"a list of arrays, each of {_dtypes(part)}"
        if part.many
        else f"an array of {_dtypes(part)}"
    )
    words = [what, "any shape" if part.shape is None else f"shape {shape_text(part.shape)}"]
    if part.shape is not None and part.shape[:1] == (LEADING,):
        words.append("where ... is any leading sizes, the same throughout")
    if part.layout == "contiguous":
        words.append("copied where not contiguous")
    if part.optional:
        words.append("may be None")
    return ", ".join(words)


def _dtypes(part: In) -> str:
    return f"the dtype of `{part.like}`" if part.like else listed(part.dtypes, last="or")


def _attr(attr: Attr) -> str:
    if attr.default is REQUIRED:
        return f"{attr.expected}, required"
    return f"{attr.expected}; {value_text(attr.default)} where not given"


def _output(opdef: OpDef, out: Out) -> str:
    if opdef.infer is not None:
        return "an array, shape and dtype worked out from the arguments, contiguous"
    source = out.dtype or out.like or (opdef.input_names or ("f32",))[0]
    dtype = f"dtype of `{source}`" if source in opdef.input_names else f"dtype {source}"
    return f"an array of {_output_shape(opdef, out)}, {dtype}, contiguous"


def _output_shape(opdef: OpDef, out: Out) -> str:
    if out.shape is not None:
        return f"shape {shape_text(out.shape)}"
    names = (out.like,) if out.like is not None else out.broadcast or opdef.input_names
    quoted = [f"`{name}`" for name in names]
    if len(quoted) == 1:
        return f"the shape {quoted[0]} has"
    return f"the shape {listed(quoted)} broadcast to"


def _gradient(opdef: OpDef) -> str:
    return "" if opdef.backward is None else "Differentiable: it has a backward of its own."
