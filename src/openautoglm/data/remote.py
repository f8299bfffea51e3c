"""Sources and sinks as contributions, and the host's side of those that run in a worker.

Knows nothing of processes or of plugins: it calls a `Remote`. A reading that a worker's death cuts
off goes on behind the last row that came; a part that was being written is lost with its worker,
which the sink's next verb says.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast, final

import msgspec

from openautoglm.data.sink import Receipt
from openautoglm.data.source import Description, Record, Shard
from openautoglm.errors import (
    BadRowError,
    PluginContributionError,
    PluginCrashedError,
    SinkConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.source import Position, Row

MOST_RESTARTS: Final = 3
"""How often a reading goes on after its worker died, without a row in between."""


class Remote(Protocol):
    """What is needed of an object in a worker; `plugins.points.RemoteObject` is one."""

    def call(self, method: str, /, *args: object, timeout_s: float | None = None) -> object:
        """Call a method and return what it returned."""
        ...

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None
    ) -> Iterator[object]:
        """Yield what a method yields."""
        ...


class Named(Protocol):
    """What is needed of a contribution: its name, for messages."""

    @property
    def name(self) -> str:
        """The scheme it serves."""
        ...


def adopt_opener(value: object, contribution: Named) -> Callable[..., object]:
    """Return what opens a source or a sink: a function of a `Location`, or a class made of one.

    Raises:
        PluginContributionError: the value cannot be called.
    """
    if callable(value):
        return value
    raise PluginContributionError(
        f"`{contribution.name}` opens a source or a sink from a `Location`",
        got=repr(value)[:200],
        fix="name a function or a class: a source's takes (location), a sink's (location, part)",
    )


def remote_source(remote: Remote, _contribution: Named) -> Callable[[Location], RemoteSource]:
    """Return what opens a source in a worker."""

    def opened(location: Location) -> RemoteSource:
        return RemoteSource(remote, location)

    return opened


def remote_sink(remote: Remote, _contribution: Named) -> Callable[..., RemoteSink]:
    """Return what opens a sink in a worker."""

    def opened(location: Location, part: Part | None = None) -> RemoteSink:
        return RemoteSink(remote, location, part)

    return opened


@final
class RemoteSource:
    """One source in a worker; each call names it, so that a worker started again serves on."""

    def __init__(self, remote: Remote, location: Location) -> None:
        self._remote = remote
        self._location = msgspec.to_builtins(location)
        self._remote.call("open", self._location)

    def describe(self) -> Description:
        """Ask the worker."""
        return msgspec.convert(self._remote.call("describe", self._location), Description)

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield what the worker yields."""
        for shard in self._remote.stream("shards", self._location, rows):
            yield msgspec.convert(shard, Shard)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield what the worker yields, over its restarts."""
        plain = None if shard is None else msgspec.to_builtins(shard)
        restarts = 0
        while True:
            try:
                for record in self._records(plain, resume_from):
                    yield record
                    resume_from, restarts = record.position, 0
            except PluginCrashedError:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise
            else:
                return

    def close(self) -> None:
        """Have the worker give back what it holds."""
        self._remote.call("release", self._location)

    def _records(self, shard: object, resume_from: Position | None) -> Iterator[Record]:
        for block in self._remote.stream("read", self._location, shard, resume_from):
            for key, position, values, error in cast("Sequence[_PlainRecord]", block):
                failure = (
                    None if error is None else BadRowError(error[0], got=error[1], fix=error[2])
                )
                yield Record(key=key, position=position, values=values, error=failure)


@final
class RemoteSink:
    """One part, or one whole output, in a worker."""

    def __init__(self, remote: Remote, location: Location, part: Part | None) -> None:
        pinned: Callable[[], Remote] | None = getattr(remote, "pinned", None)
        self._remote = remote if pinned is None else pinned()  # its rows are in one worker
        self._url = location.url
        place = None if part is None else msgspec.to_builtins(part)
        self._handle = self._remote.call("open", msgspec.to_builtins(location), place)
        self._receipt: Receipt | None = None
        self._is_aborted = False

    def committed(self) -> Receipt | None:
        """Ask the worker, where this sink was not the one that committed."""
        if self._receipt is not None:
            return self._receipt
        found = self._remote.call("committed", self._handle)
        return None if found is None else msgspec.convert(found, Receipt)

    def write(self, rows: Sequence[Row]) -> None:
        """Send the rows."""
        self._check_open(is_open=self._receipt is None)
        self._remote.call("write", self._handle, [_plain_row(row) for row in rows])

    def commit(self) -> Receipt:
        """Have the worker commit."""
        if self._receipt is None:
            self._check_open(is_open=True)
            self._receipt = msgspec.convert(self._remote.call("commit", self._handle), Receipt)
        return self._receipt

    def abort(self) -> None:
        """Have the worker abort; with a worker that died, nothing is left to do."""
        if self._receipt is not None or self._is_aborted:
            return
        self._is_aborted = True
        with suppress(PluginCrashedError):
            self._remote.call("abort", self._handle)

    def _check_open(self, *, is_open: bool) -> None:
        if not is_open or self._is_aborted:
            raise SinkConflictError(
                "the sink was committed or aborted before", got=self._url, fix="open another one"
            )


_PlainRecord = tuple[str, str, "Mapping[str, object]", "tuple[str, str | None, str | None] | None"]


def _plain_row(row: object) -> object:
    """Return a row as a dict, so that every mapping travels; the sink refuses what is no row."""
    return dict(row) if isinstance(row, Mapping) else row
