"""Jobs, their states, their drivers and events, in each kind of database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobChangedError, JobNotFoundError, LedgerError

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import State
    from openautoglm.jobs.ledger.sql_ledger import SqlLedger

ANY: frozenset[State] = frozenset({"planned", "running", "paused", "done", "failed", "cancelled"})


def test_a_job_comes_back_as_it_was_added(ledger: SqlLedger) -> None:
    before = time.time()
    ledger.add_job(
        "a-1", name="词 \0 \ud800", spec=b'{"a":1}', fingerprint={"model": "m", "s": "x"}
    )
    job = ledger.job("a-1")
    assert (job.id, job.state, job.reason, job.is_planned) == ("a-1", "planned", "", False)
    assert job.name == "词 \N{REPLACEMENT CHARACTER} ?"
    assert job.spec == b'{"a":1}'
    assert job.fingerprint == {"model": "m", "s": "x"}
    assert before <= job.created_s == job.changed_s <= time.time()


def test_adding_the_same_job_again_returns_what_is_there(ledger: SqlLedger) -> None:
    ledger.add_job("a", name="n", spec=b"{}", fingerprint={"x": "1"})
    ledger.set_state("a", "running", among=ANY)
    assert ledger.add_job("a", name="other", spec=b"{}", fingerprint={"x": "1"}).state == "running"
    assert len(ledger.jobs()) == 1


def test_a_job_that_changed_is_refused_with_every_difference(ledger: SqlLedger) -> None:
    url = "postgresql://ann:geheim@db/shop"
    ledger.add_job(
        "a",
        name="n",
        spec=b'{"tries":5,"name":"n"}',
        fingerprint={"sink": url, "gone": "1", "same": "s"},
    )
    with pytest.raises(JobChangedError) as raised:
        ledger.add_job(
            "a",
            name="n",
            spec=b'{"tries":6,"name":"n"}',
            fingerprint={"sink": f"{url}2", "new": "2", "same": "s"},
        )
    got = str(raised.value.got)
    assert "gone: was 1, is nothing" in got
    assert "new: was nothing, is 2" in got
    assert "sink: was postgresql://ann:***@db/shop, is postgresql://ann:***@db/shop2" in got
    assert "described otherwise: tries" in got
    assert "same" not in got
    assert "geheim" not in str(raised.value)


def test_a_beginning_of_an_id_is_enough_where_only_one_begins_so(ledger: SqlLedger) -> None:
    for job in ("mail-1a", "mail-1b", "mail", "post%"):
        ledger.add_job(job, name="n", spec=b"{}", fingerprint={})
    assert ledger.job("mail-1b").id == "mail-1b"
    assert ledger.job("mail").id == "mail"
    assert ledger.job("po").id == "post%"
    with pytest.raises(JobNotFoundError, match="several jobs begin with `mail-1`") as raised:
        ledger.job("mail-1")
    assert raised.value.got == "mail-1b, mail-1a"
    for unknown in ("%", "mail-1a_", ""):
        with pytest.raises(JobNotFoundError, match="no job has the id"):
            ledger.job(unknown)


def test_a_change_needs_the_whole_id(ledger: SqlLedger) -> None:
    ledger.add_job("mail-1a", name="n", spec=b"{}", fingerprint={})
    with pytest.raises(JobNotFoundError, match="`mail` is the beginning of an id"):
        ledger.set_state("mail", "running", among=ANY)


def test_jobs_are_listed_the_newest_first(ledger: SqlLedger) -> None:
    for at in range(4):
        ledger.add_job(f"j{at}", name="n", spec=b"{}", fingerprint={})
    assert [job.id for job in ledger.jobs(limit=3)] == ["j3", "j2", "j1"]


def test_a_state_changes_only_from_those_it_may_and_leaves_an_event(ledger: SqlLedger) -> None:
    ledger.add_job("a", name="n", spec=b"{}", fingerprint={})
    assert not ledger.set_state("a", "paused", among=frozenset({"running"}))
    assert ledger.job("a").state == "planned"
    assert ledger.set_state("a", "failed", reason="no room", among=frozenset({"planned"}))
    assert (ledger.job("a").state, ledger.job("a").reason) == ("failed", "no room")
    (event,) = ledger.events("a")
    assert event.kind == "job.state"
    assert event.data == b'{"was":"planned","is":"failed","reason":"no room"}'


def test_events_come_the_newest_first_and_of_their_subject_alone(ledger: SqlLedger) -> None:
    for at in range(5):
        ledger.note("k", "s", {"at": at})
    ledger.note("k", "another", {})
    assert [event.data for event in ledger.events("s", limit=2)] == [b'{"at":4}', b'{"at":3}']


def test_one_driver_is_in_charge_until_it_leaves_or_its_lease_ends(ledger: SqlLedger) -> None:
    ledger.add_job("a", name="n", spec=b"{}", fingerprint={})
    assert ledger.take_charge("a", "one", lease_s=1000)
    assert ledger.take_charge("a", "one", lease_s=1000)
    assert not ledger.take_charge("a", "two", lease_s=1000)
    ledger.leave_charge("a", "two")
    assert not ledger.take_charge("a", "two", lease_s=1000)
    ledger.leave_charge("a", "one")
    assert ledger.take_charge("a", "two", lease_s=-1)
    assert ledger.take_charge("a", "three", lease_s=1000)
    assert not ledger.take_charge("a", "two", lease_s=1000)
    with pytest.raises(JobNotFoundError):
        ledger.take_charge("unknown", "one", lease_s=1)


def test_a_closed_ledger_says_so_and_closes_again(ledger: SqlLedger) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="the ledger is closed"):
        ledger.jobs()
    with pytest.raises(LedgerError, match="the ledger is closed"):
        ledger.note("k", "s", {})
