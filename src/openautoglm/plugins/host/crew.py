"""The workers of one plugin version, supervised: started, watched, restarted, quarantined.

Owns `Crew`. Its life happens in the watcher's thread. Knows nothing of extension points.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from openautoglm.errors import (
    OpenAutoGLMError,
    PluginUnavailableError,
)
from openautoglm.native.arena import Arena, lend
from openautoglm.plugins.host.calls import Calls
from openautoglm.plugins.host.channel import Channel, WorkerGoneError
from openautoglm.plugins.host.limits import MIB, bytes_beneath
from openautoglm.plugins.host.logs import logged_at
from openautoglm.plugins.host.pool import Pool
from openautoglm.plugins.host.process import WorkerProcess
from openautoglm.plugins.host.restarts import Restarts, Supervision

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host.assignment import Assignment
    from openautoglm.plugins.host.nursery import Nursery
    from openautoglm.plugins.host.process import Attach
    from openautoglm.plugins.host.watcher import Timer, Watcher

CrewState: TypeAlias = Literal[
    "starting", "running", "restarting", "quarantined", "failed", "stopping", "stopped"
]
_SCRATCH_S: Final = 1.0
Notify: TypeAlias = "Callable[[CrewState, CrewState, str], None]"
"""Called in the watcher's thread with the old state, the new one and the reason."""


