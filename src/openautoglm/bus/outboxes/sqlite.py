"""An outbox in one SQLite file (WAL): what is stored survives the process, also a killed one.

Guards against `kill -9` at any point: a message is stored whole or not at all when `put` returns or
the process ends, and is handed over until its consumer has acknowledged it. Against a power cut
it guards with `synchronous="full"` only: with "normal", the default, the last messages may be
missing after one, the file stays sound. It does not guard against others who may write the file.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self, final

from openautoglm.bus.locks import lock_file
from openautoglm.bus.message import Message
from openautoglm.bus.names import check_pattern
from openautoglm.bus.outbox import Claim, Quarantined
from openautoglm.errors import BusClosedError, NameTakenError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Synchronous = Literal["normal", "full"]

KEEP_S: Final = 86_400.0
VERSION: Final = 1

_CLAIMED: Final = 1e18  # when a message in a handler is due
_POLL_S: Final = 0.2  # how often to look for what another process stored
_BUSY_S: Final = 10.0
_PRUNE_EVERY: Final = 1024  # puts
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS messages(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, id TEXT NOT NULL,
  type TEXT NOT NULL, stored REAL NOT NULL, body BLOB NOT NULL, UNIQUE(source, id)
) STRICT;
CREATE TABLE IF NOT EXISTS consumers(
  name TEXT PRIMARY KEY, pattern TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries(
  consumer TEXT NOT NULL, seq INTEGER NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL,
  PRIMARY KEY(consumer, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine(
  consumer TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY(consumer, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS fan_out AFTER INSERT ON messages BEGIN
  INSERT INTO deliveries SELECT name, NEW.seq, 0, 0 FROM consumers WHERE NEW.type GLOB pattern;
END;
PRAGMA user_version = 1;
COMMIT;
"""
_PUT: Final = (
    "INSERT INTO messages(source, id, type, stored, body) VALUES(?, ?, ?, ?, ?)"
    " ON CONFLICT(source, id) DO NOTHING"
)
_PRUNE: Final = """
DELETE FROM messages WHERE seq IN (
  SELECT seq FROM messages AS m WHERE stored < ?
  AND NOT EXISTS (SELECT 1 FROM consumers JOIN deliveries AS d ON consumer = name AND d.seq = m.seq)
  AND NOT EXISTS (SELECT 1 FROM consumers JOIN quarantine AS q ON consumer = name AND q.seq = m.seq)
  ORDER BY seq LIMIT 10000
)"""
_CLAIM: Final = """
UPDATE deliveries SET due = :claimed, attempts = attempts + 1
WHERE consumer = :consumer AND seq = (
  SELECT seq FROM deliveries WHERE consumer = :consumer AND due <= :now ORDER BY seq LIMIT 1
) RETURNING seq, attempts, (SELECT body FROM messages AS m WHERE m.seq = deliveries.seq)"""


@final
class SqliteOutbox:
    """Keep durable messages in a file on a local disk.

    Several processes may store into one file; a consumer is open in one of them at a time. Threads
    may share one object.

    Args:
        path: the file; made where there is none.
        synchronous: `normal` survives a killed process, `full` also a power cut, at the price of
            one sync of the disk a message.
        keep_s: how long a message is remembered after it is handled, to know its like again.

    Raises:
        OutboxError: the file cannot be opened, or is of a later version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "normal",
        keep_s: float = KEEP_S,
    ) -> None:
        self.path: Final = Path(path)
        self._synchronous = "FULL" if synchronous == "full" else "NORMAL"
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._feeds: list[SqliteFeed] = []
        self._puts = 0
        self._is_closed = False
        with _worded(self.path):
            self._connection = self.connect()
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def put(self, message: Message) -> bool:
        """Store a message; see `Outbox`."""
        body = message.to_json()
        row = (message.source, message.id, message.type, time.time(), body)
        with self._lock, _worded(self.path):
            self._refuse_closed()
            is_new = self._connection.execute(_PUT, row).rowcount == 1
            self._puts += 1
            if self._puts % _PRUNE_EVERY == 0:
                self._connection.execute(_PRUNE, (time.time() - self._keep_s,))
            feeds = tuple(self._feeds)
        if is_new:
            for feed in feeds:
                feed.look()
        return is_new

    def feed(self, consumer: str, pattern: str) -> SqliteFeed:
        """Open a consumer; see `Outbox`.

        Raises:
            NameTakenError: it is open, in this process or another.
        """
        check_pattern(pattern)
        with self._lock, _worded(self.path):
            self._refuse_closed()
            made = SqliteFeed(self, consumer, pattern)
            self._feeds.append(made)
            return made

    def quarantined(self, consumer: str) -> tuple[Quarantined, ...]:
        """Return what was set aside; see `Outbox`."""
        query = (
            "SELECT body, reason FROM quarantine JOIN messages USING(seq)"
            " WHERE consumer = ? ORDER BY seq"
        )
        with self._lock, _worded(self.path):
            self._refuse_closed()
            rows = self._connection.execute(query, (consumer,)).fetchall()
        return tuple(
            Quarantined(message=Message.from_json(body), reason=reason) for body, reason in rows
        )

    def forget(self, consumer: str) -> None:
        """Drop a consumer for good, with all it has before it and all it set aside."""
        with self._lock, _worded(self.path):
            self._refuse_closed()
            for table, column in (
                ("consumers", "name"),
                ("deliveries", "consumer"),
                ("quarantine", "consumer"),
            ):
                self._connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (consumer,))  # noqa: S608 - names of ours

    def prune(self) -> None:
        """Forget messages that all consumers have handled and that are older than `keep_s`."""
        with self._lock, _worded(self.path):
            self._refuse_closed()
            self._connection.execute(_PRUNE, (time.time() - self._keep_s,))

    def close(self) -> None:
        """Let go of the file; messages stay in it."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> sqlite3.Connection:
        """Return another connection to the file, in autocommit."""
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        except BaseException:
            connection.close()
            raise
        return connection

    def dismiss(self, feed: SqliteFeed) -> None:
        """Tell a feed of no more messages."""
        with self._lock:
            if feed in self._feeds:
                self._feeds.remove(feed)

    def _prepare(self) -> None:
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise OutboxError(
                "the outbox is of a later version of this program",
                got=f"{self.path}: version {found}, known is {VERSION}",
                fix="use that program, or another file",
            )
        if found < VERSION:
            self._connection.executescript(_SCHEMA)

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise BusClosedError("the outbox is closed", got=str(self.path), fix="open it again")


