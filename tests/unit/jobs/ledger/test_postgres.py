"""The ledger in PostgreSQL when the server, or the way to it, goes and comes back."""

from __future__ import annotations

import signal
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from openautoglm.data import Shard
from openautoglm.errors import FencedError, LedgerError
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.ledger.records import Claim, RowOutcome

from .cutting_proxy import CuttingProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres_server import PostgresServer

    from openautoglm.jobs.ledger.ledger import Ledger

    from .cutting_proxy import Moment

LONG_S = 1000.0


@contextmanager
def opened(url: str, *, patience_s: float = 30.0) -> Iterator[Ledger]:
    ledger = open_ledger(url, patience_s=patience_s)
    try:
        yield ledger
    finally:
        ledger.close()


def begun(ledger: Ledger) -> Claim:
    ledger.add_job("j", name="n", spec=b"{}", fingerprint={})
    ledger.add_shards("j", [Shard(index=at) for at in range(2)])
    ledger.set_state("j", "running", among=frozenset({"planned"}))
    claim = ledger.claim("j", "w", lease_s=LONG_S)
    assert claim is not None
    return claim


def row(ordinal: int) -> RowOutcome:
    return RowOutcome(ordinal=ordinal, key="k", outcome="ok", payload=b"{}", tokens=1)


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def through(url: str, proxy: CuttingProxy) -> str:
    before, _, behind = url.rpartition(":")
    return f"{before}:{proxy.port}/{behind.partition('/')[2]}"


def test_a_server_that_crashes_and_comes_back_is_waited_for(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with opened(postgres_url) as ledger:
        claim = begun(ledger)
        ledger.journal(claim, [row(0)], handed=1, lease_s=LONG_S)
        postgres_server.stop(signal.SIGQUIT)
        starting = threading.Thread(target=postgres_server.start)
        starting.start()
        ledger.journal(claim, [row(1)], handed=2, lease_s=LONG_S)
        starting.join()
        assert ledger.counts("j").ok == 2
        postgres_server.stop()
        postgres_server.start()
        assert ledger.answered(claim) == {0, 1}


def test_a_server_that_is_gone_is_said_and_the_ledger_goes_on_when_it_is_back(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with opened(postgres_url, patience_s=0.2) as ledger:
        claim = begun(ledger)
        postgres_server.stop()
        try:
            for act in (
                lambda: ledger.journal(claim, [row(0)], handed=1, lease_s=LONG_S),
                lambda: ledger.counts("j"),
                lambda: open_ledger(postgres_url, patience_s=0.0),
            ):
                with pytest.raises(LedgerError, match="cannot be reached") as raised:
                    act()
                assert "pg_isready" in str(raised.value.fix)
                assert_has_no_password(raised.value, postgres_server)
        finally:
            postgres_server.start()
        assert ledger.counts("j").ok == 0
        ledger.journal(claim, [row(0)], handed=1, lease_s=LONG_S)
        assert ledger.counts("j").ok == 1


def assert_has_no_password(error: BaseException, server: PostgresServer) -> None:
    written = urlsplit(server.url()).password
    assert written is not None
    text = told(error) + repr(error)
    assert written not in text
    assert unquote(written) not in text


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_whose_answer_was_lost_is_done_once(
    postgres_server: PostgresServer, postgres_url: str, moment: Moment
) -> None:
    with (
        CuttingProxy(postgres_server.port) as proxy,
        opened(through(postgres_url, proxy)) as ledger,
    ):
        claim = begun(ledger)
        proxy.arm(moment)
        ledger.journal(claim, [row(0), row(1)], handed=2, lease_s=LONG_S)
        proxy.arm(moment)
        ledger.note("k", "s", {})
        proxy.arm(moment)
        second = ledger.claim("j", "w2", lease_s=LONG_S)
        assert second is not None
        assert (second.shard.index, second.attempt) == (1, 1)
        proxy.arm(moment)
        assert ledger.set_state("j", "paused", among=frozenset({"running"}))
        proxy.arm(moment)
        ledger.commit(claim, None)
        assert proxy.cuts == 5
        counts = ledger.counts("j")
        assert (counts.ok, counts.tokens, counts.shards_done) == (2, 2, 1)
        assert len(ledger.events("s")) == 1
        assert len(ledger.events("j")) == 2
        ledger.renew([second], lease_s=LONG_S)


def test_a_commit_of_which_nothing_is_known_is_not_done_again(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with (
        CuttingProxy(postgres_server.port) as proxy,
        opened(through(postgres_url, proxy), patience_s=0.3) as ledger,
    ):
        begun(ledger)
        proxy.arm("after")
        proxy.refuse()
        with pytest.raises(LedgerError, match="lost in the middle of a commit") as raised:
            ledger.note("k", "s", {})
        assert_has_no_password(raised.value, postgres_server)
    with opened(postgres_url) as ledger:
        assert len(ledger.events("s")) == 1


def test_a_wrong_password_or_database_is_said_at_once(postgres_server: PostgresServer) -> None:
    port = postgres_server.port
    wrong = (
        f"postgresql://postgres:geheim@127.0.0.1:{port}/postgres",
        postgres_server.url("nosuchdatabase"),
        f"postgresql://postgres@127.0.0.1:{port}/postgres?password=geheim",
    )
    for url in wrong:
        with pytest.raises(LedgerError, match="refuses") as raised:
            open_ledger(url)
        assert raised.value.fix == "see user, password and database"
        assert "geheim" not in told(raised.value)
        assert_has_no_password(raised.value, postgres_server)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:geheim@host:port/db",
        "postgresql://ann:geheim@host/db?nosuchoption=geheim",
        "postgresql://ann:ge/heim@host:1/db",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError) as raised:
        open_ledger(url, patience_s=0.0)
    assert "heim" not in told(raised.value).replace("nosuchoption=geheim", "")


def test_a_worker_that_stops_in_the_middle_does_not_hold_its_shard_for_ever(
    postgres_url: str,
) -> None:
    with opened(postgres_url, patience_s=1.0) as ledger:
        claim = begun(ledger)
        stopped = psycopg.connect(postgres_url, autocommit=True)
        stopped.execute("set idle_in_transaction_session_timeout = '300ms'")
        stopped.execute("begin")
        stopped.execute("select 1 from oag_shard for update")
        assert ledger.claim("j", "w2", lease_s=LONG_S) is None  # passes by what is held
        assert ledger.leave("w", "killed") == 1  # waits until the server ends the other
        stopped.close()
        with pytest.raises(FencedError):
            ledger.journal(claim, [row(0)], handed=1, lease_s=LONG_S)
        timeout = ledger_setting(ledger, "idle_in_transaction_session_timeout")
        assert timeout == "1s"


def ledger_setting(ledger: Ledger, name: str) -> str:
    from openautoglm.jobs.ledger.sql_ledger import SqlLedger

    assert isinstance(ledger, SqlLedger)
    values = {"name": name}
    found = ledger._database.read(
        lambda session: session.rows("select current_setting(:name)", values)
    )
    return str(found[0][0])


def test_commits_are_synced_also_where_the_server_would_not(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"alter database {name} set synchronous_commit = off".encode())
    with opened(postgres_url) as ledger:
        assert ledger_setting(ledger, "synchronous_commit") == "on"


def test_a_standby_is_refused(postgres_url: str) -> None:
    with opened(postgres_url) as ledger:
        begun(ledger)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"alter database {name} set default_transaction_read_only = on".encode())
    with opened(postgres_url) as ledger:
        with pytest.raises(LedgerError, match="may not be written"):
            ledger.note("k", "s", {})
        assert ledger.counts("j").shards == 2
