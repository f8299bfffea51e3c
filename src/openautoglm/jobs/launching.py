"""From a description to a job in a ledger, and to a driver that runs it.

Owns `register` and `LocalLauncher`. Knows nothing of how a job is run.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.data.location import read_location
from openautoglm.errors import JobNotFoundError, JobStateError
from openautoglm.jobs.background import start_driver
from openautoglm.jobs.charge import is_left
from openautoglm.jobs.checking import check
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.fingerprints import fingerprint
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.ledger.records import ENDED
from openautoglm.jobs.reviving import UNDER_WAY, may_be_revived

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import State
    from openautoglm.jobs.spec import JobSpec

LONGEST: Final = 60
CAN_BE_CANCELLED: Final[frozenset[State]] = frozenset({"planned", "running", "paused", "failed"})


def register(spec: JobSpec, ledger: Ledger, *, job: str | None = None) -> str:
    """Put a job into a ledger, in the state `planned`; return its id.

    `{job}` in its sink stands for the id.

    Args:
        spec: of the job.
        ledger: where.
        job: the id it is to have; a new one where it is None.

    Raises:
        JobSpecError: it cannot run; names all that is in the way.
        JobChangedError: there is a job of that id, and it is another one.
    """
    checked = check(spec)
    name = name_of(checked.spec)
    job = job or f"{slug(name)}-{os.urandom(4).hex()}"
    spec = _named(checked.spec, job)
    marks = fingerprint(spec, checked.intent, checked.description)
    ledger.add_job(job, name=name, spec=msgspec.json.encode(spec), fingerprint=marks)
    return job


def name_of(spec: JobSpec) -> str:
    """Return what people call a job: its name, or what it makes of what."""
    return spec.name or f"{_stem(spec.source)} to {_stem(spec.sink)}"


def slug(name: str) -> str:
    """Return the beginning of an id.

    Example:
        >>> slug("Reviews, 2026 (all)"), slug("摘要")
        ('reviews-2026-all', 'job')
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-") or "job"


def _stem(url: str) -> str:
    return PurePath(read_location(url, {}).path.rstrip("/")).name.partition(".")[0] or "rows"


@final
class LocalLauncher:
    """Start jobs on this machine, each with a driver in the background.

    Args:
        ledger: URL of the ledger; None is the one of the settings.
        engine: what runs the workers of jobs; None is the one of the settings.

    Raises:
        ClusterError: there is no such cluster, or it cannot work with that ledger.
    """

    def __init__(self, ledger: str | None = None, *, engine: str | None = None) -> None:
        self._url = ledger_url(ledger)
        self._engine = Engine.read(engine)
        self._engine.check(self._url)

    def launch(self, spec: JobSpec, job: str) -> str:
        """Start a job of this id, unless there is one; see `Launcher`.

        `{job}` in its sink stands for the id.

        Raises:
            JobSpecError: it cannot run.
            LedgerError: the ledger cannot be written now.
        """
        with closing(open_at(self._url)) as ledger:
            if _state(ledger, job) is None:
                register(_named(spec, job), ledger, job=job)
            state = _state(ledger, job)
        if state == "planned":
            self._start(job)
        return job

    def _start(self, job: str) -> None:
        try:
            start_driver(job, self._url, self._engine.name)
        except JobStateError:
            with closing(open_at(self._url)) as ledger:
                if ledger.job(job).state in UNDER_WAY and is_left(ledger, job):
                    raise  # else another scheduler was quicker

    def revive(self, job: str) -> bool:
        """Go on with a job whose driver was killed; see `Launcher`."""
        with closing(open_at(self._url)) as ledger:
            if not may_be_revived(ledger, job):
                return False
        self._start(job)
        return True

    def state_of(self, job: str) -> State | None:
        """Return the state of a job; None where there is none of that id."""
        with closing(open_at(self._url)) as ledger:
            return _state(ledger, job)

    def cancel(self, job: str) -> None:
        """Cancel a job, unless it is over."""
        with closing(open_at(self._url)) as ledger:
            cancel(ledger, job)


def _named(spec: JobSpec, job: str) -> JobSpec:
    return msgspec.structs.replace(spec, sink=spec.sink.replace("{job}", job))


def cancel(ledger: Ledger, job: str) -> State:
    """Cancel a job that is not over; return the state it is in then."""
    ledger.set_state(job, "cancelled", among=CAN_BE_CANCELLED)
    return ledger.job(job).state


def pause(ledger: Ledger, job: str) -> None:
    """Pause a job.

    Raises:
        JobStateError: it is over.
    """
    if ledger.set_state(job, "paused", among=frozenset({"planned", "running"})):
        return
    state = ledger.job(job).state
    if state in ENDED:
        raise JobStateError(f"the job `{job}` is {state}; there is nothing to pause")


def _state(ledger: Ledger, job: str) -> State | None:
    try:
        record = ledger.job(job)
    except JobNotFoundError:
        return None
    return record.state if record.id == job else None
