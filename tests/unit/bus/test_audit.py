"""An audit log goes on where it ended, and shows the first line that somebody touched."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.bus import AuditLog, verify
from openautoglm.errors import AuditBrokenError, BusClosedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with AuditLog(tmp_path / "audit.jsonl") as log:
        for number in range(5):
            log.write("denied", source=f"plugin.{number}", type="config.update")
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_whole_log_is_sound_and_says_what_happened(path: Path) -> None:
    check = verify(path)
    assert check.ok
    assert check.lines == 5
    first = json.loads(lines(path)[0])
    assert (first["n"], first["event"], first["source"]) == (1, "denied", "plugin.0")


def test_a_log_goes_on_where_it_ended(path: Path) -> None:
    head = verify(path).head
    with AuditLog(path) as log:
        assert (log.lines, log.head) == (5, head)
        log.write("forged", claimed="core")
    assert verify(path, head=head).lines == 6


def test_an_altered_line_is_named(path: Path) -> None:
    found = lines(path)
    found[2] = found[2].replace(b"plugin.2", b"plugin.9")
    path.write_bytes(b"".join(found))
    check = verify(path)
    assert (check.broken_line, check.lines) == (3, 2)
    assert "hash" in check.reason


@pytest.mark.parametrize("line", [b'{"a":"\xff"}\n', b"[" * 200_000 + b"\n", b"\xff\n", b"\n"])
def test_a_line_that_cannot_be_read_is_named(path: Path, line: bytes) -> None:
    path.write_bytes(b"".join([*lines(path)[:2], line, *lines(path)[2:]]))
    check = verify(path)
    assert (check.broken_line, check.lines) == (3, 2)
    assert "JSON" in check.reason


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        ([0, 1, 3, 4], 3),
        ([1, 2, 3, 4], 1),
        ([0, 2, 1, 3, 4], 2),
        ([0, 0, 1, 2, 3, 4], 2),
    ],
    ids=["removed", "the first removed", "moved", "doubled"],
)
def test_lines_removed_moved_or_doubled_are_named(
    path: Path, order: list[int], broken: int
) -> None:
    found = lines(path)
    path.write_bytes(b"".join(found[n] for n in order))
    assert verify(path).broken_line == broken


def test_a_cut_end_shows_where_the_newest_hash_is_kept_elsewhere(path: Path) -> None:
    head = verify(path).head
    path.write_bytes(b"".join(lines(path)[:3]))
    assert verify(path).ok
    assert verify(path, head=head).broken_line == 4


def test_without_the_key_nobody_can_go_on_with_a_log_that_has_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, key=b"secret") as log:
        log.write("denied")
    assert verify(path, key=b"secret").ok
    assert verify(path).broken_line == 1
    with pytest.raises(AuditBrokenError, match="not sound"):
        AuditLog(path, key=b"guess")


def test_the_end_that_a_crash_tore_off_is_cut_and_noted(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"n":6,"ti')
    assert verify(path).broken_line == 6
    with AuditLog(path) as log:
        assert log.lines == 6
    assert verify(path).ok
    assert json.loads(lines(path)[5])["event"] == "torn"


def test_a_log_that_ends_in_a_forged_line_is_not_continued(path: Path) -> None:
    forged = json.dumps({"n": 6, "event": "ok", "prev": verify(path).head, "hash": "0" * 64})
    path.write_bytes(path.read_bytes() + forged.encode() + b"\n")
    with pytest.raises(AuditBrokenError):
        AuditLog(path)


def test_two_processes_do_not_write_one_log(path: Path) -> None:
    code = "import sys; from openautoglm.bus import AuditLog; AuditLog(sys.argv[1])"
    command = [sys.executable, "-c", code, str(path)]
    with AuditLog(path):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "another process writes this audit log" in done.stderr
    subprocess.run(command, check=True)


def test_a_closed_log_takes_nothing_more(path: Path) -> None:
    log = AuditLog(path, fsync="close")
    log.close()
    log.close()
    with pytest.raises(BusClosedError):
        log.write("denied")


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "n", "hash", "prev", "time"]), st.text() | st.binary())
)
def test_whatever_a_stranger_sends_the_log_stays_sound(facts: dict[str, object]) -> None:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        with AuditLog(path, fsync="close") as log:
            log.write("forged", **facts)
            log.write("forged", long="x" * 100_000)
        assert verify(path).lines == 2
        assert len(path.read_bytes()) < 10_000
