"""The file that answers are kept in between jobs: a SQLite database of a bounded size.

Owns `AnswersFile`. The oldest answers make room for new ones. Losing an answer costs its
computation and nothing else, so neither reading nor writing ever fails a row. Knows nothing of
rows.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = "answers.db"
TABLE: Final = """create table if not exists kept(
    number integer primary key, key blob not null unique, outputs blob not null)"""
ROOM: Final = """delete from kept where number <=
    (select min(number) + (max(number) - min(number)) / 10 from kept)"""
"""About a tenth of the answers, the oldest; at least one."""
LARGE: Final = 8
"""An answer that would take more than this part of the file is not kept."""
PATIENCE_S: Final = 5.0
JOURNAL_BYTES: Final = 16 << 20
_encode: Final = msgspec.json.Encoder().encode


@final
class AnswersFile:
    """Keep answers by key.

    Args:
        file: of the database; made where it is missing.
        limit_bytes: it may hold; a little more while old ones make room.

    Raises:
        LedgerError: the file cannot be used.
    """

    def __init__(self, file: Path, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                file, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            self._share()
            self._connection.execute("pragma synchronous = off")  # it is only a cache
            self._connection.execute(f"pragma journal_size_limit = {JOURNAL_BYTES}")
            self._connection.execute(TABLE)
            self._drop_earlier()
        except (OSError, sqlite3.Error) as cause:
            raise LedgerError(
                f"the cache of answers cannot be opened: {cause}",
                got=str(file),
                fix="remove the file, set OPENAUTOGLM_HOME elsewhere, or leave out `cache`",
            ) from cause

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def read(self, key: bytes) -> Mapping[str, object] | None:
        """Return the answer that is kept under a key."""
        try:
            found = self._connection.execute(
                "select outputs from kept where key = ?", (key,)
            ).fetchone()
            return None if found is None else msgspec.json.decode(found[0], type=dict[str, object])
        except (sqlite3.Error, msgspec.DecodeError):
            return None

    def write(self, answers: Mapping[bytes, Mapping[str, object]]) -> None:
        """Keep answers, and let go of the oldest where there are too many."""
        rows = [(key, _encode(outputs)) for key, outputs in answers.items()]
        rows = [row for row in rows if len(row[1]) * LARGE <= self._limit_bytes]
        with suppress(sqlite3.Error):
            self._connection.execute("begin immediate")
            self._connection.executemany(
                "insert or ignore into kept(key, outputs) values (?, ?)", rows
            )
            while self._used_bytes() > self._limit_bytes and self._has_any():
                self._connection.execute(ROOM)
            self._connection.execute("commit")
            return
        with suppress(sqlite3.Error):
            self._connection.execute("rollback")

    def clear(self) -> int:
        """Forget all answers, give back their room, and return how many there were.

        Raises:
            LedgerError: it cannot be written now.
        """
        try:
            count = self._connection.execute("delete from kept").rowcount
        except sqlite3.Error as cause:
            raise LedgerError(
                f"the cache of answers cannot be emptied: {cause}",
                fix="try again when no job runs, or remove answers.db* from OPENAUTOGLM_HOME then",
            ) from cause
        with suppress(sqlite3.Error):  # while somebody reads, the room stays in the file
            self._connection.execute("vacuum")
        return count

    def _share(self) -> None:
        """Let others read while one writes; on a fresh file, SQLite may say at once it is busy."""
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._connection.execute("pragma journal_mode = wal")
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= ends_at:
                    raise
                time.sleep(0.001)
            else:
                return

    def _drop_earlier(self) -> None:
        """Free the room of what earlier versions kept; later, where another process is at it."""
        with suppress(sqlite3.OperationalError):
            self._connection.execute("drop table if exists answer")

    def _has_any(self) -> bool:
        return self._connection.execute("select 1 from kept limit 1").fetchone() is not None

    def _used_bytes(self) -> int:
        pages, free, size = (
            self._connection.execute(f"pragma {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def clear_answers(home: Path) -> int:
    """Forget all answers that are kept in a home; return how many there were.

    Raises:
        LedgerError: the file cannot be used now.
    """
    if not (home / NAME).exists():
        return 0
    with closing(AnswersFile(home / NAME, 0)) as opened:
        return opened.clear()
