"""The ledger in an SQLite file when disk, file or other processes fail it."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from openautoglm.data import Shard
from openautoglm.errors import LedgerError
from openautoglm.jobs.ledger import open_ledger, sqlite
from openautoglm.jobs.ledger.records import Claim, RowOutcome
from openautoglm.jobs.ledger.sql_ledger import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_S = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@contextmanager
def opened(path: Path, *, patience_s: float = 30.0) -> Iterator[SqlLedger]:
    ledger = open_ledger(f"sqlite:///{path}", patience_s=patience_s)
    assert isinstance(ledger, SqlLedger)
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    with opened(path, patience_s=0.05) as ledger:
        yield ledger


def begun(ledger: SqlLedger, shards: int = 1) -> Claim:
    ledger.add_job("j", name="n", spec=b"{}", fingerprint={})
    ledger.add_shards("j", [Shard(index=at) for at in range(shards)])
    ledger.set_state("j", "running", among=frozenset({"planned"}))
    claim = ledger.claim("j", "w", lease_s=LONG_S)
    assert claim is not None
    return claim


def rows(start: int, count: int, payload: bytes = b"x" * 1000) -> list[RowOutcome]:
    return [
        RowOutcome(ordinal=at, key=str(at), outcome="ok", payload=payload)
        for at in range(start, start + count)
    ]


def connection_of(ledger: SqlLedger) -> sqlite3.Connection:
    return cast("sqlite.SqliteDatabase", ledger._database)._connection


def fill(ledger: SqlLedger, claim: Claim) -> tuple[int, LedgerError]:
    """Journal until the ledger refuses; return how many rows it took."""
    for at in range(0, 100_000, 50):
        try:
            ledger.journal(claim, rows(at, 50), handed=at + 50, lease_s=LONG_S)
        except LedgerError as error:
            return at, error
    raise AssertionError


def is_sound(path: Path) -> bool:
    with sqlite3.connect(path) as connection:
        (said,) = connection.execute("pragma integrity_check").fetchone()
    connection.close()
    return bool(said == "ok")


def test_a_lease_of_another_start_of_the_machine_has_run_out(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(ledger)
    ledger.take_charge("j", "d1", lease_s=LONG_S)
    assert ledger.claim("j", "w2", lease_s=LONG_S) is None
    monkeypatch.setattr(sqlite, "_booted", "another start")
    claim = ledger.claim("j", "w2", lease_s=LONG_S)
    assert claim is not None
    assert (claim.attempt, claim.crashes) == (2, 1)
    assert ledger.take_charge("j", "d2", lease_s=LONG_S)


def test_a_full_disk_is_said_and_what_was_taken_is_kept(ledger: SqlLedger, path: Path) -> None:
    claim = begun(ledger)
    pages = connection_of(ledger).execute("pragma page_count").fetchone()[0]
    connection_of(ledger).execute(f"pragma max_page_count = {pages + 100}")
    taken, error = fill(ledger, claim)
    assert error.problem == "there is no room left for the ledger"
    assert "make room" in str(error.fix)
    assert taken > 0
    connection_of(ledger).execute("pragma max_page_count = 1000000")
    assert ledger.counts("j").ok == taken
    ledger.journal(claim, rows(taken, 50), handed=0, lease_s=LONG_S)
    assert len(ledger.answered(claim)) == ledger.counts("j").ok == taken + 50
    assert is_sound(path)


def test_a_disk_that_refuses_to_write_is_said_and_what_was_taken_is_kept(
    ledger: SqlLedger, path: Path
) -> None:
    claim = begun(ledger)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # writes beyond fail with EFBIG
    try:
        taken, error = fill(ledger, claim)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.problem == "the disk of the ledger failed"
    assert "SQLITE_IOERR_WRITE" in str(error.got)
    assert taken > 0
    assert ledger.counts("j").ok == taken
    ledger.journal(claim, rows(taken, 50), handed=0, lease_s=LONG_S)
    assert len(ledger.answered(claim)) == taken + 50
    assert is_sound(path)


def test_a_ledger_that_may_not_be_written_is_said(ledger: SqlLedger) -> None:
    connection_of(ledger).execute("pragma query_only = 1")
    with pytest.raises(LedgerError, match="the ledger may not be written"):
        ledger.note("k", "s", {})


def test_a_process_that_holds_the_file_for_long_is_said(ledger: SqlLedger, path: Path) -> None:
    begun(ledger)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(LedgerError, match="held by another process") as raised:
        ledger.note("k", "s", {})
    assert "SQLITE_BUSY" in str(raised.value.got)
    assert ledger.counts("j").shards == 1  # reading goes on
    holder.execute("rollback")
    holder.close()
    ledger.note("k", "s", {})
    assert len(ledger.events("s")) == 1


def test_a_file_overwritten_by_garbage_is_said(path: Path) -> None:
    with opened(path) as ledger:
        begun(ledger)
    size = path.stat().st_size
    path.write_bytes(b"garbage!" * (size // 8))
    with pytest.raises(LedgerError, match="this file is no ledger"):
        open_ledger(f"sqlite:///{path}")


def test_pages_overwritten_by_garbage_are_said(path: Path) -> None:
    with opened(path) as ledger:
        begun(ledger)
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"garbage!" * ((len(damaged) - 4096) // 8)
    path.write_bytes(damaged)
    with (
        pytest.raises(LedgerError, match="file is damaged") as raised,
        opened(path) as ledger,
    ):
        ledger.counts("j")
    assert ".recover" in str(raised.value.fix)


def test_a_file_that_was_taken_away_takes_no_more(ledger: SqlLedger, path: Path) -> None:
    claim = begun(ledger)
    path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(LedgerError, match="removed or replaced"):
        ledger.journal(claim, rows(0, 1), handed=1, lease_s=LONG_S)
    path.write_bytes(b"garbage")
    with pytest.raises(LedgerError, match="removed or replaced"):
        ledger.counts("j")


def test_a_log_cut_off_anywhere_holds_whole_transactions_in_their_order(
    ledger: SqlLedger, path: Path, tmp_path: Path
) -> None:
    """What a power failure leaves: the log up to some byte, and a file that is older than it."""
    claim = begun(ledger, shards=2)
    connection_of(ledger).execute("pragma wal_checkpoint(truncate)")
    for at in range(0, 30, 3):
        ledger.journal(claim, rows(at, 3, b"y"), handed=at + 3, lease_s=LONG_S)
    assert len(list(ledger.outcomes(claim))) == 30
    ledger.commit(claim, None)
    log = path.with_name(f"{path.name}-wal").read_bytes()
    seen = set()
    for cut in [*range(0, len(log), len(log) // 30 + 1), len(log)]:
        copy = tmp_path / f"cut-{cut}" / path.name
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        copy.with_name(f"{path.name}-wal").write_bytes(log[:cut])
        with opened(copy) as found:
            counts = found.counts("j")
            again = found.claim("j", "w2", lease_s=LONG_S, shard=0)
            assert counts.ok % 3 == 0
            seen.add(counts.ok)
            if counts.shards_done:
                assert again is None
                assert counts.ok == 30
            else:
                # The lease holds: nobody may claim the shard, but its rows can be seen.
                assert again is None
                assert found.answered(claim) == set(range(counts.ok))
    assert {0, 30} <= seen
    assert len(seen) > 5


def test_a_durable_write_is_synced_and_a_journal_is_not(ledger: SqlLedger) -> None:
    claim = begun(ledger)

    def level() -> int:
        return int(connection_of(ledger).execute("pragma synchronous").fetchone()[0])

    assert level() == 2
    ledger.journal(claim, rows(0, 1), handed=1, lease_s=LONG_S)
    assert level() == 1
    ledger.outcomes(claim)
    assert level() == 2


def test_a_log_that_grew_large_is_emptied(
    ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = begun(ledger)
    log = path.with_name(f"{path.name}-wal")
    ledger.journal(claim, rows(0, 500), handed=500, lease_s=LONG_S)
    ledger.absolve(claim)
    before = log.stat().st_size
    assert before > 500_000
    monkeypatch.setattr(sqlite, "LOG_BYTES", 400_000)
    ledger.absolve(claim)
    assert log.stat().st_size < before // 10
    assert len(ledger.answered(claim)) == 500


def test_a_log_that_cannot_be_emptied_now_stops_no_write(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = begun(ledger)
    ledger.journal(claim, rows(0, 5), handed=5, lease_s=LONG_S)
    monkeypatch.setattr(sqlite, "LOG_BYTES", 0)
    found = connection_of(ledger).execute("select ordinal from oag_row")  # not read to its end
    with pytest.raises(sqlite3.OperationalError):
        connection_of(ledger).execute("pragma wal_checkpoint(truncate)").fetchall()
    ledger.absolve(claim)
    found.close()
