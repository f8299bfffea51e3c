"""The compact text in which the compiled core reads an operator's signature.

Owns the writing; `native/core/signature.cc` has the grammar and reads it. An operator whose
outputs only Python can tell is written `slow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from openautoglm.ops.arguments import LEADING
from openautoglm.ops.dtypes import DTYPES

if TYPE_CHECKING:
    from openautoglm.ops.arguments import In, Out, Shape
    from openautoglm.ops.opdef import OpDef

MAX_SYMBOLS: Final = 16
MAX_ARGUMENTS: Final = 32


def signature_text(opdef: OpDef) -> str:
    """Return the signature of an operator as the compiled core reads it.

    Kinds are one letter for each argument: T an array, ? an optional one, L a list of them, and
    the first letter of an attribute's type.

    Example:
        >>> from openautoglm.ops.opdef import OpDef
        >>> signature_text(OpDef.from_schema("row(Tensor x[..., n], float eps=1e-6) -> Tensor"))
        'row Tf 1 [ ... s0 ] 1 fast broadcast 1 0 as 0'
    """
    writer = _Writer(opdef)
    kinds = "".join(map(_kind, opdef.inputs)) + "".join(a.type.__name__[0] for a in opdef.attrs)
    words = [opdef.name, kinds or "-", str(len(opdef.inputs))]
    if _is_slow(opdef):  # Python checks the shapes
        return " ".join([*words, *("*" for _ in opdef.inputs), str(len(opdef.outputs)), "slow"])
    words += [writer.pattern(part.shape) for part in opdef.inputs]
    words += [str(len(opdef.outputs)), "fast"]
    return " ".join([*words, *map(writer.output, opdef.outputs)])


def _kind(part: In) -> str:
    return "?" if part.optional else "L" if part.many else "T"


def _is_slow(opdef: OpDef) -> bool:
    arguments = len(opdef.inputs) + len(opdef.attrs) + len(opdef.outputs)
    shapes = [part.shape for part in opdef.inputs]  # an output has no symbol of its own
    symbols = {s for shape in shapes for s in shape or () if isinstance(s, str)} - {LEADING}
    lists = any(part.many for part in opdef.inputs)
    broadcast = any(_broadcasts_optional(opdef, out) for out in opdef.outputs)
    too_large = arguments > MAX_ARGUMENTS or len(symbols) > MAX_SYMBOLS
    return opdef.infer is not None or lists or broadcast or too_large


def _broadcasts_optional(opdef: OpDef, out: Out) -> bool:
    if out.like is not None or out.shape is not None:
        return False
    names = out.broadcast or opdef.input_names
    return any(part.optional for part in opdef.inputs if part.name in names)


@final
class _Writer:
    """Numbers symbols in the order in which they appear."""

    def __init__(self, opdef: OpDef) -> None:
        self._opdef = opdef
        self._symbols: dict[str, int] = {}

    def pattern(self, shape: Shape | None) -> str:
        if shape is None:
            return "*"
        return " ".join(["[", *map(self._size, shape), "]"])

    def output(self, out: Out) -> str:
        return f"{self._shape(out)} {self._dtype(out)}"

    def _shape(self, out: Out) -> str:
        if out.like is not None:
            return f"like {self._index(out.like)}"
        if out.shape is not None:
            return f"shape {self.pattern(out.shape)}"
        names = out.broadcast or self._opdef.input_names
        return " ".join(["broadcast", str(len(names)), *(str(self._index(n)) for n in names)])

    def _dtype(self, out: Out) -> str:
        dtype = DTYPES.get(out.dtype or "")
        if dtype is not None:
            return f"dtype {dtype.code} {dtype.bits}"
        source = out.dtype or out.like or self._opdef.input_names[0]
        return f"as {self._index(source)}"

    def _size(self, size: str | int) -> str:
        if size == LEADING or isinstance(size, int):
            return str(size)
        return f"s{self._symbols.setdefault(size, len(self._symbols))}"

    def _index(self, name: str) -> int:
        return self._opdef.input_names.index(name)
