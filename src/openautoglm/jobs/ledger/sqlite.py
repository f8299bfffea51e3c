"""A ledger's database in one SQLite file (WAL), on a local disk, for the processes of one machine.

What is durable is synced to the disk before `write` returns, and with it all that anybody wrote
before: the write-ahead log is one file, and it is read back up to its first gap. What is not
durable survives the death of any process all the same. The clock of leases counts from the start of
the machine; a lease of another start has run out.

It does not guard against a file system that lies about locks or syncs, such as many of the network,
nor against a process that is stopped (SIGSTOP) while it writes: others wait, then raise.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, final

from openautoglm.errors import LedgerError
from openautoglm.jobs.ledger.schema import PREFIX
from openautoglm.jobs.ledger.spare import Spare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openautoglm.jobs.ledger.database import Found, Session, Value

Result = TypeVar("Result")

LOOK_S: Final = 0.01
"""How long SQLite itself waits for others. It looks every few milliseconds at first and then less
and less often, which lets those that come later be first; so it begins anew. Ctrl-C is heard, too.
"""

CHECKPOINT_PAGES: Final = 4000
"""Pages (of 4 KiB) in the log before it is written into the file: 16 MB."""

LOG_BYTES: Final = 64 << 20
"""Size of the log above which its readers and writers are made to wait until it is written into the
file: under constant use it would never begin anew by itself."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_WORDS: Final = {
    "now": ":now",
    "lock": "",
    "skip": "",
    "alone": "select 1",
    "serial": "integer primary key",
    "bytes": "blob",
    "clustered": "without rowid",
    "tables": "select name from sqlite_master where type = 'table'",
}
_LIKELY: Final = {
    sqlite3.SQLITE_FULL: "make room on its disk; what was taken is kept, go on with `resume`",
    sqlite3.SQLITE_READONLY: "give this user the right to write the file and its folder",
    sqlite3.SQLITE_PERM: "give this user the right to write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "see that its folder is there, and that this user may write in it",
    sqlite3.SQLITE_IOERR: "the disk failed, or a limit on the size of files was met: see `dmesg`, "
    "`ulimit -f` and quotas; what was taken is kept",
    sqlite3.SQLITE_CORRUPT: "keep a copy, then put what `sqlite3 FILE .recover` saves in its "
    "place, or name another ledger",
    sqlite3.SQLITE_NOTADB: "something else lies in its place: name another file, or put the ledger "
    "back",
    sqlite3.SQLITE_BUSY: "another process holds it for long: find it with `fuser FILE`, and see "
    "that the file is on a local disk",
    sqlite3.SQLITE_LOCKED: "another process holds it for long: find it with `fuser FILE`",
}
_PROBLEMS: Final = {
    sqlite3.SQLITE_FULL: "there is no room left for the ledger",
    sqlite3.SQLITE_READONLY: "the ledger may not be written",
    sqlite3.SQLITE_PERM: "the ledger may not be written",
    sqlite3.SQLITE_CANTOPEN: "the ledger cannot be opened",
    sqlite3.SQLITE_IOERR: "the disk of the ledger failed",
    sqlite3.SQLITE_CORRUPT: "the ledger's file is damaged",
    sqlite3.SQLITE_NOTADB: "this file is no ledger",
    sqlite3.SQLITE_BUSY: "the ledger is held by another process",
    sqlite3.SQLITE_LOCKED: "the ledger is held by another process",
}


