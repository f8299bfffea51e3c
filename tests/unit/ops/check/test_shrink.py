"""A failure is made as small as it can be, whatever it depends on."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.ops.arguments import ArraySpec
from openautoglm.ops.check.sample import Sample
from openautoglm.ops.check.sampler import Sampler
from openautoglm.ops.check.shrink import shrink
from openautoglm.ops.opdef import OpDef

if TYPE_CHECKING:
    from collections.abc import Callable

NORM = OpDef.from_schema(
    "norm(Tensor x[..., n], Tensor? weight[n], float eps=1e-6) -> Tensor y[...]"
)
SAMPLER = Sampler(opdef=NORM, dtypes=("f32",))


def shapes(sample: Sample) -> tuple[int, ...]:
    first = sample.specs(NORM)[0]
    assert isinstance(first, ArraySpec)
    return first.shape


def smallest(sample: Sample, fails: Callable[[Sample], bool]) -> Sample:
    return shrink(NORM, sample, SAMPLER.base("f32"), fails, budget=500)


@given(limit=st.integers(1, 30))
def test_the_size_it_depends_on_is_the_smallest_that_fails(limit: int) -> None:
    start = Sample(
        row="shapes",
        leading=(2, 3),
        sizes=(("n", 33),),
        dtypes=("f32", "f32"),
        layouts=("sliced", "dense"),
        attrs=(2.0,),
    )

    found = smallest(start, lambda sample: shapes(sample)[-1] >= limit)

    assert shapes(found) == (limit,)
    assert found.layouts == ("dense", "dense")
    assert found.attrs == (1e-6,)


@given(limit=st.integers(2, 40))
def test_the_number_of_elements_it_depends_on_is_nearly_reached(limit: int) -> None:
    start = Sample(
        row="shapes",
        leading=(5, 7),
        sizes=(("n", 9),),
        dtypes=("f32", "f32"),
        layouts=("dense", "dense"),
        attrs=(1e-6,),
    )

    found = smallest(start, lambda sample: prod(shapes(sample)) >= limit)

    assert limit <= prod(shapes(found)) < 2 * limit


def test_samples_are_the_same_for_a_seed_and_others_for_another() -> None:
    again = Sampler(opdef=NORM, dtypes=("f32",)).samples()
    other = Sampler(opdef=NORM, dtypes=("f32",), seed=1).samples()

    assert SAMPLER.samples() == again
    assert again != other


def test_samples_hold_empty_large_scalar_and_absent_inputs() -> None:
    drawn = SAMPLER.samples()

    assert any(0 in shapes(sample) for sample in drawn)
    assert any(max(shapes(sample)) > 1000 for sample in drawn)
    assert any(len(shapes(sample)) == 1 for sample in drawn)
    assert any(sample.absent == ("weight",) for sample in drawn)
    assert {layout for sample in drawn for layout in sample.layouts} == {
        *("dense", "transposed", "sliced", "expanded", "negative")
    }
