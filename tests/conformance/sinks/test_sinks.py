"""One suite over every built-in sink, in this process and in another, and over broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import (
    MEMORY,
    SINKS,
    SOURCES,
    Location,
    Part,
    Receipt,
    Row,
    open_sink,
    open_source,
)
from openautoglm.data.remote import RemoteSink, remote_sink
from openautoglm.data.servant import SinkServant, SourceServant
from openautoglm.errors import PluginContributionError, SinkConflictError
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in MEMORY.names():
        MEMORY.drop(name)


class Named:
    point = "sink"
    contract = 1

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_a_table_in_memory_keeps_the_contract(*, is_remote: bool) -> None:
    opener: Any = SINKS.get("memory")
    if is_remote:
        opener = remote_sink(LocalRemote("sink", opener), Named("memory"))
    urls = {"url": "memory://out-{n}", "part_url": "memory://parts-{n}"}
    findings = prove("sink", opener, name="memory", **urls)
    assert {finding.status for finding in findings} == {"pass"}


class Tables:
    """A good sink over `MEMORY`; the broken ones below change one thing each."""

    def __init__(self, location: Location, part: Part | None) -> None:
        self._inner: Any = SINKS.get("memory")(location, part)
        self.path = location.path

    def committed(self) -> Receipt | None:
        found: Receipt | None = self._inner.committed()
        return found

    def write(self, rows: Sequence[Row]) -> None:
        self._inner.write(rows)

    def commit(self) -> Receipt:
        receipt: Receipt = self._inner.commit()
        return receipt

    def abort(self) -> None:
        self._inner.abort()


class ShowsTooEarly(Tables):
    def write(self, rows: Sequence[Row]) -> None:
        super().write(rows)
        MEMORY.put(self.path, list(rows))


class Miscounts(Tables):
    def commit(self) -> Receipt:
        super().commit()
        return Receipt(url="", rows=0)


class CommitsTwice(Tables):
    count = 0

    def commit(self) -> Receipt:
        self.count += 1
        receipt = super().commit()
        return Receipt(url=f"{receipt.url}#{self.count}", rows=receipt.rows)


class KeepsWhenAborted(Tables):
    def abort(self) -> None:
        try:
            self._inner.commit()
        except SinkConflictError:
            return


class TakesMoreAfterTheEnd(Tables):
    def write(self, rows: Sequence[Row]) -> None:
        try:
            super().write(rows)
        except SinkConflictError:
            return


class TakesHalfABatch(Tables):
    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            super().write([row])


class Appends(Tables):
    def commit(self) -> Receipt:
        before = list(MEMORY.table(self.path).rows) if self.path in MEMORY.names() else []
        receipt = super().commit()
        MEMORY.put(self.path, [*before, *MEMORY.table(self.path).rows])
        return receipt


class RefusesNothingness(Tables):
    written = 0

    def write(self, rows: Sequence[Row]) -> None:
        self.written += len(rows)
        super().write(rows)

    def commit(self) -> Receipt:
        if not self.written:
            raise SinkConflictError("there are no rows")
        return super().commit()


class LastAttemptWins(Tables):
    def __init__(self, location: Location, part: Part | None) -> None:
        self.part = part
        super().__init__(location, None)
        self.rows: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        super().write(rows)


class NeverTellsWhatWasCommitted(Tables):
    def committed(self) -> Receipt | None:
        return None


class SortsPartsByTime(Tables):
    def __init__(self, location: Location, part: Part | None) -> None:
        count = len(MEMORY.table(location.path).parts) if location.path in MEMORY.names() else 0
        super().__init__(location, part and Part(job=part.job, shard=count, attempt=part.attempt))


class AbortTakesAnothersPart(Tables):
    def abort(self) -> None:
        super().abort()
        MEMORY.drop(self.path)


class TakesAnyOption(Tables):
    def __init__(self, location: Location, part: Part | None) -> None:
        super().__init__(Location(url=location.url, scheme="memory", path=location.path), part)


URLS = {"url": "memory://broken-{n}", "part_url": "memory://parts-{n}"}


def test_the_good_sink_of_the_broken_ones_is_good() -> None:
    prove("sink", Tables, **URLS)


@pytest.mark.parametrize(
    ("sink", "row"),
    [
        (ShowsTooEarly, "sink.commits"),
        (Miscounts, "sink.commits"),
        (CommitsTwice, "sink.commits_again"),
        (KeepsWhenAborted, "sink.aborts"),
        (TakesMoreAfterTheEnd, "sink.ends"),
        (TakesHalfABatch, "sink.bad_rows"),
        (Appends, "sink.replaces"),
        (RefusesNothingness, "sink.empty"),
        (LastAttemptWins, "sink.parts_once"),
        (NeverTellsWhatWasCommitted, "sink.parts_known"),
        (SortsPartsByTime, "sink.parts_join"),
        (AbortTakesAnothersPart, "sink.parts_dead"),
        (TakesAnyOption, "sink.options"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_sink_is_caught_by_the_row_that_should(
    sink: Callable[..., object], row: str
) -> None:
    findings = POINTS.get("sink").findings(lambda: sink, URLS)
    failed = {finding.row: finding for finding in findings if finding.status == "fail"}
    assert row in failed
    assert failed[row].measured
    assert failed[row].fix


def test_a_part_that_was_written_is_gone_with_its_worker_and_the_next_verb_says_so() -> None:
    remote = LocalRemote("sink", SINKS.get("memory"))
    with owned_by("acme"):
        SINKS.add("far", remote_sink(remote, Named("far")))
    try:
        sink = open_sink("far://t", part=Part(job="j", shard=0))
        sink.write([{"n": 1}])
        remote.restart()
        with pytest.raises(SinkConflictError, match="the worker that took these rows is gone"):
            sink.commit()
        sink.abort()
        again = open_sink("far://t", part=Part(job="j", shard=0, attempt=2))
        assert again.committed() is None
        again.write([{"n": 2}])
        again.commit()
        assert [r.values for r in open_source("memory://t").read()] == [{"n": 2}]
    finally:
        SINKS.revoke("acme")


@pytest.mark.parametrize("value", [None, "text", {}])
def test_what_opens_nothing_is_not_adopted(value: object) -> None:
    for point in ("source", "sink"):
        with pytest.raises(PluginContributionError):
            POINTS.get(point).adopted(value, Named("x"))


def test_what_is_open_in_a_worker_is_aborted_when_it_ends(tmp_path: Path) -> None:
    servant = SinkServant(SINKS.get("jsonl"))
    location = {"url": "", "scheme": "jsonl", "path": f"{tmp_path}/a.jsonl"}
    handle = servant.open(location, None)
    servant.write(handle, [{"n": 1}])
    servant.close()
    assert list(tmp_path.iterdir()) == []
    servant.abort(handle)
    sources = SourceServant(SOURCES.get("memory"))
    for number in range(70):
        MEMORY.put(f"t{number}", [{"n": number}])
        sources.open((str(number), {"url": "", "scheme": "memory", "path": f"t{number}"}))
    sources.close()


def test_the_rows_of_a_sink_all_go_to_one_of_several_workers() -> None:
    class Worker(LocalRemote):
        is_pinned = True

        def close(self) -> None:
            self.is_pinned = False

    class Several:
        """Two workers that take turns, as a pool of them may."""

        def __init__(self) -> None:
            self.workers = [Worker("sink", SINKS.get("memory")) for _ in range(2)]

        def call(self, method: str, /, *args: object, timeout_s: float | None = None) -> object:
            self.workers.reverse()
            return self.workers[0].call(method, *args, timeout_s=timeout_s)

        def stream(
            self, method: str, /, *args: object, timeout_s: float | None = None
        ) -> Iterator[object]:
            return self.workers[0].stream(method, *args, timeout_s=timeout_s)

        def pinned(self) -> Worker:
            return self.workers[0]

    several = Several()
    for verb in ("commit", "abort"):
        worker = several.workers[0]
        worker.is_pinned = True
        sink = RemoteSink(several, Location(url="memory://t", scheme="memory", path="t"), None)
        for number in range(4):
            sink.write([{"n": number}])
        assert worker.is_pinned
        getattr(sink, verb)()
        assert not worker.is_pinned
    assert len(MEMORY.table("t").rows) == 4