@final
class SqliteDatabase:
    """Keep tables in a file.

    Args:
        path: the file; made, for this user's eyes only, where there is none.
        patience_s: how long to wait for other processes.

    Raises:
        LedgerError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path, *, patience_s: float) -> None:
        self._path: Final = path
        self._log: Final = path.with_name(f"{path.name}-wal")
        self._patience_s = patience_s
        self._spare = Spare(path)
        self._lock = threading.RLock()
        self._is_synced = True
        with _worded(path):
            self._connection = self._opened()
            try:
                self._set_up()
            except BaseException:
                self._connection.close()
                raise
        self._spare.keep()

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Return what work found; see `Database`."""
        with self._lock, _worded(self._path):
            self._refuse_moved()
            return self._patiently(lambda: work(_SqliteSession(self._connection)))

    def write(
        self,
        work: Callable[[Session], Result],
        *,
        is_durable: bool = True,
        is_vital: bool = False,
    ) -> Result:
        """Do work in one transaction; see `Database`."""
        with self._lock, _worded(self._path):
            self._refuse_moved()
            if is_durable:
                self._shorten()
            if is_durable != self._is_synced:
                level = "full" if is_durable else "normal"
                self._connection.execute(f"pragma synchronous = {level}")
                self._is_synced = is_durable
            try:
                return self._transaction(work)
            except sqlite3.Error as error:
                is_full = _kind(error) == sqlite3.SQLITE_FULL
                if not (is_vital and is_full and self._spare.give()):
                    raise
            return self._transaction(work)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _transaction(self, work: Callable[[Session], Result]) -> Result:
        self._patiently(lambda: self._connection.execute("begin immediate"))
        try:
            result = work(_SqliteSession(self._connection))
            self._connection.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):  # where it failed badly, SQLite did so itself
                self._connection.execute("rollback")
            raise
        return result

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self._inode = _inode(self._path)
        return sqlite3.connect(
            self._path,
            timeout=min(LOOK_S, self._patience_s),
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _set_up(self) -> None:
        """Refuse what is no ledger before anything of it is changed, then make it one."""
        tables = [str(name) for (name,) in self.read(lambda session: session.rows("{tables}"))]
        if tables and not any(name.startswith(PREFIX) for name in tables):
            raise LedgerError(
                "this SQLite file is no ledger",
                got=f"{self._path}: holds {', '.join(sorted(tables)[:5])}",
                fix="name another file; the ledger makes it",
            )
        wal = "pragma journal_mode = wal"
        (mode,) = self._patiently(lambda: self._connection.execute(wal).fetchone())
        if mode != "wal":
            raise LedgerError(
                "the ledger's file system cannot share memory between processes",
                got=f"{self._path}: journal mode {mode}",
                fix="put the ledger on a local disk, or use postgresql://",
            )
        self._connection.execute("pragma synchronous = full")
        self._connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def _refuse_moved(self) -> None:
        """Notice that the file has gone: SQLite would go on to write into what nobody can open."""
        if _inode(self._path) != self._inode:
            raise LedgerError(
                "the ledger's file was removed or replaced while it was open",
                got=str(self._path),
                fix="put it back, with its -wal and -shm, and begin again; nothing more was taken",
            )

    def _shorten(self) -> None:
        """Empty the log where it grew large, if others leave a moment for it."""
        with suppress(OSError, sqlite3.OperationalError):  # what then cannot be written, tells
            if os.stat(self._log).st_size > LOG_BYTES:  # noqa: PTH116 - quick, as above
                self._connection.execute("pragma wal_checkpoint(truncate)").fetchall()

    def _patiently(self, act: Callable[[], Result]) -> Result:
        """Do again, as long as patience lasts, what another process is in the way of."""
        ends_at = time.monotonic() + self._patience_s
        while True:
            try:
                return act()
            except sqlite3.OperationalError as error:
                if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= ends_at:
                    raise
                time.sleep(0.001)  # some kinds of busy are told at once


@final
class _SqliteSession:
    """See `Session`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Found]:
        return self._execute(sql, values).fetchall()

    def change(self, sql: str, values: Mapping[str, Value] | None = None) -> int:
        return self._execute(sql, values).rowcount

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> int:
        return self._connection.executemany(_inserting(table, tuple(columns)), rows).rowcount

    def _execute(self, sql: str, values: Mapping[str, Value] | None) -> sqlite3.Cursor:
        bound = {**(values or {}), "now": time.clock_gettime(_CLOCK), "boot": _boot()}
        return self._connection.execute(_text(sql), bound)


_TEXTS: Final[dict[str, str]] = {}
_INSERTS: Final[dict[tuple[str, tuple[str, ...]], str]] = {}


def _text(sql: str) -> str:
    if sql not in _TEXTS:
        _TEXTS[sql] = sql.format_map(_WORDS)
    return _TEXTS[sql]


def _inserting(table: str, columns: tuple[str, ...]) -> str:
    if (table, columns) not in _INSERTS:
        marks = ", ".join("?" * len(columns))
        _INSERTS[table, columns] = (
            f"insert into {table}({', '.join(columns)}) values ({marks}) on conflict do nothing"  # noqa: S608 - names of ours
        )
    return _INSERTS[table, columns]


def _boot() -> str:
    global _booted  # noqa: PLW0603 - read once a process: it cannot change while one lives
    if _booted is None:
        _booted = _BOOT.read_text().strip() if _BOOT.exists() else "this machine"
    return _booted


_booted: str | None = None


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - ten times as fast, before each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _kind(error: sqlite3.Error) -> int:
    """Return the primary code of an error; 0 where it is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except OSError as cause:
        raise LedgerError(
            "the ledger cannot be opened",
            got=f"{path}: {cause.strerror}",
            fix=_LIKELY[sqlite3.SQLITE_CANTOPEN],
        ) from cause
    except sqlite3.ProgrammingError as cause:
        if "closed database" not in str(cause):
            raise
        raise LedgerError("the ledger is closed", got=str(path), fix="open it again") from cause
    except sqlite3.Error as cause:
        name = getattr(cause, "sqlite_errorname", type(cause).__name__)
        raise LedgerError(
            _PROBLEMS.get(_kind(cause), "the ledger cannot be read or written"),
            got=f"{path}: {cause} ({name})",
            fix=_LIKELY.get(_kind(cause), "see that the file is a ledger, on a local disk"),
        ) from cause
