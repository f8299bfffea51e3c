"""What the drivers of a job tell those that come after them: events in its ledger.

Owns `Notes`. Knows nothing of how a ledger keeps events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, final

import msgspec

from openautoglm.jobs.presence import Presence  # noqa: TC001 - msgspec reads the annotation
from openautoglm.jobs.spec import Budget

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.ledger import Ledger

RAN: Final = "job.ran"
BUDGET: Final = "job.budget"
DIED: Final = "worker.died"
DRIVER: Final = "driver.began"
WORKER: Final = "worker.began"
LOOKED_AT: Final = 1000
"""Events, from the last one back: the newest of its kind counts."""

BACK: Final = 3
"""Drivers whose workers may still hold shards: the one of now, and two before it."""

T = TypeVar("T")


@final
class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of running so far, over all times the job was resumed."""

    seconds: float


@final
class Began(msgspec.Struct, frozen=True, kw_only=True):
    """A driver or a worker: its name in the ledger, and the process it is."""

    owner: str
    presence: Presence


@final
class Notes:
    """The notes on one job."""

    def __init__(self, ledger: Ledger, job: str) -> None:
        self._ledger, self._job = ledger, job

    def seconds(self) -> float:
        """Return how long the job ran so far, less a minute at most where a driver was killed."""
        found = self._last(RAN, Ran)
        return 0.0 if found is None else found.seconds

    def ran(self, seconds: float) -> None:
        """Note how long the job ran."""
        self._ledger.note(RAN, self._job, {"seconds": round(seconds, 3)})

    def budget(self) -> Budget | None:
        """Return the budget that was set when the job was resumed; None where none was."""
        return self._last(BUDGET, Budget)

    def set_budget(self, budget: Budget) -> None:
        """Let another budget count from now on."""
        self._note(BUDGET, budget)

    def driver_began(self, owner: str, presence: Presence) -> None:
        """Note who has charge of the job."""
        self._note(DRIVER, Began(owner=owner, presence=presence))

    def worker_began(self, owner: str, presence: Presence) -> None:
        """Note who works on it."""
        self._note(WORKER, Began(owner=owner, presence=presence))

    def driver(self) -> Began | None:
        """Return who had charge of the job last; None where nobody had."""
        return self._last(DRIVER, Began)

    def gone_workers(self) -> list[str]:
        """Return the names of workers of the two last drivers before this whose process is gone."""
        drivers, found = 0, []
        for event in self._ledger.events(self._job, limit=LOOKED_AT):
            drivers += event.kind == DRIVER
            if drivers == BACK:
                break
            if event.kind == WORKER:
                found.append(msgspec.json.decode(event.data, type=Began))
        return [worker.owner for worker in found if worker.presence.is_gone()]

    def died(self, owner: str, how: str, said: str) -> None:
        """Note that a worker ended in a way it should not."""
        self._ledger.note(DIED, self._job, {"worker": owner, "how": how, "said": said})

    def _note(self, kind: str, what: msgspec.Struct) -> None:
        self._ledger.note(kind, self._job, msgspec.to_builtins(what))

    def _last(self, kind: str, type_: type[T]) -> T | None:
        for event in self._ledger.events(self._job, limit=LOOKED_AT):
            if event.kind == kind:
                return msgspec.json.decode(event.data, type=type_)
        return None
