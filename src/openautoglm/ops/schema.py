"""The texts an operator is written as: torch's schema, and the declaration that says it all.

    name(Tensor<f16|f32> x[..., n] contiguous, Tensor? b like x, Tensor[] xs,
         float eps=1e-6 in [0, *], str mode="a" in {"a", "b"})
        -> (Tensor<f32> y[..., n], Tensor z like x, Tensor w broadcast(x, b))

A torch schema without the extras is a declaration too. Owns the writing; `schema_reader` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.ops.arguments import REQUIRED, shape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.ops.arguments import Attr, AttrValue, In, Out


def torch_schema(inputs: Sequence[In], attrs: Sequence[Attr], outputs: Sequence[Out]) -> str:
    """Return the schema torch's dispatcher reads, without the operator's name.

    Optional inputs behind which everything has a default get the default None.
    """
    texts = [_attr_text(attr) for attr in attrs]
    has_default = all(attr.default is not REQUIRED for attr in attrs)
    for part in reversed(inputs):
        has_default = has_default and part.optional
        texts.insert(0, f"{_kind(part)} {part.name}{'=None' if has_default else ''}")
    returns = ", ".join("Tensor" for _ in outputs)
    return f"({', '.join(texts)}) -> {returns if len(outputs) == 1 else f'({returns})'}"


def declaration(
    name: str, inputs: Sequence[In], attrs: Sequence[Attr], outputs: Sequence[Out]
) -> str:
    """Return the text from which the same operator is read; inputs are resolved ones."""
    first = inputs[0] if inputs else None
    texts = [_input_text(part, first) for part in inputs]
    texts += [_attr_text(attr) + _allowed_text(attr) for attr in attrs]
    returns = ", ".join(map(_output_text, outputs))
    arrow = returns if len(outputs) == 1 else f"({returns})"
    return f"{name}({', '.join(texts)}) -> {arrow}"


def value_text(value: AttrValue) -> str:
    """Return a value as a schema writes it.

    Control characters are octal escapes: torch's reader and Python's both know those.
    """
    return f'"{"".join(map(_escaped, value))}"' if isinstance(value, str) else repr(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character >= " " else f"\\{ord(character):03o}"


def _kind(part: In, dtypes: str = "") -> str:
    suffix = "?" if part.optional else "[]" if part.many else ""
    return f"Tensor{dtypes}{suffix}"


def _input_text(part: In, first: In | None) -> str:
    inherits = first is not None and part.like == first.name and part.dtypes == first.dtypes
    dtypes = "" if inherits else f"<{'|'.join(part.dtypes)}>"
    text = f"{_kind(part, dtypes)} {part.name}"
    if part.shape is not None:
        text += shape_text(part.shape)
    if part.layout == "contiguous":
        text += " contiguous"
    return text if part.like is None or inherits else f"{text} like {part.like}"


def _attr_text(attr: Attr) -> str:
    text = f"{attr.type.__name__} {attr.name}"
    return text if attr.default is REQUIRED else f"{text}={value_text(attr.default)}"


def _allowed_text(attr: Attr) -> str:
    if attr.choices is not None:
        return f" in {{{', '.join(map(value_text, attr.choices))}}}"
    if attr.low is None and attr.high is None:
        return ""
    low, high = ("*" if limit is None else repr(limit) for limit in (attr.low, attr.high))
    return f" in [{low}, {high}]"


def _output_text(out: Out) -> str:
    text = f"Tensor<{out.dtype}> {out.name}" if out.dtype else f"Tensor {out.name}"
    if out.shape is not None:
        return text + shape_text(out.shape)
    if out.like is not None:
        return f"{text} like {out.like}"
    return text if out.broadcast is None else f"{text} broadcast({', '.join(out.broadcast)})"
