"""Answers to rows with the same values, kept between jobs: a SQLite file in the home.

Owns `AnswerCache`. A key covers what the answer depends on: the work's fingerprint and the values
it looks at. Rows with the same values at the same time are answered once too: the later ones are
parked. What it does not do: know of rows under way in other processes, or forget what is old.
Losing an answer costs its computation and nothing else, so writing never fails a row.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, final

import msgspec

from openautoglm.errors import LedgerError
from openautoglm.jobs.running.tries import Parked
from openautoglm.jobs.work import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from openautoglm.data.source import Row

FILE: Final = "answers.db"
TABLE: Final = "create table if not exists answer(key blob primary key, outputs blob) without rowid"
PATIENCE_S: Final = 5.0
_encode: Final = msgspec.json.Encoder(order="sorted").encode


@final
class AnswerCache:
    """Remember answers.

    Args:
        file: of the database; made where it is missing.
        fingerprint: of the work.
        takes: names of the values it looks at; None where it may look at any.
        freed: is told of keys whose answer is there, or will not be.

    Raises:
        LedgerError: the file cannot be used.
    """

    def __init__(
        self,
        file: Path,
        fingerprint: Mapping[str, str],
        takes: tuple[str, ...] | None,
        freed: Callable[[bytes], None],
    ) -> None:
        self._start = hashlib.sha256(_encode(fingerprint))
        self._takes, self._freed = takes, freed
        self._lock = threading.Lock()
        self._under_way: set[bytes] = set()
        self._fresh: dict[bytes, Mapping[str, object]] = {}  # not in the file yet
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                file, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = off")  # it is only a cache
            self._connection.execute(TABLE)
        except (OSError, sqlite3.Error) as cause:
            raise LedgerError(
                f"the cache of answers cannot be opened: {cause}",
                got=str(file),
                fix="remove the file, set OPENAUTOGLM_HOME elsewhere, or leave out `cache`",
            ) from cause

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        self._connection.close()

    def key(self, values: Row) -> bytes:
        """Return what rows with the same answer have in common."""
        if self._takes is not None:
            values = {name: values[name] for name in self._takes if name in values}
        digest = self._start.copy()
        digest.update(_encode(values))
        return digest.digest()

    def take(self, key: bytes) -> Answer | Parked | None:
        """Return the answer; that it is under way; or None, and whoever asked is to answer."""
        with self._lock:
            if key in self._under_way:
                return Parked(key)
            found = self._fresh.get(key)
            if found is None:
                found = self._read(key)
            if found is None:
                self._under_way.add(key)
                return None
        return Answer(outputs=found)

    def is_under_way(self, key: bytes) -> bool:
        """Whether a row with these values is being answered."""
        with self._lock:
            return key in self._under_way

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer."""
        with self._lock:
            self._fresh[key] = answer.outputs
            self._under_way.discard(key)
        self._freed(key)

    def give_up(self, key: bytes) -> None:
        """Let another row with these values be the one to answer."""
        with self._lock:
            self._under_way.discard(key)
        self._freed(key)

    def flush(self) -> None:
        """Write what is new."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
            if not fresh:
                return
            with suppress(sqlite3.Error):
                self._connection.execute("begin immediate")
                self._connection.executemany(
                    "insert or ignore into answer values (?, ?)",
                    [(key, _encode(outputs)) for key, outputs in fresh.items()],
                )
                self._connection.execute("commit")
                return
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")

    def _read(self, key: bytes) -> Mapping[str, object] | None:
        try:
            found = self._connection.execute(
                "select outputs from answer where key = ?", (key,)
            ).fetchone()
            return None if found is None else msgspec.json.decode(found[0], type=dict[str, object])
        except (sqlite3.Error, msgspec.DecodeError):
            return None
