"""One suite over every built-in source, in this process and in another, and over broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import (
    MEMORY,
    SOURCES,
    Description,
    Location,
    Position,
    Record,
    Shard,
    open_source,
)
from openautoglm.data.remote import RemoteSource, remote_source
from openautoglm.errors import PluginContributionError, PluginCrashedError
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = [{"id": n, "text": "请" * n, "note": None} for n in range(20)]


@pytest.fixture
def urls() -> Iterator[dict[str, object]]:
    MEMORY.put("rows", ROWS)
    yield {"url": "memory://rows", "missing_url": "memory://nothing"}
    MEMORY.drop("rows")


class Named:
    point = "source"
    contract = 1

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_a_table_in_memory_keeps_the_contract(urls: dict[str, object], *, is_remote: bool) -> None:
    opener: Any = SOURCES.get("memory")
    if is_remote:
        opener = remote_source(LocalRemote("source", opener), Named("memory"))
    findings = prove("source", opener, name="memory", **urls)
    skipped = {finding.row for finding in findings if finding.status == "skip"}
    assert skipped == {"source.bad_rows"}


class Rows:
    """A good source over a list; the broken ones below change one thing each."""

    def __init__(self, _location: Location) -> None:
        _location.check_options()

    def describe(self) -> Description:
        return Description(url="rows://", columns=(), fingerprint={"rows": "1"}, rows=len(ROWS))

    def shards(self, *, rows: int) -> Iterator[Shard]:
        for index, start in enumerate(range(0, len(ROWS), rows)):
            stop = min(start + rows, len(ROWS))
            yield Shard(index=index, start=str(start), stop=str(stop), rows=stop - start)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        whole = Shard(index=0, start="0", stop=str(len(ROWS)))
        asked = shard or whole
        for number in range(self.place(resume_from or asked.start), self.place(asked.stop)):
            yield self.record(number)

    def record(self, number: int) -> Record:
        return Record(key=f"rows:{number}", position=str(number + 1), values=ROWS[number])

    def place(self, position: Position | None) -> int:
        from openautoglm.errors import SourceChangedError

        if position is None or not position.isdecimal():
            raise SourceChangedError("no such place")
        return int(position)

    def close(self) -> None:
        pass


class StrictRows(Rows):
    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        if resume_from is not None:
            self.place(resume_from)
        return super().read(shard, resume_from=resume_from)


class NoFingerprint(StrictRows):
    def describe(self) -> Description:
        return Description(url="rows://", columns=(), fingerprint={})


class Overcounts(StrictRows):
    def describe(self) -> Description:
        return Description(url="", columns=(), fingerprint={"rows": "1"}, rows=len(ROWS) + 1)


class SameKeys(StrictRows):
    def record(self, number: int) -> Record:
        return Record(key="row", position=str(number + 1), values=ROWS[number])


class PositionBefore(StrictRows):
    def record(self, number: int) -> Record:
        return Record(key=f"rows:{number}", position=str(number), values=ROWS[number])


class ShardsOverlap(StrictRows):
    def shards(self, *, rows: int) -> Iterator[Shard]:
        for shard in super().shards(rows=rows):
            start = max(0, int(shard.start or 0) - 1)
            yield Shard(index=shard.index, start=str(start), stop=shard.stop)


class ShardsForget(StrictRows):
    def shards(self, *, rows: int) -> Iterator[Shard]:
        yield from [shard for shard in super().shards(rows=rows) if shard.rows == rows]


class RunsOverTheShard(StrictRows):
    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        return super().read(None if resume_from else shard, resume_from=resume_from)


class SharesItsPlace(StrictRows):
    def __init__(self, location: Location) -> None:
        super().__init__(location)
        self._next = 0

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        records = list(super().read(shard, resume_from=resume_from))
        self._next = 0
        while self._next < len(records):
            self._next += 1
            yield records[self._next - 1]


class TakesAnyPlace(StrictRows):
    def place(self, position: Position | None) -> int:
        return int(position) if position is not None and position.isdecimal() else 0


class StopsAtABadRow(StrictRows):
    def record(self, number: int) -> Record:
        from openautoglm.errors import BadRowError

        if number == 3:
            raise BadRowError("rows:3 cannot be read")
        return super().record(number)


class TakesAnyOption(StrictRows):
    def __init__(self, _location: Location) -> None:
        pass


class ClosesOnce(StrictRows):
    is_closed = False

    def close(self) -> None:
        if self.is_closed:
            raise ValueError("closed")
        self.is_closed = True


def test_the_good_source_of_the_broken_ones_is_good() -> None:
    prove("source", StrictRows, url="rows://")


@pytest.mark.parametrize(
    ("source", "row"),
    [
        (NoFingerprint, "source.describes"),
        (Overcounts, "source.schema"),
        (SameKeys, "source.reads"),
        (PositionBefore, "source.resumes"),
        (ShardsOverlap, "source.shards"),
        (ShardsForget, "source.shards"),
        (RunsOverTheShard, "source.shards_resume"),
        (SharesItsPlace, "source.turns"),
        (TakesAnyPlace, "source.positions"),
        (StopsAtABadRow, "source.bad_rows"),
        (StrictRows, "source.missing"),
        (TakesAnyOption, "source.options"),
        (ClosesOnce, "source.closes"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_source_is_caught_by_the_row_that_should(
    source: Callable[..., object], row: str
) -> None:
    urls = {"url": "rows://", "bad_url": "rows://", "missing_url": "rows://nothing"}
    findings = POINTS.get("source").findings(lambda: source, urls)
    failed = {finding.row: finding for finding in findings if finding.status == "fail"}
    assert row in failed
    assert failed[row].measured
    assert failed[row].fix


def test_what_is_not_given_to_the_suite_is_skipped_with_the_option_it_wants() -> None:
    findings = list(POINTS.get("source").findings(lambda: StrictRows, {}))
    assert {finding.status for finding in findings} == {"skip"}
    assert all("give the option" in finding.measured for finding in findings)
    with pytest.raises(PluginContributionError):
        prove("source", StrictRows)


class DyingRemote(LocalRemote):
    """Dies after every block of a reading."""

    deaths = 0

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        for value in super().stream(method, *args, timeout_s=timeout_s, **kwargs):
            yield value
            if method == "read":
                self.deaths += 1
                self.restart()
                raise PluginCrashedError("the worker died")


def test_a_reading_goes_on_behind_the_last_row_when_its_worker_dies() -> None:
    MEMORY.put("many", [{"n": n} for n in range(300)])
    remote = DyingRemote("source", SOURCES.get("memory"))
    with owned_by("acme"):
        SOURCES.add("far", remote_source(remote, Named("far")))
    try:
        source = open_source("far://many")
        shard = next(source.shards(rows=200))
        assert [r.values["n"] for r in source.read(shard)] == list(range(200))
        assert remote.deaths >= 3
    finally:
        SOURCES.revoke("acme")
        MEMORY.drop("many")


def test_a_reading_whose_worker_dies_again_and_again_ends_in_the_error() -> None:
    class Dead(LocalRemote):
        def stream(
            self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
        ) -> Iterator[object]:
            del args, timeout_s, kwargs
            raise PluginCrashedError(f"the worker died in `{method}`")

    MEMORY.put("t", ROWS)
    location = Location(url="memory://t", scheme="memory", path="t")
    source = RemoteSource(Dead("source", SOURCES.get("memory")), location)
    with pytest.raises(PluginCrashedError):
        list(source.read())
    MEMORY.drop("t")
