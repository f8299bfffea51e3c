"""The smallest call that still shows a failure.

Pure: proposes smaller samples and keeps those of which it is told that they still fail.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from openautoglm.ops.check.sample import DENSE
from openautoglm.ops.check.sampler import is_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.opdef import OpDef

T = TypeVar("T")

BUDGET: Final = 60
"""How many calls are made at most to make one failure smaller."""


def shrink(
    opdef: OpDef,
    sample: Sample,
    simple: Sample,
    fails: Callable[[Sample], bool],
    budget: int = BUDGET,
) -> Sample:
    """Return a smallest sample for which `fails` holds, as it does for `sample`.

    Args:
        opdef: the operator; calls it refuses are not proposed.
        sample: fails.
        simple: where attributes and dtypes come from that do not matter.
        fails: makes the call.
        budget: how often `fails` is called at most.
    """
    smallest = sample
    tried = {sample}
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in _smaller(smallest, simple):
            if candidate in tried or not is_taken(opdef, candidate):
                continue
            if budget == 0:
                return smallest
            budget -= 1
            tried.add(candidate)
            if fails(candidate):
                smallest, is_smaller = candidate, True
                break
    return smallest


def _smaller(sample: Sample, simple: Sample) -> Iterator[Sample]:
    """Yield samples that are one step simpler, the largest steps first."""
    yield from _plainer_attrs(sample, simple)
    yield from _denser(sample)
    for place in range(len(sample.special)):
        yield replace(sample, special=_without(sample.special, place))
    yield replace(sample, squeezes=())
    yield replace(sample, length=max(sample.length - 1, 1))
    yield replace(sample, leading=())
    for place in range(len(sample.leading)):
        yield replace(sample, leading=_without(sample.leading, place))
    yield from _smaller_sizes(sample)
    yield from _earlier_special(sample)


def _plainer_attrs(sample: Sample, simple: Sample) -> Iterator[Sample]:
    yield replace(sample, attrs=simple.attrs)
    for place, value in enumerate(simple.attrs):
        yield replace(sample, attrs=_with(sample.attrs, place, value))


def _denser(sample: Sample) -> Iterator[Sample]:
    for place in range(len(sample.layouts)):
        yield replace(sample, layouts=_with(sample.layouts, place, DENSE[0]))


def _smaller_sizes(sample: Sample) -> Iterator[Sample]:
    for place, size in enumerate(sample.leading):
        for smaller in _sizes_below(size):
            yield replace(sample, leading=_with(sample.leading, place, smaller))
    for place, (symbol, size) in enumerate(sample.sizes):
        for smaller in _sizes_below(size):
            yield replace(sample, sizes=_with(sample.sizes, place, (symbol, smaller)))


def _earlier_special(sample: Sample) -> Iterator[Sample]:
    """Yield samples whose values that are not finite stand first, so that sizes can follow."""
    for place, (index, _, value) in enumerate(sample.special):
        yield replace(sample, special=_with(sample.special, place, (index, 0, value)))


def _with(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])


def _without(values: tuple[T, ...], place: int) -> tuple[T, ...]:
    return values[:place] + values[place + 1 :]


def _sizes_below(size: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(n for n in (0, 1, 2, size // 2, size - 1) if 0 <= n < size))
