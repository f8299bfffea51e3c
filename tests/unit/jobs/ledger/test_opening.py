"""Opening ledgers: by which names, of which versions, by many at a time."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import Shard
from openautoglm.errors import LedgerError
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.ledger.open import open_database
from openautoglm.jobs.ledger.records import RowOutcome
from openautoglm.jobs.ledger.schema import JOBS, STEPS, prepare
from openautoglm.jobs.ledger.sql_ledger import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.jobs.ledger.database import Session
    from openautoglm.jobs.ledger.ledger import Ledger

    from .conftest import Opens


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "ledger.db", "mysql://ann:geheim@host/db"]
)
def test_another_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError, match="a ledger is named by a URL") as raised:
        open_ledger(url)
    assert "sqlite:///PATH" in str(raised.value.fix)
    assert "geheim" not in str(raised.value)


def test_a_relative_path_is_one_and_folders_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger("sqlite:///some/where/ledger.db")
    monkeypatch.chdir("/")
    ledger.note("k", "s", {})
    ledger.close()
    file = tmp_path / "some/where/ledger.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="the ledger cannot be opened") as raised:
        open_ledger(f"sqlite:///{tmp_path}/file/ledger.db")
    assert raised.value.fix is not None
    with pytest.raises(LedgerError, match="the ledger cannot be opened"):
        open_ledger(f"sqlite:///{tmp_path}")


def test_what_was_written_is_there_when_it_is_opened_again(opens: Opens) -> None:
    first = opens()
    first.add_job("a", name="n", spec=b"{}", fingerprint={})
    first.close()
    assert opens().job("a").name == "n"


def test_a_ledger_of_a_newer_version_is_refused(opens: Opens) -> None:
    ledger = opens()
    ledger._database.write(
        lambda session: session.change("update oag_version set version = version + 1")
    )
    with pytest.raises(LedgerError, match="of a newer openautoglm") as raised:
        opens()
    assert raised.value.got == "version 3; this one knows 2"


def test_a_ledger_of_the_first_version_goes_on_with_what_it_holds(ledger_url: str) -> None:
    database = open_database(ledger_url)
    prepare(database, JOBS, STEPS[:1])
    old = SqlLedger(database)
    old.add_job("a", name="n", spec=b"{}", fingerprint={})
    old.add_shards("a", [Shard(index=0, rows=5)])
    old.set_state("a", "running", among=frozenset({"planned"}))
    old.close()
    with closing(open_ledger(ledger_url)) as ledger:
        claim = ledger.claim("a", "w", lease_s=9.0)
        assert claim is not None
        ledger.suspect(claim, 3)
        assert ledger.leave("w", "killed") == 1
        claim = ledger.claim("a", "v", lease_s=9.0)
        assert claim is not None
        assert (claim.evidence.killed, claim.evidence.tries) == (1, 1)


def of_first_version(url: str) -> SqlLedger:
    """Make a ledger as the first version did, with a job of three shards that runs."""
    database = open_database(url)
    prepare(database, JOBS, STEPS[:1])
    old = SqlLedger(database)
    old.add_job("a", name="n", spec=b"{}", fingerprint={})
    old.add_shards("a", [Shard(index=at, rows=8) for at in range(3)])
    old.set_state("a", "running", among=frozenset({"planned"}))
    return old


def work_off(ledger: Ledger, owner: str) -> None:
    """Claim a shard, keep its rows one by one, and commit it."""
    claim = ledger.claim("a", owner, lease_s=9.0)
    assert claim is not None
    for at in range(8):
        row = RowOutcome(ordinal=at, key=f"k{at}", outcome="ok", payload=b"{}")
        ledger.journal(claim, [row], handed=at + 1, lease_s=9.0)
    assert len(list(ledger.outcomes(claim))) == 8
    ledger.commit(claim, None)


def test_a_connection_that_was_open_when_the_ledger_got_a_new_version_goes_on(
    ledger_url: str,
) -> None:
    with closing(of_first_version(ledger_url)) as old:
        work_off(old, "w")
        held = old.claim("a", "w", lease_s=9.0)
        assert held is not None
        with closing(open_ledger(ledger_url)) as new:
            row = RowOutcome(ordinal=0, key="k", outcome="ok", payload=b"{}")
            old.journal(held, [row], handed=1, lease_s=9.0)
            old.suspect(held, 1)
            assert old.leave("w", "killed") == 1
            work_off(old, "v")
            work_off(new, "u")
            assert (old.counts("a").shards_done, new.counts("a").ok) == (3, 24)


def test_many_may_bring_the_same_ledger_to_a_new_version_at_a_time(
    ledger_url: str, opens: Opens
) -> None:
    of_first_version(ledger_url).close()
    in_threads(6, lambda: opens().note("k", "s", {}))
    ledger = opens()
    assert len(ledger.events("s")) == 6
    version = "select version from oag_version where part = 'jobs'"
    assert ledger._database.read(lambda session: session.rows(version)) == [(len(STEPS),)]
    work_off(ledger, "w")


def test_others_may_keep_tables_of_their_own_and_change_them_later(ledger: SqlLedger) -> None:
    first = ("create table oag_mine(num {serial}, content {bytes})",)
    then = ("alter table oag_mine add column name text",)
    prepare(ledger._database, "mine", [first])
    prepare(ledger._database, "mine", [first])
    prepare(ledger._database, "mine", [first, then])

    def write(session: Session) -> int:
        return session.insert("oag_mine", ("content", "name"), [(b"\0", "a"), (None, "b")])

    assert ledger._database.write(write) == 2
    rows = ledger._database.read(lambda session: session.rows("select name from oag_mine"))
    assert sorted(rows) == [("a",), ("b",)]
    with pytest.raises(LedgerError, match="tables for mine are of a newer"):
        prepare(ledger._database, "mine", [first])
    ledger.note("k", "s", {})


def test_many_may_make_the_same_ledger_at_a_time(opens: Opens) -> None:
    in_threads(6, lambda: opens().note("k", "s", {}))
    assert len(opens().events("s")) == 6


def in_threads(count: int, act: Callable[[], object]) -> None:
    """Do the same in several threads that begin together."""
    start = threading.Barrier(count)
    failures: list[BaseException] = []

    def run() -> None:
        start.wait()
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - told by the thread that asserts
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("dear diary, " * 100)
    with pytest.raises(LedgerError, match="this file is no ledger"):
        open_ledger(f"sqlite:///{text}")
    assert text.read_text() == "dear diary, " * 100
    other = tmp_path / "shop.db"
    with sqlite3.connect(other) as connection:
        connection.execute("create table orders(id)")
    connection.close()
    with pytest.raises(LedgerError, match="this SQLite file is no ledger") as raised:
        open_ledger(f"sqlite:///{other}")
    assert "holds orders" in str(raised.value.got)