@final
class SqliteFeed:
    """The messages of one consumer; see `Feed`. Made by `SqliteOutbox.feed`."""

    def __init__(self, outbox: SqliteOutbox, consumer: str, pattern: str) -> None:
        self._outbox = outbox
        self._consumer = consumer
        self._look = threading.Event()
        self._is_woken = False
        self._owner = _own(outbox.path, consumer)
        try:
            self._connection = outbox.connect()
            self._open(pattern)
        except BaseException:
            os.close(self._owner)
            raise

    def next(self, timeout_s: float) -> Claim | None:
        """Return the next message that is due."""
        ends_at = time.monotonic() + timeout_s
        with _worded(self._outbox.path):
            while not self._is_woken:
                self._look.clear()
                claim = self._claim()
                if claim is not None:
                    return claim
                left = ends_at - time.monotonic()
                if left <= 0:
                    return None
                self._look.wait(max(0.0, min(left, _POLL_S, self._next_due_s())))
            self._is_woken = False
            return None

    def ack(self, claim: Claim) -> None:
        """Take note that the message was handled."""
        self._change("DELETE FROM deliveries WHERE consumer = ? AND seq = ?", claim)

    def retry(self, claim: Claim, delay_s: float) -> None:
        """Give the message back."""
        self._change(
            "UPDATE deliveries SET due = ? WHERE consumer = ? AND seq = ?",
            claim,
            time.time() + delay_s,
        )

    def quarantine(self, claim: Claim, reason: str) -> None:
        """Set the message aside."""
        with _worded(self._outbox.path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT OR REPLACE INTO quarantine(reason, consumer, seq) VALUES(?, ?, ?)",
                (reason, self._consumer, claim.token),
            )
            self._connection.execute(
                "DELETE FROM deliveries WHERE consumer = ? AND seq = ?",
                (self._consumer, claim.token),
            )

    def look(self) -> None:
        """Let `next` look again: something was stored."""
        self._look.set()

    def wake(self) -> None:
        """Let `next` return soon."""
        self._is_woken = True
        self._look.set()

    def close(self) -> None:
        """Let go of the name."""
        self._outbox.dismiss(self)
        self._connection.close()
        os.close(self._owner)

    def _open(self, pattern: str) -> None:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(
                    "INSERT OR REPLACE INTO consumers VALUES(?, ?)", (self._consumer, pattern)
                )
                self._connection.execute(  # what a handler had when its process ended
                    "UPDATE deliveries SET due = 0 WHERE consumer = ? AND due = ?",
                    (self._consumer, _CLAIMED),
                )
        except BaseException:
            self._connection.close()
            raise

    def _claim(self) -> Claim | None:
        """Take a message; the attempt is counted first, since it may end the process."""
        asked = {"consumer": self._consumer, "now": time.time(), "claimed": _CLAIMED}
        rows = self._connection.execute(_CLAIM, asked).fetchall()
        if not rows:
            return None
        ((seq, attempts, body),) = rows
        return Claim(message=Message.from_json(body), attempt=attempts, token=seq)

    def _next_due_s(self) -> float:
        query = "SELECT min(due) FROM deliveries WHERE consumer = ?"
        (due,) = self._connection.execute(query, (self._consumer,)).fetchone()
        return _POLL_S if due is None else due - time.time()

    def _change(self, statement: str, claim: Claim, *first: float) -> None:
        with _worded(self._outbox.path):
            self._connection.execute(statement, (*first, self._consumer, claim.token))


def _own(path: Path, consumer: str) -> int:
    """Return the locked file that says that a consumer is open; its process's end unlocks it."""
    digest = hashlib.sha256(consumer.encode()).hexdigest()[:16]
    fd = os.open(f"{path}-{digest}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    if lock_file(fd):
        return fd
    os.close(fd)
    raise NameTakenError(
        f"consumer `{consumer}` is open already",
        got=f"{path}, in this process or another",
        fix="close it first, or consume under another name",
    )


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as cause:
        raise OutboxError(
            "the outbox cannot be read or written",
            got=f"{path}: {cause}",
            fix="see that the folder is there, the disk has room, and the file is a local one",
        ) from cause
