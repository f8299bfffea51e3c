"""Which calls are made: drawn from the contract, the same ones for the same seed.

Owns the choice of sizes, layouts, dtypes, attributes and special values. Whether an operator takes
a call is asked of its contract; calls it refuses are left out. Makes no array.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.arguments import LEADING, REQUIRED
from openautoglm.ops.call import infer_outputs
from openautoglm.ops.check.sample import DENSE, Sample, Squeeze

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.ops.arguments import Attr, AttrValue
    from openautoglm.ops.check.sample import Layout, SpecialValue
    from openautoglm.ops.opdef import OpDef

Leading: TypeAlias = tuple[int, ...]

LARGE: Final = 1027
"""More than a vector, a page of bytes in every dtype, and no multiple of anything."""
_LEADINGS: Final[tuple[Leading, ...]] = (
    (),
    (0,),
    (1,),
    (3,),
    (2, 3),
    (3, 0, 2),
    (1, 5, 1),
    (LARGE,),
)
_SIZES: Final = (1, 2, 7, 0, 16, 33, LARGE)
MOST_ELEMENTS: Final = 2**22
"""Of all inputs together: a call with more shows nothing that fewer do not, only later."""
_SPECIAL: Final[tuple[SpecialValue, ...]] = ("nan", "inf", "-inf")
_RANDOM_ATTRS: Final = {"full": 3, "quick": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Draws calls of one operator.

    Attributes:
        opdef: its contract.
        dtypes: what the first input may be; others are left out.
        seed: all choices follow from it.
        profile: `full`, or `quick` for fewer sizes and values.
    """

    opdef: OpDef
    dtypes: tuple[str, ...]
    seed: int = 0
    profile: str = "full"

    def samples(self) -> tuple[Sample, ...]:
        """Return all calls, those that ask the simplest first."""
        made: dict[Sample, None] = {}
        for dtype in self.dtypes:
            for sample in self._of_dtype(dtype):
                if sample.elements(self.opdef) <= MOST_ELEMENTS and is_taken(self.opdef, sample):
                    made.setdefault(sample)
        return tuple(made)

    def base(self, dtype: str) -> Sample:
        """Return a small ordinary call: odd sizes, dense, all inputs given, default attributes."""
        return Sample(
            row="values",
            leading=(2, 3),
            sizes=tuple((symbol, 3 + place) for place, symbol in enumerate(self._symbols())),
            dtypes=self._input_dtypes(dtype),
            layouts=DENSE * len(self.opdef.inputs),
            attrs=tuple(_ordinary(attr) for attr in self.opdef.attrs),
            seed=self.seed,
        )

    def _of_dtype(self, dtype: str) -> Iterator[Sample]:
        base = self.base(dtype)
        yield base
        yield from self._sized(base)
        yield from self._laid_out(base)
        yield from self._broadcast(base)
        yield from self._optional(base)
        yield from self._attributed(base)
        yield from self._special(base)
        yield replace(base, row="aliasing", shared=True)

    def _sized(self, base: Sample) -> Iterator[Sample]:
        symbols = self._symbols()
        leadings = _LEADINGS if self._has_leading() else (base.leading,)
        for leading in leadings:
            yield replace(base, row="shapes", leading=leading)
        for size in _SIZES:
            for symbol in symbols:
                sizes = tuple((s, size if s == symbol else n) for s, n in base.sizes)
                yield replace(base, row="shapes", sizes=sizes)
            if len(symbols) > 1:
                yield replace(base, row="shapes", sizes=tuple((s, size) for s in symbols))

    def _laid_out(self, base: Sample) -> Iterator[Sample]:
        layouts: tuple[Layout, ...] = ("transposed", "sliced", "expanded", "negative")
        count = len(self.opdef.inputs)
        large = replace(base, leading=(5, 7), sizes=tuple((s, 9) for s, _ in base.sizes))
        for layout in layouts:
            for start in (base, large) if self.profile == "full" else (large,):
                yield replace(start, row="strides", layouts=(layout,) * count)
            for index in range(count if count > 1 else 0):
                mixed: list[Layout] = ["dense"] * count
                mixed[index] = layout
                yield replace(base, row="strides", layouts=tuple(mixed))

    def _broadcast(self, base: Sample) -> Iterator[Sample]:
        """Vary shapes of inputs of any shape, where an output is what they broadcast to."""
        count = len(self.opdef.inputs)
        free = [i for i, part in enumerate(self.opdef.inputs) if part.shape is None]
        asks = self.opdef.infer is not None or any(
            out.like is None and out.shape is None for out in self.opdef.outputs
        )
        if count < 2 or not free or not asks:  # noqa: PLR2004 - one input broadcasts to itself
            return
        for squeeze in (
            Squeeze(dropped=1),
            Squeeze(dropped=2),
            Squeeze(ones=(-1,)),
            Squeeze(ones=(-2,)),
        ):
            for index in free:
                squeezes = [Squeeze()] * count
                squeezes[index] = squeeze
                yield replace(base, row="broadcast", squeezes=tuple(squeezes))

    def _optional(self, base: Sample) -> Iterator[Sample]:
        optional = [part.name for part in self.opdef.inputs if part.optional]
        for name in optional:
            yield replace(base, row="optional", absent=(name,))
        if len(optional) > 1:
            yield replace(base, row="optional", absent=tuple(optional))
        if any(part.many for part in self.opdef.inputs):
            for length in (1, 3, 5):
                yield replace(base, row="lists", length=length)

    def _attributed(self, base: Sample) -> Iterator[Sample]:
        rng = random.Random(f"{self.seed} {self.opdef.name}")  # noqa: S311 - drawn again on purpose
        for place, attr in enumerate(self.opdef.attrs):
            for value in _attr_values(attr, rng, _RANDOM_ATTRS[self.profile]):
                attrs = (*base.attrs[:place], value, *base.attrs[place + 1 :])
                yield replace(base, row="attributes", attrs=attrs)

    def _special(self, base: Sample) -> Iterator[Sample]:
        start = replace(base, leading=(2, 5), sizes=tuple((s, 17) for s, _ in base.sizes))
        for index, part in enumerate(self.opdef.inputs):
            if base.dtypes[index] not in ("f16", "bf16", "f32", "f64") or part.many:
                continue
            for at in (0, 4):
                yield replace(start, row="nan", special=((index, at, "nan"),))
            for value in _SPECIAL[1:]:
                yield replace(start, row="infinity", special=((index, 1, value),))

    def _input_dtypes(self, dtype: str) -> tuple[str, ...]:
        chosen: dict[str, str] = {}
        for index, part in enumerate(self.opdef.inputs):
            if part.like is not None:
                chosen[part.name] = chosen[part.like]
            else:
                chosen[part.name] = dtype if index == 0 else part.dtypes[0]
        return tuple(chosen.values())

    def _symbols(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for part in self.opdef.inputs:
            for symbol in part.shape or ():
                if isinstance(symbol, str) and symbol != LEADING:
                    found.setdefault(symbol)
        return tuple(found)

    def _has_leading(self) -> bool:
        patterns = [part.shape for part in self.opdef.inputs]
        return any(shape is None or shape[:1] == (LEADING,) for shape in patterns)


def is_taken(opdef: OpDef, sample: Sample) -> bool:
    """Return whether the contract takes this call."""
    try:
        infer_outputs(opdef, sample.specs(opdef), sample.attrs)
    except OperatorArgumentError:
        return False
    return True


def _ordinary(attr: Attr) -> AttrValue:
    if attr.default is not REQUIRED:
        return attr.default
    if attr.choices is not None:
        return attr.choices[0]
    low = 0.5 if attr.low is None else max(0.5, attr.low + 0.5)
    number = low if attr.high is None else min(low, attr.high)
    plain: dict[type, AttrValue] = {bool: True, str: "a", float: float(number), int: 1}
    value = attr.read(plain[attr.type])
    return value if value is not None else attr.type(attr.low or attr.high or 0)


def _attr_values(attr: Attr, rng: random.Random, count: int) -> Iterator[AttrValue]:
    """Yield the ends of what is allowed, and values between drawn at random."""
    candidates: list[object] = list(attr.choices or ())
    if attr.type is bool:
        candidates = [False, True]
    elif attr.choices is None and attr.type is not str:
        drawn = [rng.uniform(-3, 3) for _ in range(count)]
        near = [n if attr.low is None else attr.low + abs(n) for n in drawn]
        numbers = [*(n for n in (attr.low, attr.high) if n is not None), 0, 2, -1, *near]
        candidates = [attr.type(number) for number in numbers]
    ordinary = _ordinary(attr)
    for candidate in dict.fromkeys(candidates):
        value = attr.read(candidate)
        if value is not None and value != ordinary:
            yield value
