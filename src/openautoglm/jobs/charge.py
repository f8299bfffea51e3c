"""Being the one driver of a job: a lease in its ledger, renewed by a thread of its own.

Owns `Charge` and `is_left`. Knows nothing of workers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.errors import JobStateError, LedgerError
from openautoglm.jobs.home import open_at
from openautoglm.jobs.ledger.deaths import PROBE
from openautoglm.jobs.notes import Notes
from openautoglm.jobs.presence import presence_of

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.ledger import Ledger

CHARGE_S: Final = 10.0
"""So long after a driver was killed on another machine, the next one may have to wait."""
ENDING_S: Final = 20.0
"""So long a driver that was told to pause may take: its workers finish what they have."""
LOOK_S: Final = 0.1
PROBE_S: Final = 0.01


def is_left(ledger: Ledger, job: str) -> bool:
    """Whether no process has charge of a job: its driver was killed, or never began.

    Of a driver that was killed on another machine it is only known when its lease ran out.
    """
    last = Notes(ledger, job).driver()
    if last is not None and last.presence.is_gone():
        ledger.leave_charge(job, last.owner, is_gone=True)
    probe = f"{PROBE}{os.urandom(6).hex()}"
    if not ledger.take_charge(job, probe, lease_s=PROBE_S):
        return False
    ledger.leave_charge(job, probe)
    return True


@final
class Charge:
    """The charge of one job, taken in a `with` and given back at its end.

    Args:
        ledger: of the job, opened by this thread.
        url: of the same.
        job: its id.
        lease_s: how long the charge holds when nobody renews it.

    Raises:
        JobStateError: another driver has it, and keeps it.
    """

    def __init__(self, ledger: Ledger, url: str, job: str, *, lease_s: float = CHARGE_S) -> None:
        self._ledger, self._url, self._job, self._lease_s = ledger, url, job, lease_s
        self._owner = f"driver-{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._notes = Notes(ledger, job)
        self._buried: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="openautoglm-charge", daemon=True)
        self.is_lost = False

    def check(self) -> None:
        """Refuse to go on where another driver took over.

        Raises:
            JobStateError: the lease ran out, and somebody has it.
        """
        if self.is_lost:
            raise JobStateError(
                f"another process took over the job `{self._job}`",
                got="this one did not get to renew its lease in time",
                fix="leave the job to that one",
            )

    def __enter__(self) -> Self:
        ends_s = time.monotonic() + max(self._lease_s, ENDING_S)
        while not self._take(self._ledger):
            if self._bury():
                continue
            if self._is_at_work() or time.monotonic() >= ends_s:
                raise JobStateError(
                    f"another process runs the job `{self._job}`",
                    fix=f"watch it: oag batch watch {self._job}; or pause it first",
                )
            time.sleep(LOOK_S)
        self._notes.driver_began(self._owner, presence_of(os.getpid()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(LedgerError):  # it runs out by itself
            self._ledger.leave_charge(self._job, self._owner)

    def _take(self, ledger: Ledger) -> bool:
        return ledger.take_charge(self._job, self._owner, lease_s=self._lease_s)

    def _renew(self) -> None:
        """Keep the lease, also while the driver is busy; what fails now may be done later."""
        while not self._over.wait(self._lease_s / 3):
            with contextlib.suppress(LedgerError), closing(open_at(self._url)) as ledger:
                if not self._take(ledger):
                    self.is_lost = True
                    return

    def _bury(self) -> bool:
        """Take the charge from a driver that was killed here; elsewhere its lease must run out."""
        last = self._notes.driver()
        if last is None or last.owner in self._buried or not last.presence.is_gone():
            return False
        self._buried.add(last.owner)
        self._ledger.leave_charge(self._job, last.owner, is_gone=True)
        return True

    def _is_at_work(self) -> bool:
        """Whether somebody runs the job on this machine and is not about to end."""
        last = self._notes.driver()
        is_here = last is not None and last.presence.is_here()
        return is_here and self._ledger.job(self._job).state == "running"
