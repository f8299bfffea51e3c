"""Faults that last for a while and then are over: of disks, clocks, databases and servers.

Owns `Lasting` and its kinds. Each is held by a thread of its own, and says whether anybody met it.
"""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import threading  # noqa: TC003 - kept whole: events are made by who holds a fault
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.jobs.ledger.schema import PREFIX
from openautoglm.settings import need

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.jobs.chaos.board import Board
    from openautoglm.jobs.chaos.proxy import Proxy

HOURS: Final = (1.0, 12.0)
"""How far a clock jumps, least and most."""
COMMAND_S: Final = 120.0
LOOK_S: Final = 0.02
LONGER_S: Final = 10.0
"""How long a fault waits for somebody to meet it; less than a ledger has patience."""
APPLICATION: Final = "oag-chaos-job"
"""What the processes of a job call themselves to PostgreSQL."""
_WAITING: Final = """select count(*) from pg_locks join pg_stat_activity using (pid)
where not granted and application_name = %s"""
_TABLES: Final = """select cast(tablename as text) from pg_tables
where schemaname = current_schema() and starts_with(cast(tablename as text), %s)"""


class Lasting(Protocol):
    """A fault that can be on and off."""

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """Let it be for a while, or until it is all over; return whether anybody met it.

        Where nobody did yet it stays longer, up to `LONGER_S`.
        """
        ...


def _held(is_met: Callable[[], bool], for_s: float, over: threading.Event) -> bool:
    """Wait as `Lasting.hold` says."""
    began_s = time.monotonic()
    while not over.wait(LOOK_S):
        passed_s = time.monotonic() - began_s
        if passed_s >= for_s and (is_met() or passed_s >= LONGER_S):
            break
    return is_met()


@final
class Disk:
    """Writes fail.

    Args:
        board: of the job's processes.
        error: as of `errno`.
    """

    def __init__(self, board: Board, error: int) -> None:
        self._board, self._error = board, error

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`."""
        del chance
        before = self._board.disk_met
        self._board.fail_disk(self._error, for_s + LONGER_S)
        is_met = _held(lambda: self._board.disk_met > before, for_s, over)
        self._board.fail_disk(0, 0)
        return is_met

    @classmethod
    def full(cls, board: Board) -> Disk:
        """Return a disk without room."""
        return cls(board, errno.ENOSPC)

    @classmethod
    def broken(cls, board: Board) -> Disk:
        """Return a disk that cannot write."""
        return cls(board, errno.EIO)


@final
class Clock:
    """The wall clock jumps, and jumps back."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`."""
        before = self._board.clock_met
        shift_s = chance.choice((-1, 1)) * chance.uniform(*HOURS) * 3600
        self._board.shift_clock(shift_s, for_s + LONGER_S)
        is_met = _held(lambda: self._board.clock_met > before, for_s, over)
        self._board.shift_clock(0, 0)
        return is_met


@final
class BusyFile:
    """Somebody else holds the write lock of a SQLite ledger.

    Args:
        file: the ledger.
        board: of the job's processes, which counts who found it taken.
    """

    def __init__(self, file: Path, board: Board) -> None:
        self._file, self._board = file, board

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`."""
        del chance
        with closing(sqlite3.connect(self._file, timeout=for_s, isolation_level=None)) as other:
            try:
                other.execute("begin immediate")
            except sqlite3.OperationalError:  # the job held it itself all the time
                return False
            before = self._board.lock_met
            is_met = _held(lambda: self._board.lock_met > before, for_s, over)
            other.execute("rollback")
            return is_met


@final
class BusyTables:
    """Somebody else has locked the tables of a PostgreSQL ledger.

    Args:
        url: of the ledger.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @staticmethod
    def url_of_job(url: str) -> str:
        """Return the URL by which the job's processes are to open the ledger, to be known there."""
        return f"{url}{'&' if '?' in url else '?'}application_name={APPLICATION}"

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`."""
        del chance
        psycopg = need("psycopg", extra="jobs", why="a ledger in PostgreSQL")
        try:
            with psycopg.connect(self._url) as other:
                names = [name for (name,) in other.execute(_TABLES, [PREFIX])]
                other.execute(f"set lock_timeout = {int(for_s * 1000) + 1}")
                other.execute(f"lock table {', '.join(names)} in access exclusive mode")
                waiting = [0]

                def is_met() -> bool:
                    waiting.extend(n for (n,) in other.execute(_WAITING, [APPLICATION]))
                    return any(waiting)

                _held(is_met, for_s, over)
                other.rollback()
                return any(waiting)
        except psycopg.Error:  # the server is being started again, or the job was first
            return False


@final
class Restart:
    """A database is started again, by a command.

    Args:
        command: for the shell.
        tell: is told what it said where it failed.
    """

    def __init__(self, command: str, tell: Callable[[str], None]) -> None:
        self._command, self._tell = command, tell

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`; it takes the time it takes."""
        del for_s, over, chance
        try:
            done = subprocess.run(  # noqa: S602 - the command is the user's own
                self._command,
                shell=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self._tell(f"`{self._command}` did not end in {COMMAND_S:.0f} s")
            return False
        if done.returncode:
            self._tell(f"`{self._command}` failed: {(done.stderr or done.stdout).decode()[-500:]}")
        return done.returncode == 0


@final
class BadServer:
    """A model server answers, but badly."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`."""
        before = self._proxy.answers.total()
        with self._proxy.bad(chance):
            return _held(lambda: self._proxy.answers.total() > before, for_s, over)


@final
class NoServer:
    """A model server is not there.

    Args:
        proxy: before it.
        board: of the job's processes, which counts who asked for it.
    """

    def __init__(self, proxy: Proxy, board: Board) -> None:
        self._proxy, self._board = proxy, board

    def hold(self, for_s: float, over: threading.Event, chance: random.Random) -> bool:
        """See `Lasting.hold`."""
        del chance
        before = self._board.port_met
        with self._proxy.down() as cut:
            self._board.close_port(self._proxy.port)
            is_met = _held(lambda: cut > 0 or self._board.port_met > before, for_s, over)
            self._board.close_port(0)
        return is_met
