from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.randomness import BLOCK, Stream, fresh_seed, uniforms

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 9))
def test_a_number_depends_on_seed_row_and_step_alone(
    seed: int, row: int, first: int, count: int
) -> None:
    together = uniforms(seed, row, first, count)
    alone = [uniforms(seed, row, first + step, 1)[0] for step in range(count)]
    assert together.tolist() == [float(number) for number in alone]
    assert together.dtype == np.float32
    assert ((together >= 0) & (together < 1)).all()


@given(SEEDS, st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=8))
def test_a_stream_may_be_read_in_any_order(seed: int, steps: list[int]) -> None:
    stream = Stream(seed, 2)
    wanted = uniforms(seed, 2, 0, 3 * BLOCK + 1)
    assert [stream.at(step) for step in steps] == [float(wanted[step]) for step in steps]


def test_other_seeds_and_other_rows_give_other_numbers() -> None:
    streams = [uniforms(seed, row, 0, 50) for seed in (0, 1, 2**62) for row in (0, 1, 7)]
    assert len({tuple(stream.tolist()) for stream in streams}) == len(streams)
    correlations = np.corrcoef(np.stack([uniforms(3, row, 0, 4000) for row in range(6)]))
    assert np.abs(correlations - np.eye(6)).max() < 0.08


def test_the_numbers_fill_the_interval_evenly() -> None:
    counts = np.histogram(uniforms(5, 0, 0, 40_000), bins=20, range=(0, 1))[0]
    assert np.abs(counts - 2000).max() < 250


def test_the_numbers_of_a_seed_never_change() -> None:
    assert (uniforms(1234, 5, 0, 3) * 2**24).astype(int).tolist() == [9667787, 5364869, 7972484]


def test_without_a_seed_there_is_a_fresh_one() -> None:
    assert Stream().seed != Stream().seed
    assert 0 <= fresh_seed() < 2**63
