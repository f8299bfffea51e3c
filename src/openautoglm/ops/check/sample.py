"""One call to make, as plain data: sizes, dtypes, layouts, special values, attributes.

Owns `Sample` and its reading as shapes and text. Draws nothing and holds no array, so that a sample
can go to another process, be made smaller, and be printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from openautoglm.ops.arguments import LEADING, ArraySpec

if TYPE_CHECKING:
    from openautoglm.ops.arguments import AttrValue, In
    from openautoglm.ops.opdef import InputSpec, OpDef

Layout: TypeAlias = Literal["dense", "transposed", "sliced", "expanded", "negative"]
SpecialValue: TypeAlias = Literal["nan", "inf", "-inf"]

DENSE: Final[tuple[Layout]] = ("dense",)
"""In order, without gaps; repeated for several inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeeze:
    """How the shape of an input is made to broadcast.

    Attributes:
        dropped: how many outer dimensions it does not have.
        ones: dimensions, counted from the last as -1, that have size 1.
    """

    dropped: int = 0
    ones: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One call.

    Attributes:
        row: the property that the call asks about.
        leading: the sizes of `...` and of inputs of any shape.
        sizes: the size of each symbol.
        dtypes: of each input, in order.
        layouts: of each input, in order.
        squeezes: how each input broadcasts, in order; empty where none does.
        absent: names of optional inputs that are not given.
        length: how many arrays a list has.
        shared: inputs of one shape and dtype are one array.
        special: (input, element, value) of values that are not finite.
        attrs: values of all attributes, in order.
        seed: what the values are drawn from.
    """

    row: str
    leading: tuple[int, ...] = (2,)
    sizes: tuple[tuple[str, int], ...] = ()
    dtypes: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = ()
    squeezes: tuple[Squeeze, ...] = ()
    absent: tuple[str, ...] = ()
    length: int = 2
    shared: bool = False
    special: tuple[tuple[int, int, SpecialValue], ...] = ()
    attrs: tuple[AttrValue, ...] = field(default=(), hash=False)
    seed: int = 0

    def specs(self, opdef: OpDef) -> tuple[InputSpec, ...]:
        """Return what each input is: an array, None, or a list."""
        found: list[InputSpec] = []
        for index, part in enumerate(opdef.inputs):
            spec = ArraySpec(self._shape(part, index), self.dtypes[index])
            if part.name in self.absent:
                found.append(None)
            else:
                found.append((spec,) * self.length if part.many else spec)
        return tuple(found)

    def elements(self, opdef: OpDef) -> int:
        """Return how many elements all inputs have together."""
        specs = (spec if isinstance(spec, tuple) else (spec,) for spec in self.specs(opdef))
        return sum(prod(one.shape) for many in specs for one in many if one is not None)

    def text(self, opdef: OpDef) -> str:
        """Return the call as a person reads it."""
        words = []
        for index, (part, spec) in enumerate(zip(opdef.inputs, self.specs(opdef), strict=True)):
            words.append(f"{part.name}={self._input_text(index, spec)}")
        values = zip(opdef.attr_names, self.attrs, strict=True)
        words += [f"{name}={value!r}" for name, value in values]
        shared = ", one array for all" if self.shared else ""
        return f"{opdef.name}({', '.join(words)}){shared}, seed {self.seed}"

    def _shape(self, part: In, index: int) -> tuple[int, ...]:
        if part.shape is None:
            shape = self.leading
        else:
            sizes = dict(self.sizes)
            shape = ()
            for symbol in part.shape:
                if symbol == LEADING:
                    shape += self.leading
                else:
                    shape += (symbol if isinstance(symbol, int) else sizes[symbol],)
        return _squeezed(shape, self.squeezes[index]) if self.squeezes else shape

    def _input_text(self, index: int, spec: InputSpec) -> str:
        if spec is None:
            return "None"
        one = spec[0] if isinstance(spec, tuple) else spec
        text = f"{one.dtype}[{', '.join(map(str, one.shape))}]"
        if self.layouts[index] != "dense":
            text += f" {self.layouts[index]}"
        if isinstance(spec, tuple):
            text = f"{len(spec)} of {text}"
        values = [f"{value} at {at}" for which, at, value in self.special if which == index]
        return f"{text} with {', '.join(values)}" if values else text


def _squeezed(shape: tuple[int, ...], squeeze: Squeeze) -> tuple[int, ...]:
    rank = len(shape)
    sizes = [1 if axis - rank in squeeze.ones else size for axis, size in enumerate(shape)]
    return tuple(sizes[squeeze.dropped :])