@final
class Crew:
    """Workers that are alike.

    Attributes:
        state: see `CrewState`.
        reason: of the last change of state.
        arena: where arrays for the workers are put.
    """

    def __init__(
        self,
        assignment: Assignment,
        supervision: Supervision,
        notify: Notify,
        *,
        workers: int,
        attach: Attach | None = None,
    ) -> None:
        self.assignment = assignment
        self.supervision = supervision
        self.said: Final = f"{assignment.plugin} {assignment.version}"
        self.state: CrewState = "starting"
        self.reason = ""
        self.arena = Arena(lend, limit_bytes=assignment.arena_bytes)
        self.pool = Pool(self.said)
        self.restarts = Restarts(supervision)
        self.workers: list[WorkerProcess] = []
        timeout_s = assignment.limits.call_timeout_s
        self.calls = Calls(self, self.pool, self.said, supervision, timeout_s)
        self.crashes = 0
        self.back_s: list[float] = []
        self._wanted = workers
        self._attach = attach
        self._notify = notify
        self._settled = threading.Event()
        self._ended = threading.Event()
        self._log = logging.getLogger(f"openautoglm.plugins.{assignment.plugin}")
        self._overdue: dict[Channel, Timer] = {}

    @property
    def serving(self) -> tuple[WorkerProcess, ...]:
        """The workers that take calls now; from any thread."""
        return tuple(each for each in tuple(self.workers) if each.state == "ready")

    # in the watcher's thread

    def begin(self, watcher: Watcher, nursery: Nursery) -> None:
        """Start the workers."""
        self._watcher, self._nursery = watcher, nursery
        for _ in range(self._wanted):
            self._spawn()
        watcher.later(self.supervision.heartbeat_s, self._beat)
        watcher.later(_SCRATCH_S, self._measure_scratch)

    def end(self) -> None:
        """Let the workers end, and kill those that do not."""
        if self.state in {"stopping", "stopped"}:
            return
        self._become("stopping", "it was asked to")
        self.pool.refuse(self._unavailable())
        for worker in self.workers:
            if worker.state == "ready":
                worker.end()
            else:
                worker.kill("it was stopped")
        self._watcher.later(self.supervision.stop_s, self._kill_rest)
        self._ended_if_empty()

    def is_ready(self, worker: WorkerProcess) -> None:
        """Let calls use a new worker."""
        if self.state in {"stopping", "stopped", "quarantined", "failed"}:
            worker.kill("it is not wanted any more")
            return
        if worker.replaces_since is not None:
            self.back_s.append(time.monotonic() - worker.replaces_since)
        for channel in worker.channels:
            self.pool.add(channel)
        self.pool.refuse(None)
        if sum(each.state == "ready" for each in self.workers) == self._wanted:
            self._become("running", "all workers serve")
            self._settled.set()

    def is_dead(self, worker: WorkerProcess) -> None:
        """Take a dead worker out, and decide what follows."""
        was_wanted = self.state not in {"stopping", "stopped", "quarantined", "failed"}
        self.workers.remove(worker)
        for channel in worker.channels:
            self._no_longer_overdue(channel)
            self.pool.bury(channel)
        if not was_wanted:
            self._ended_if_empty()
            return
        self.crashes += 1
        if not self._settled.is_set():
            self._fail(worker)
            return
        delay_s = self.restarts.delay_s(time.monotonic())
        if delay_s is None:
            self._quarantine(worker.obituary)
            return
        never_served = not worker.methods
        since = worker.replaces_since if never_served else None
        spawn = partial(self._spawn, since or time.monotonic())
        self._become("restarting", worker.obituary)
        if delay_s:
            self._watcher.later(delay_s, spawn)
        else:
            spawn()

    def _spawn(self, replaces_since: float | None = None) -> None:
        if self.state in {"stopping", "stopped", "quarantined", "failed"}:
            return
        worker = WorkerProcess(self.assignment, self.arena, self._log.log, self._attach)
        worker.replaces_since = replaces_since
        self.workers.append(worker)
        worker.begin(self._watcher, self._nursery, self)

    def _fail(self, worker: WorkerProcess) -> None:
        cause = worker.failure
        self._become("failed", _in_a_line(cause) if cause is not None else worker.obituary)
        self.pool.refuse(cause or self._unavailable())
        self._failure = cause
        self._kill_rest()
        self._settled.set()

    def _quarantine(self, obituary: str) -> None:
        limits = self.supervision
        often = f"more than {limits.intensity} restarts in {limits.period_s:g} s"
        self._become("quarantined", f"{often}; the last worker: {obituary}")
        self.pool.refuse(self._unavailable())
        self._kill_rest()

    def _kill_rest(self) -> None:
        for worker in tuple(self.workers):
            worker.kill("it did not end by itself" if self.state == "stopping" else self.state)

    def _ended_if_empty(self) -> None:
        if not self.workers and self.state == "stopping":
            self._become("stopped", "it was asked to")
            for segment in self.arena.segments:
                segment.close_handle()
            self._ended.set()
        elif not self.workers:
            self._ended.set()

    def _measure_scratch(self) -> None:
        """Kill the workers where their folder holds more than it may: no limit of files' sum is."""
        if self._ended.is_set():
            return
        most = self.assignment.limits.scratch_mb * MIB
        if bytes_beneath(Path(self.assignment.scratch)) > most:
            for worker in tuple(self.workers):
                worker.kill(f"its scratch folder holds more than {most // MIB} MiB")
            _empty(Path(self.assignment.scratch))
        self._watcher.later(_SCRATCH_S, self._measure_scratch)

    def _beat(self) -> None:
        if self.state == "stopped" or (self._ended.is_set() and not self.workers):
            return
        limits, now = self.supervision, time.monotonic()
        for worker in tuple(self.workers):
            if worker.state == "starting" and now - worker.since > limits.start_s:
                worker.kill(f"it did not start in {limits.start_s:g} s")
            elif worker.state == "ending" and not worker.pid:  # never born, so it cannot be killed
                if now - worker.since > limits.hung_after_s:
                    self._nursery.give_up()
            elif worker.state == "ready":
                owes = worker.owes_since
                if owes is not None and now - owes > limits.hung_after_s:
                    worker.kill(f"it hung: no heartbeat in {limits.hung_after_s:g} s")
                else:
                    worker.ping()
        self._watcher.later(limits.heartbeat_s, self._beat)

    def soon(self, then: Callable[[], None]) -> None:
        """Do something in the watcher's thread; from any."""
        self._watcher.soon(then)

    def later(self, delay_s: float, then: Callable[[], None]) -> Timer:
        """Do something after a time."""
        return self._watcher.later(delay_s, then)

    def watch_overdue(self, channel: Channel) -> None:
        """Cancel a call nobody waits for; kill its worker unless it answers in time."""
        worker = channel.worker
        if channel.is_dead or worker.state != "ready":
            return
        worker.cancel(channel.number)
        seconds = self.supervision.grace_s
        reason = f"a call did not end in its time, nor {seconds:g} s later"
        self._overdue[channel] = self._watcher.later(seconds, lambda: worker.kill(reason))
        self._watcher.watch(channel.fileno(), lambda: self._read_late(channel))

    def see_to(self, channel: Channel, cause: OpenAutoGLMError | None) -> None:
        """Kill the worker of a channel that broke, for the best reason there is."""
        worker = channel.worker
        if cause is not None:
            worker.kill(f"{cause.problem}: {cause.got}")
        else:  # dead already, most likely: its exit status is a better reason, and on its way
            worker.kill_soon("it closed a channel")

    def _read_late(self, channel: Channel) -> None:
        try:
            is_last = channel.skip()
        except WorkerGoneError as error:
            self._no_longer_overdue(channel)
            self.see_to(channel, error.cause)
            return
        if is_last:
            self._no_longer_overdue(channel)
            self.pool.add(channel)

    def _no_longer_overdue(self, channel: Channel) -> None:
        timer = self._overdue.pop(channel, None)
        if timer is not None:
            timer.cancel()
            self._watcher.forget(channel.fileno())

    def _become(self, state: CrewState, reason: str) -> None:
        old, self.state, self.reason = self.state, state, reason
        if old != state:
            self._notify(old, state, reason)

    def _unavailable(self) -> PluginUnavailableError:
        fix = None
        if self.state == "quarantined":
            fix = f"mend it, and start it again; see {logged_at(self.assignment.plugin)}"
        return PluginUnavailableError(
            f"plugin {self.said} is {self.state}", got=self.reason, fix=fix
        )

    # in the threads of callers

    def await_start(self, timeout_s: float) -> None:
        """Wait until all workers serve.

        Raises:
            PluginUnavailableError: they do not, and why.
        """
        settled = self._settled.wait(timeout_s)
        if settled and self.state != "failed":
            return
        raise PluginUnavailableError(
            f"plugin {self.said} did not start",
            got=self.reason if settled else f"not ready in {timeout_s:g} s",
            fix=f"tell its author; see {logged_at(self.assignment.plugin)}",
        ) from getattr(self, "_failure", None)

    def drain(self, timeout_s: float) -> bool:
        """Take no more calls, and wait for those under way; return whether all ended in time."""
        error = PluginUnavailableError(f"plugin {self.said} is stopping", got="it was asked to")
        self.pool.close(error)
        return self.pool.drain(time.monotonic() + timeout_s)

    def await_end(self, timeout_s: float) -> bool:
        """Wait until no worker is left."""
        return self._ended.wait(timeout_s)


def _empty(folder: Path) -> None:
    """Remove what is in a folder; dying workers may still write, and it is measured again."""
    for inside in folder.iterdir():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside, ignore_errors=True)
        else:
            inside.unlink(missing_ok=True)


def _in_a_line(cause: OpenAutoGLMError) -> str:
    return cause.problem if cause.got is None else f"{cause.problem}: {cause.got}"
