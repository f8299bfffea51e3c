"""Disks and clocks of another process that fail, by the library that is preloaded into it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from openautoglm.jobs.chaos.board import LIBRARY, SIZE, VARIABLE, Board, is_there
from openautoglm.native.cells import library_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOR_S: Final = 600.0
WRITER: Final = """
import errno, os, sqlite3, sys
def said(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno]
    except sqlite3.Error as error:
        return error.sqlite_errorname
    return "fine"
def write(text):
    with open("old", "ab", buffering=0) as file:
        assert file.write(text) == len(text), "short"
def synced():
    with open("old", "ab") as file:
        os.fsync(file.fileno())
def short():
    with open("old", "ab", buffering=0) as file:
        print("wrote", file.write(b"12345678"))
def stored():
    with sqlite3.connect("old.db") as database:
        database.execute("create table if not exists t(a)")
        database.execute("insert into t values (1)")
print("new", said(lambda: open("new", "xb")))
print("write", said(lambda: write(b"1")))
print("sync", said(synced))
print("rename", said(lambda: os.replace("there", "here")))
print("link", said(lambda: os.link("old", "another")))
print("sqlite", said(stored))
print("elsewhere", said(lambda: open(sys.argv[1], "wb").write(b"1")))
print("short", said(short))
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A board for the folder `disk`, with files in it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    for name in ("old", "old.db", "there"):
        (disk / name).touch()
    with Board(tmp_path / "board", [f"{tmp_path}/disk/"]) as made:
        yield made


def ran(board: Board, program: str, folder: Path, *more: str) -> dict[str, str]:
    """Run a program in the folder; return the words that it said, by the first of each line."""
    environment = {**os.environ, **board.environment()}
    command = [sys.executable, "-c", program, *more]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return dict(line.split(maxsplit=1) for line in done.stdout.decode().splitlines())


def test_the_library_is_built_with_the_package() -> None:
    assert is_there()


def test_a_full_disk_takes_nothing_new_and_ends_writes_short(board: Board, tmp_path: Path) -> None:
    board.fail_disk(errno.ENOSPC, FOR_S)

    said = ran(board, WRITER, tmp_path / "disk", str(tmp_path / "free"))

    full = dict.fromkeys(("new", "write", "sync", "rename", "link"), "ENOSPC")
    assert said == {
        **full,
        "sqlite": "SQLITE_CANTOPEN",  # its journal would be a new file
        "elsewhere": "fine",
        "wrote": "4",
        "short": "fine",
    }
    assert board.disk_met >= 6


def test_a_broken_disk_takes_nothing(board: Board, tmp_path: Path) -> None:
    board.fail_disk(errno.EIO, FOR_S)

    said = ran(board, WRITER, tmp_path / "disk", str(tmp_path / "free"))

    assert {said[name] for name in ("new", "write", "sync", "rename", "link", "short")} == {"EIO"}
    assert said["sqlite"].startswith("SQLITE_")
    assert said["elsewhere"] == "fine"


def test_without_a_fault_everything_is_as_it_is(board: Board, tmp_path: Path) -> None:
    board.fail_disk(errno.EIO, FOR_S)
    board.fail_disk(0, 0)

    said = ran(board, WRITER, tmp_path / "disk", str(tmp_path / "free"))

    assert {said.pop("wrote"), *said.values()} == {"8", "fine"}
    assert board.disk_met == 0


CLOCKS: Final = """
import datetime, threading, time
print("wall", time.time())
print("date", datetime.datetime.now().timestamp())
print("steady", time.monotonic())
print("boot", time.clock_gettime(time.CLOCK_BOOTTIME))
print("woken", threading.Event().wait(0.01))
"""


def test_the_wall_clock_jumps_and_no_other(board: Board, tmp_path: Path) -> None:
    right = ran(board, CLOCKS, tmp_path)
    board.shift_clock(-36_000, FOR_S)

    wrong = ran(board, CLOCKS, tmp_path)

    for clock in ("wall", "date"):
        assert float(wrong[clock]) - float(right[clock]) == pytest.approx(-36_000, abs=600)
    for clock in ("steady", "boot"):
        assert float(wrong[clock]) - float(right[clock]) == pytest.approx(0, abs=600)
    assert wrong["woken"] == "False"
    assert board.clock_met > 0


LOCKED: Final = """
import sqlite3
database = sqlite3.connect("old.db", timeout=0, isolation_level=None)
try:
    database.execute("begin immediate")
except sqlite3.OperationalError as error:
    print("locked", error.sqlite_errorname)
"""


def test_who_finds_a_lock_taken_is_counted(board: Board, tmp_path: Path) -> None:
    import sqlite3

    held = sqlite3.connect(tmp_path / "disk" / "old.db", isolation_level=None)
    held.execute("begin immediate")

    said = ran(board, LOCKED, tmp_path / "disk")
    held.close()

    assert said == {"locked": "SQLITE_BUSY"}
    assert board.lock_met > 0


def test_who_knocks_at_a_closed_port_is_counted(board: Board, tmp_path: Path) -> None:
    import socket

    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))  # and nobody listens
        port = kept.getsockname()[1]
        board.close_port(port)
        program = f"import socket\nprint('code', socket.socket().connect_ex(('127.0.0.1', {port})))"
        said = ran(board, program, tmp_path)

    assert said == {"code": str(errno.ECONNREFUSED)}
    assert board.port_met == 1


def test_the_library_alone_changes_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(library_path(LIBRARY))}
    environment.pop(VARIABLE, None)
    program = "import pathlib; print(pathlib.Path('new').write_text('1'))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"1\n", b"")


def test_places_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit"):
        Board(tmp_path / "board", ["x" * SIZE])
