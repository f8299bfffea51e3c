"""The faults that a job is attacked with, made and told apart: at once, or for a while.

Owns `Arsenal` and `ground_of`: which kinds there are for a job, and what does each. Knows nothing
of when.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.jobs.chaos import board as boards
from openautoglm.jobs.chaos.board import Board
from openautoglm.jobs.chaos.kinds import Ground, choose
from openautoglm.jobs.chaos.lasting import (
    BadServer,
    BusyFile,
    BusyTables,
    Clock,
    Disk,
    NoServer,
    Restart,
)
from openautoglm.jobs.chaos.places import has_disk, has_files, ledger_file, torn_of, written_by
from openautoglm.jobs.chaos.sudden import Kill, Pause, Tear
from openautoglm.jobs.works.counting import VARIABLE, calls_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from openautoglm.jobs.chaos.kinds import Kind
    from openautoglm.jobs.chaos.lasting import Lasting
    from openautoglm.jobs.chaos.proxy import Proxy
    from openautoglm.jobs.chaos.sudden import Sudden
    from openautoglm.jobs.spec import JobSpec
    from openautoglm.jobs.works.counting import Calls

TORN_S: Final = 2.0
"""How long to wait for a process that writes a file, to be killed then."""


def ground_of(spec: JobSpec, *, ledger: str, proxy: Proxy | None, restart: str | None) -> Ground:
    """Return what a job stands on; parameters as of `Arsenal`."""
    return Ground(
        has_library=boards.is_there(),
        has_disk=has_disk(spec, ledger),
        has_files=has_files(spec),
        has_server=proxy is not None,
        has_restart=restart is not None,
    )


@final
class Arsenal:
    """Make the faults of one job, in a `with`.

    Args:
        spec: of the job.
        ledger: its URL.
        folder: for the files by which calls are counted and disks fail.
        kinds: which faults; None is all that can be.
        proxy: before the job's model server, where it has one.
        restart: a command that starts the job's database again.
        pause_s: how long a worker that is stopped sleeps.
        tell: is told what goes wrong with a fault.

    Attributes:
        kinds: that can be.
        skipped: kinds that cannot, each with the reason.

    Raises:
        InvalidParameterError: a kind was asked for that cannot be.
    """

    def __init__(  # noqa: PLR0913 - what faults are made of, by keyword
        self,
        spec: JobSpec,
        *,
        ledger: str,
        folder: Path,
        kinds: Sequence[Kind] | None,
        proxy: Proxy | None,
        restart: str | None,
        pause_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self._spec, self._ledger, self._proxy, self._restart = spec, ledger, proxy, restart
        self._calls, self._temporary = folder / "calls", folder / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self._tell, self._stack = tell, ExitStack()
        self._pause = Pause(pause_s)
        ground = ground_of(spec, ledger=ledger, proxy=proxy, restart=restart)
        self.kinds, self.skipped = choose(kinds, ground)
        self._board = Board(folder / "board", written_by(spec, ledger, self._temporary))
        self._is_preloaded = ground.has_library
        self.sudden = self._sudden()
        self.lasting = self._lasting()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._board)
        self._stack.callback(self._pause.join)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self) -> Mapping[str, str]:
        """Return what the job's processes are to be started with, besides what they would be."""
        is_far = ledger_file(self._ledger) is None
        url = BusyTables.url_of_job(self._ledger) if is_far else self._ledger
        found = {
            "OPENAUTOGLM_LEDGER": url,  # not an argument: it may hold a password
            "OPENAUTOGLM_ENGINE": "local",  # no processes but those of this machine can be hit
            "TMPDIR": str(self._temporary),
            VARIABLE: str(self._calls),
        }
        return {**found, **self._board.environment()} if self._is_preloaded else found

    def calls(self) -> Calls:
        """Return how often work was begun on rows."""
        return calls_in(self._calls)

    def server_answers(self) -> Mapping[str, int]:
        """Return how many wrong answers of a model server were given, by kind."""
        return {} if self._proxy is None else dict(self._proxy.answers)

    def _sudden(self) -> Mapping[Kind, Sudden]:
        return {
            "worker": Kill(driver=False, workers=True),
            "driver": Kill(driver=True, workers=False),
            "both": Kill(driver=True, workers=True),
            "pause": self._pause,
            "torn-file": Tear(torn_of(self._spec, self._temporary), TORN_S),
        }

    def _lasting(self) -> Mapping[Kind, Lasting]:
        file = ledger_file(self._ledger)
        busy = BusyTables(self._ledger) if file is None else BusyFile(file, self._board)
        found: dict[Kind, Lasting] = {
            "disk-full": Disk.full(self._board),
            "disk-error": Disk.broken(self._board),
            "busy": busy,
            "clock-jump": Clock(self._board),
        }
        if self._restart is not None:
            found["database-restart"] = Restart(self._restart, self._tell)
        if self._proxy is not None:
            found["server-errors"] = BadServer(self._proxy)
            found["server-down"] = NoServer(self._proxy, self._board)
        return found
