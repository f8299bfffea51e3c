"""Sources and sinks as contributions, and the host's side of those that run in a worker.

Knows nothing of processes or of plugins: it calls a `Remote`. A source and a sink are each in one
worker from `open` on. A reading that its worker's death cuts off goes on in another one, behind the
last row that came; a part that was being written is lost with its worker, which the sink's next
verb says.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast, final

import msgspec

from openautoglm.data.sink import Receipt
from openautoglm.data.source import Description, Record, Shard
from openautoglm.errors import (
    BadRowError,
    PluginContributionError,
    PluginCrashedError,
    PluginProtocolError,
    PluginUnavailableError,
    SinkConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.source import Position, Row

MOST_RESTARTS: Final = 3
"""How often a reading goes on after its worker died, without a row in between."""

_GONE: Final = (PluginCrashedError, PluginUnavailableError)
_NOTHING_TAKEN: Final = (BadRowError, PluginProtocolError, SinkConflictError)
T = TypeVar("T")


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


class Pinned(Remote, Protocol):
    """What is needed of a remote that is one worker's until it is closed."""

    def close(self) -> None:
        """Let the worker go."""
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
    """One source in a worker; in another one once that is gone."""

    def __init__(self, remote: Remote, location: Location) -> None:
        self._remote = remote
        self._spec = [uuid.uuid4().hex, msgspec.to_builtins(location)]
        self._lock = threading.Lock()
        self._session = _Session(remote)
        self._asked(lambda remote: remote.call("open", self._spec))

    def describe(self) -> Description:
        """Ask the worker."""
        found = self._asked(lambda remote: remote.call("describe", self._spec))
        return msgspec.convert(found, Description)

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield what the worker yields."""

        def begun(remote: Remote) -> Iterator[object]:
            shards = remote.stream("shards", self._spec, rows)
            return chain(list(islice(shards, 1)), shards)

        for shard in self._asked(begun):
            yield msgspec.convert(shard, Shard)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield what the worker yields, over its restarts."""
        plain = None if shard is None else msgspec.to_builtins(shard)
        restarts = 0
        while True:
            session = self._session
            try:
                for record in _records(session.remote, self._spec, plain, resume_from):
                    yield record
                    resume_from, restarts = record.position, 0
            except _GONE:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise
                self._renew(session)
            else:
                return

    def close(self) -> None:
        """Have the worker give back what it holds; one that is gone holds nothing."""
        with suppress(*_GONE):
            self._session.remote.call("release", self._spec)
        self._session.close()

    def _asked(self, ask: Callable[[Remote], T]) -> T:
        """Ask the worker, or another one where it is gone: the source is opened there."""
        for _ in range(MOST_RESTARTS):
            session = self._session
            try:
                return ask(session.remote)
            except _GONE:
                self._renew(session)
        return ask(self._session.remote)

    def _renew(self, gone: _Session) -> None:
        with self._lock:
            if self._session is gone:
                gone.close()
                self._session = _Session(self._remote)


@final
class RemoteSink:
    """One part, or one whole output, in one worker: nothing of it is anywhere else."""

    def __init__(self, remote: Remote, location: Location, part: Part | None) -> None:
        self._session = _Session(remote)
        self._remote = self._session.remote
        self._url = location.url
        place = None if part is None else msgspec.to_builtins(part)
        try:
            self._handle = self._remote.call("open", msgspec.to_builtins(location), place)
        except BaseException:
            self._session.close()
            raise
        self._receipt: Receipt | None = None
        self._is_aborted = False
        self._is_unsure = False  # whether the rows of a `write` were taken

    def committed(self) -> Receipt | None:
        """Ask the worker, where this sink was not the one that committed."""
        if self._receipt is not None:
            return self._receipt
        self._check_open(is_open=True)
        found = self._remote.call("committed", self._handle)
        return None if found is None else msgspec.convert(found, Receipt)

    def write(self, rows: Sequence[Row]) -> None:
        """Send the rows."""
        self._check_open(is_open=self._receipt is None)
        self._check_sure()
        try:
            self._remote.call("write", self._handle, [_plain_row(row) for row in rows])
        except _NOTHING_TAKEN:
            raise
        except BaseException:
            self._is_unsure = True
            raise

    def commit(self) -> Receipt:
        """Have the worker commit."""
        if self._receipt is None:
            self._check_open(is_open=True)
            self._check_sure()
            self._receipt = msgspec.convert(self._remote.call("commit", self._handle), Receipt)
            self._session.close()
        return self._receipt

    def abort(self) -> None:
        """Have the worker abort; with a worker that died, nothing is left to do."""
        if self._receipt is not None or self._is_aborted:
            return
        self._is_aborted = True
        try:
            with suppress(*_GONE):
                self._remote.call("abort", self._handle)
        finally:
            self._session.close()

    def _check_open(self, *, is_open: bool) -> None:
        if not is_open or self._is_aborted:
            raise SinkConflictError(
                "the sink was committed or aborted before", got=self._url, fix="open another one"
            )

    def _check_sure(self) -> None:
        if self._is_unsure:
            raise SinkConflictError(
                "rows may be missing: a `write` before this ended without an answer",
                got=self._url,
                fix="abort it, open another one and write all rows again",
            )


@final
class _Session:
    """A remote, in one worker where it may be in several."""

    def __init__(self, remote: Remote) -> None:
        pinned: Callable[[], Pinned] | None = getattr(remote, "pinned", None)
        self._pin = None if pinned is None else pinned()
        self.remote: Remote = remote if self._pin is None else self._pin

    def close(self) -> None:
        """Let the worker go."""
        if self._pin is not None:
            self._pin.close()


def _records(
    remote: Remote, spec: object, shard: object, resume_from: Position | None
) -> Iterator[Record]:
    for block in remote.stream("read", spec, shard, resume_from):
        for key, position, values, error in cast("Sequence[_PlainRecord]", block):
            failure = None if error is None else BadRowError(error[0], got=error[1], fix=error[2])
            yield Record(key=key, position=position, values=values, error=failure)


_PlainRecord = tuple[str, str, "Mapping[str, object]", "tuple[str, str | None, str | None] | None"]


def _plain_row(row: object) -> object:
    """Return a row as a dict, so that every mapping travels; the sink refuses what is no row."""
    return dict(row) if isinstance(row, Mapping) else row
