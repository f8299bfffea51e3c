"""A reading that breaks off goes on behind the last row, where that may help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import pytest

from openautoglm.data import Description, Record, Shard
from openautoglm.jobs.running.reading import TRIES, steadily

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARD: Final = Shard(index=0, rows=6)


@final
class Shaky:
    """Six rows, and an error before some of them, each time that is listed."""

    def __init__(self, before: list[int], error: Exception) -> None:
        self._before, self._error = list(before), error

    def describe(self) -> Description:
        return Description(url="shaky://", columns=(), fingerprint={})

    def shards(self, *, rows: int) -> Iterator[Shard]:
        del rows
        yield SHARD

    def read(
        self, shard: Shard | None = None, *, resume_from: str | None = None
    ) -> Iterator[Record]:
        assert shard == SHARD
        for n in range(int(resume_from or 0), 6):
            if n in self._before:
                self._before.remove(n)
                raise self._error
            yield Record(key=str(n), position=str(n + 1), values={"n": n})

    def close(self) -> None:
        pass


def test_rows_come_once_and_in_order_though_the_reading_breaks_off() -> None:
    waits: list[float] = []
    source = Shaky([0, 3, 3, 5], ConnectionResetError())
    assert [r.key for r in steadily(source, SHARD, waits.append)] == list("012345")
    assert len(waits) == 4


def test_an_error_that_cannot_pass_ends_the_reading() -> None:
    with pytest.raises(ValueError, match="wrong"):
        list(steadily(Shaky([2], ValueError("wrong")), SHARD, lambda _: None))


def test_a_reading_that_gets_nowhere_ends() -> None:
    source = Shaky([2] * TRIES, TimeoutError())
    with pytest.raises(TimeoutError):
        list(steadily(source, SHARD, lambda _: None))
