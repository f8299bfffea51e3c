"""A job has one driver at a time, and the next one knows what it needs of the last."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from openautoglm.errors import JobStateError
from openautoglm.jobs import charge as module
from openautoglm.jobs.charge import Charge
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.notes import Notes
from openautoglm.jobs.presence import presence_of
from openautoglm.jobs.spec import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.jobs.conftest import Desk

    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import State

PLANNED: Final[frozenset[State]] = frozenset({"planned"})


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    """The ledger at home, with a running job in it."""
    assert desk.ledger == ledger_url()
    with closing(open_at(ledger_url())) as opened:
        opened.add_job("j", name="j", spec=b"{}", fingerprint={})
        opened.set_state("j", "running", among=PLANNED)
        yield opened


def charge(ledger: Ledger, *, lease_s: float = 60.0) -> Charge:
    return Charge(ledger, ledger_url(), "j", lease_s=lease_s)


def test_a_second_driver_is_refused_at_once_while_the_first_is_there(ledger: Ledger) -> None:
    with charge(ledger) as first:
        with pytest.raises(JobStateError, match="another process runs"), charge(ledger):
            pass
        first.check()
    with charge(ledger):
        pass


def test_the_charge_of_a_killed_driver_is_taken_at_once(ledger: Ledger) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    Notes(ledger, "j").driver_began("dead", presence_of(child.pid))
    assert ledger.take_charge("j", "dead", lease_s=600)
    child.kill()
    child.communicate()
    with charge(ledger) as taken:
        taken.check()


def test_a_driver_elsewhere_is_waited_for_as_long_as_its_lease(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENDING_S", 0.0)
    assert ledger.take_charge("j", "elsewhere", lease_s=0.3)
    with charge(ledger, lease_s=0.3):
        pass
    assert ledger.take_charge("j", "elsewhere", lease_s=600)
    with pytest.raises(JobStateError, match="another process runs"), charge(ledger, lease_s=0.3):
        pass


def test_a_driver_that_lost_its_charge_goes_on_no_more(ledger: Ledger) -> None:
    with charge(ledger, lease_s=0.3) as lost:
        ledger.leave_charge("j", lost._owner)
        assert ledger.take_charge("j", "another", lease_s=600)
        while not lost.is_lost:  # or the time of the test is up
            lost._over.wait(0.01)
        with pytest.raises(JobStateError, match="took over"):
            lost.check()


def test_what_the_last_driver_noted_is_known(ledger: Ledger) -> None:
    notes = Notes(ledger, "j")
    assert (notes.seconds(), notes.budget(), notes.driver()) == (0.0, None, None)
    notes.ran(3.0)
    notes.ran(12.5)
    notes.set_budget(Budget(rows=7))
    assert (notes.seconds(), notes.budget()) == (12.5, Budget(rows=7))


def test_workers_that_are_gone_are_those_of_the_last_drivers(ledger: Ledger) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = presence_of(child.pid)
    child.kill()
    child.communicate()
    notes = Notes(ledger, "j")
    for number in range(4):
        notes.driver_began(f"driver-{number}", here)
        notes.worker_began(f"worker-{number}", here)
    notes.worker_began("alive", presence_of(os.getpid()))
    notes.driver_began("me", presence_of(os.getpid()))
    assert notes.gone_workers() == ["worker-3", "worker-2"]
