"""Jobs whose workers are killed at random: innocent rows are never out, guilty ones are soon."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.jobs.ledger.records import Evidence, Met
from openautoglm.jobs.running.suspicion import LEAST, MOST, PLAIN, Suspicion

WINDOW: Final = 132
SHARD: Final = 200
JOBS: Final = 30
COMPANY: Final = 2
"""Deaths with many rows under way, after which the rows of a shard are worked on one by one."""


@dataclass
class Sham:
    """A job whose workers are killed from outside so often a second, while rows are alone."""

    chance: random.Random
    rate: float
    guilty: tuple[int, int] | None = None
    deaths: list[tuple[int, Met]] = field(default_factory=list)
    blamed: Counter[tuple[int, int]] = field(default_factory=Counter)
    out: dict[tuple[int, int], int] = field(default_factory=dict)
    tries: int = 0
    cleared: int = 0
    owners: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        if self.rate:
            self.die(-1, 0, None)  # a driver: somebody outside kills

    def die(self, shard: int, handed: int, alone: int | None) -> None:
        self.deaths.append((shard, Met(f"w{next(self.owners)}", handed, alone)))
        if alone is not None:
            self.blamed[shard, alone] += 1

    def suspicion(self, shard: int) -> Suspicion:
        alone = [(at, met.alone) for at, met in self.deaths if met.alone is not None]
        evidence = Evidence(
            killed=len(self.deaths),
            here=tuple(met for at, met in self.deaths if at == shard),
            tries=self.tries,
            hits=len(alone),
            rows_hit=len(set(alone)),
            cleared=self.cleared,
        )
        return Suspicion(evidence, window=WINDOW)

    def try_alone(self, shard: int, row: int, seconds: float) -> bool:
        """Begin a row alone; return whether it came back."""
        self.tries += 1
        is_hit = self.chance.random() > math.exp(-self.rate * seconds)
        if is_hit or (shard, row) == self.guilty:
            self.die(shard, row, row)
            return False
        self.cleared += self.blamed[shard, row] > 0
        return True

    def work(self, shard: int) -> None:
        """Work through a shard that is worked on carefully, claim after claim."""
        seconds = [0.04 * self.chance.lognormvariate(0.0, 0.4) for _ in range(SHARD)]
        handed = self.chance.randrange(SHARD)  # more or less of it was begun
        if self.guilty is not None and shard == self.guilty[0]:
            handed = max(handed, self.guilty[1] + 1)
        left = list(range(handed))
        for _ in range(COMPANY):
            self.die(shard, handed, None)
        while left:
            self.claim(shard, left, seconds)

    def claim(self, shard: int, left: list[int], seconds: list[float]) -> None:
        """Go on until the worker dies or nothing is left."""
        suspicion = self.suspicion(shard)
        deaths = {row: self.blamed[shard, row] for row in left}
        for row in [row for row in left if deaths[row] and suspicion.is_enough(row, deaths[row])]:
            self.out[shard, row] = deaths[row]
            left.remove(row)
        for row in sorted(left, key=lambda row: (deaths[row] > 0, row)):
            if not self.try_alone(shard, row, seconds[row]):
                return
            left.remove(row)


@pytest.mark.parametrize("rate", [0.05, 0.5, 1.0, 2.0, 4.0])
def test_an_innocent_row_is_never_out_however_often_workers_are_killed(rate: float) -> None:
    hits = 0
    for seed in range(JOBS):
        job = Sham(random.Random(seed), rate)  # noqa: S311 - a simulation
        for shard in range(20):
            job.work(shard)
        hits += sum(job.blamed.values())
        assert job.out == {}
    assert hits > JOBS * 20 * 100 * 0.04 * rate * 0.5  # rows were hit while they were alone


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0, 2.0, 4.0])
def test_a_guilty_row_is_out_within_the_bound_and_it_alone(rate: float) -> None:
    deaths: list[int] = []
    for seed in range(JOBS):
        chance = random.Random(seed)  # noqa: S311 - a simulation
        job = Sham(chance, rate, guilty=(chance.randrange(10), chance.randrange(SHARD)))
        for shard in range(10) if rate else [job.guilty[0] if job.guilty else 0]:
            job.work(shard)
        assert list(job.out) == [job.guilty]
        deaths += job.out.values()
    if rate:
        assert max(deaths) <= MOST
        assert sum(deaths) / len(deaths) < 2.5 * LEAST
    else:
        assert set(deaths) == {PLAIN}


@given(
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.integers(1, 999),
    st.integers(0, 10**5),
    st.data(),
)
def test_any_record_asks_for_as_many_deaths_as_there_can_be(
    tries: int, more_hits: int, rows_hit: int, cleared: int, data: st.DataObject
) -> None:
    record = Evidence(
        killed=data.draw(st.integers(1, 10**4)),
        tries=tries,
        hits=rows_hit + more_hits,
        rows_hit=rows_hit,
        cleared=cleared,
    )
    deaths = data.draw(st.integers(1, 1 + more_hits))
    assert LEAST <= Suspicion(record, window=WINDOW).needed(7, deaths) <= MOST


def test_a_death_that_a_row_cannot_explain_makes_it_need_more_of_them() -> None:
    own = (Met("a", 3, None), Met("b", 3, None), Met("c", 9, 7), Met("d", 9, 7))

    def needed(*more: Met, killed: int, ordinal: int = 7) -> int:
        record = Evidence(killed=killed, here=(*own, *more), tries=500, hits=2, rows_hit=1)
        return Suspicion(record, window=5).needed(ordinal, 2)

    assert needed(killed=4) == PLAIN
    assert needed(Met("a", 9, None), killed=4) == PLAIN  # who had the shard twice
    assert needed(killed=5) == LEAST  # a driver, or a worker that did not have the shard
    assert needed(Met("e", 9, -1), killed=5) == LEAST
    assert needed(Met("e", 9, 8), killed=5) == LEAST
    assert needed(Met("e", 2, None), killed=5) == LEAST  # it had not come so far
    assert needed(Met("e", 3, None), killed=5) == PLAIN
    assert needed(killed=4, ordinal=8) == LEAST
