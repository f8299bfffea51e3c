"""The worker processes of a backend, and the thread that keeps them busy.

Owns `Pool`: which process gets which row, what becomes of the rows of one that died or hangs, and
when starting more is given up. Knows nothing of models.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, final

from openautoglm.engine import wire
from openautoglm.engine.backends.native.processes.frames import Cancel
from openautoglm.engine.backends.native.processes.task import Task
from openautoglm.engine.backends.native.worker import check_process, closed
from openautoglm.errors import BackendUnavailableError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backend import Request
    from openautoglm.engine.backends.native.batch import Begin, Tell
    from openautoglm.engine.backends.native.processes.limits import Limits
    from openautoglm.engine.backends.native.processes.process import Process

    Kernels = dict[str, list[str]]

BEAT_S: Final = 0.05
"""How long a row that is cancelled may go on before its process is told."""
TRIES: Final = 3
"""Processes in a row that die before they are ready."""
ROOM: Final = 1.5
"""Rows that a process has at once, for each it can decode at once: none of them shall be idle."""

START_S: Final = 300.0
"""How long a process may take to load its model."""
GLANCE_S: Final = 0.5
"""Time between two looks at the processes; what is more is this process, which stood still."""

_log: Final = logging.getLogger("openautoglm.engine")


@final
class Pool:
    """Compute rows in worker processes; safe to use from several threads.

    Processes are started as there are rows for them, and stay. One that gives no sign of life while
    it has rows is killed. A row whose process died goes to another one; after the second death it
    goes alone, so that a row that kills its process is told from its neighbours.

    Args:
        start: starts a process; called on the pool's thread.
        limits: how many processes at most, and what each may do.
        model: name in the generation of a row that is not computed.
        kernels: those that serve this process, by operator; None where that is all the same.
        is_optional: rows may be computed elsewhere, and are, where no process can be started or
            processes have other kernels than this one. Otherwise the first is an error of the
            rows, the second a warning in the log.

    Attributes:
        most: processes at most; less where the system gives no more.
        is_optional: see above.
    """

    def __init__(
        self,
        start: Callable[[], Process],
        *,
        limits: Limits,
        model: str,
        kernels: Callable[[], Kernels] | None = None,
        is_optional: bool = False,
    ) -> None:
        self.most = limits.most
        self.is_optional = is_optional
        self._start = start
        self._room = int(limits.slots * ROOM) + 1
        self._timeout_s = limits.timeout_s
        self._model = model
        self._kernels = kernels
        self._given: deque[Task] = deque()
        self._waiting: deque[Task] = deque()
        self._processes: list[Process] = []
        self._numbers = count()
        self._failures = 0  # processes that died before they were ready, since one was
        self._refusal: OpenAutoGLMError | None = None
        self._swept_s = self._looked_s = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()
        self._is_stopped = False
        self._selector: selectors.BaseSelector = selectors.SelectSelector()  # until there are rows
        self._ends: tuple[socket.socket, ...] = ()  # what is written to the last wakes the thread

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that are ready."""
        return [process.pid for process in list(self._processes) if process.is_ready]

    def serves(self) -> bool:
        """Whether rows that may be computed elsewhere should come here."""
        if self._refusal is not None:
            return False
        known = [p.kernels for p in list(self._processes) if p.kernels is not None]
        return not known or not self._others_than_here(known[0])

    def begin(self, request: Request, tell: Tell, otherwise: Begin | None = None) -> Task:
        """Take a row; `tell` is called with its generation, on the pool's thread.

        Args:
            request: what to compute.
            tell: see above.
            otherwise: begins it elsewhere, for a pool that is optional.

        Raises:
            EngineClosedError: the pool was stopped, or belongs to the process that forked this.
        """
        task = Task(request, tell, model=self._model, otherwise=otherwise)
        self.check()
        with self._lock:
            if self._is_stopped:
                raise closed()
            if self._thread is None:
                self._begin_thread()
            self._given.append(task)
        self._ring()
        return task

    def check(self) -> None:
        """Raise what `begin` would raise."""
        if self._thread is not None:
            check_process(self._owner)
        if self._is_stopped:
            raise closed()

    def stop(self) -> None:
        """End the processes, and what they have to do with an error. Stopping twice is fine."""
        if self._thread is not None and self._owner != os.getpid():
            for process in self._processes:  # a forked child has copies of the lines, no process
                process.leave()
            self._let_go()
            return
        with self._lock:
            self._is_stopped = True
            thread = self._thread
        self._ring()
        if thread is None:
            self._let_go()
        elif thread is not threading.current_thread():
            thread.join()

    def _begin_thread(self) -> None:
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ends[0], selectors.EVENT_READ)
        self._owner = os.getpid()
        self._thread = threading.Thread(
            target=self._run, name="openautoglm-native-pool", daemon=True
        )
        self._thread.start()

    def _let_go(self) -> None:
        self._selector.close()
        for end in self._ends:
            end.close()

    def _ring(self) -> None:
        with suppress(OSError):  # full: it is awake; closed: it has ended
            for end in self._ends[1:]:
                end.send(b"x")

    def _run(self) -> None:
        # a worker process starts with what is blocked here: Ctrl-C is for this process alone
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            while self._take_in():
                self._end_silent()
                self._pass_on_cancels()
                self._employ()
                self._hand_out()
                self._listen()
        finally:
            with self._lock:
                self._is_stopped = True
                tasks = [*self._given, *self._waiting, *self._under_way()]
            for process in self._processes:
                process.kill()
            self._processes.clear()
            self._let_go()
            for task in tasks:
                task.fail(closed())

    def _take_in(self) -> bool:
        """Take what was given; False when it is time to end."""
        with self._lock:
            given = list(self._given)
            self._given.clear()
            self._waiting += given
            is_stopped = self._is_stopped
        if self._refusal is not None and not is_stopped:
            self._refuse(self._refusal)
        return not is_stopped

    def _under_way(self) -> list[Task]:
        return [task for process in self._processes for task in process.rows.values()]

    def _outstanding(self) -> int:
        return len(self._waiting) + sum(len(process.rows) for process in self._processes)

    def _pass_on_cancels(self) -> None:
        now_s = time.monotonic()
        if now_s - self._swept_s < BEAT_S:
            return
        self._swept_s = now_s
        for process in self._processes:
            numbers = [n for n, task in process.rows.items() if task.shall_be_cancelled()]
            if numbers:
                process.send(Cancel(numbers))
        if any(task.is_cancelled for task in self._waiting):
            waiting, self._waiting = self._waiting, deque()
            for task in waiting:
                if task.is_cancelled:
                    task.cancel()
                else:
                    self._waiting.append(task)

    def _employ(self) -> None:
        """Start processes as there are rows for them."""
        while len(self._processes) < min(self.most, self._outstanding()):
            try:
                process = self._start()
            except (OpenAutoGLMError, OSError) as error:
                self._note_failure(error)
                continue
            self._processes.append(process)
            self._selector.register(process, selectors.EVENT_READ, process)

    def _hand_out(self) -> None:
        """Give waiting rows to processes, to each its share where there are few."""
        share = min(self._room, -(-self._outstanding() // self.most))
        while self._waiting:
            task = self._waiting[0]
            process = None if task.is_cancelled else self._place(task, share)
            if process is None and not task.is_cancelled:
                return
            self._waiting.popleft()
            if process is None:
                task.cancel()
                continue
            process.ask(next(self._numbers), task)

    def _place(self, task: Task, share: int) -> Process | None:
        """Return the process for a row; None if it has to wait."""
        open_ = [p for p in self._processes if p.is_ready and not _is_let(p)]
        if task.is_suspect:
            return next((p for p in open_ if not p.rows), None)
        same = next((p for p in open_ if p.has_same(task)), None)
        if same is not None:
            return same
        free = [p for p in open_ if p.load < share]
        return min(free, key=lambda process: process.load, default=None)

    def _listen(self) -> None:
        has_rows = self._outstanding() > 0
        for process in self._processes:
            watched = selectors.EVENT_READ
            if process.has_unsent:
                watched |= selectors.EVENT_WRITE
            if self._selector.get_key(process).events != watched:
                self._selector.modify(process, watched, process)
        for key, events in self._selector.select(BEAT_S if has_rows else None):
            if key.data is None:
                with suppress(BlockingIOError):
                    self._ends[0].recv(1 << 16)
            elif key.data in self._processes:
                self._attend(key.data, events)

    def _attend(self, process: Process, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            process.flush()
        if not events & selectors.EVENT_READ:
            return
        was_ready = process.is_ready
        answers = process.receive()
        for answer in answers or ():
            task = process.done(answer.number)
            if task is not None:
                task.answer(wire.generation_from(answer.generation))
        if answers is None:
            self._replace(process)
        elif process.is_ready and not was_ready:
            self._welcome(process)

    def _welcome(self, process: Process) -> None:
        self._failures = 0
        other = self._others_than_here(process.kernels or {})
        if not other:
            return
        if self.is_optional:
            self._refuse(BackendUnavailableError("worker processes have other kernels", got=other))
        else:
            _log.warning("worker processes have other kernels than this one: %s", other)

    def _others_than_here(self, kernels: Kernels) -> Kernels:
        """Return those of a process that are not those of this one, where both have an operator."""
        here = {} if self._kernels is None else self._kernels()
        return {op: names for op, names in kernels.items() if here.get(op, names) != names}

    def _end_silent(self) -> None:
        """Replace processes that give no sign of life, though they have something to do."""
        now_s = time.monotonic()
        passed_s, self._looked_s = min(now_s - self._looked_s, GLANCE_S), now_s
        for process in list(self._processes):
            process.wait(passed_s)
            if not process.is_ready and process.silent_s > START_S:
                self._replace(process, f"it had not loaded its model in {START_S:g} s")
            elif process.is_ready and process.silent_s > self._timeout_s:
                self._replace(
                    process,
                    f"it had rows and gave no sign of life for {self._timeout_s:g} s, which is "
                    "`worker_timeout_s`",
                )

    def _replace(self, process: Process, why: str | None = None) -> None:
        """Bury a process that died, or end it for a reason; another one gets its rows."""
        if process not in self._processes:  # what became of one before it ended all
            return
        self._selector.unregister(process)
        self._processes.remove(process)
        how = process.bury() if why is None else f"{why}, and was killed"
        process.kill()
        if process.is_ready:
            _log.warning("worker process %d is replaced: %s", process.pid, how)
        else:
            self._note_failure(process.failure or how)
        for task in reversed(list(process.rows.values())):
            if task.survives(how):
                self._waiting.appendleft(task)

    def _note_failure(self, reason: Exception | str) -> None:
        """Note that a process could not start; give up when it is always so."""
        self._failures += 1
        if self._failures < TRIES:
            return
        self._failures = 0
        if any(process.is_ready for process in self._processes):
            self.most = len(self._processes)
            return
        error = BackendUnavailableError(
            "the worker processes of the native backend cannot start",
            got=f"{TRIES} in a row; the last: {reason}",
            fix="use processes=1, which computes in this process",
        )
        if isinstance(reason, Exception):
            error.__cause__ = reason
        self._refuse(error)

    def _refuse(self, error: OpenAutoGLMError) -> None:
        """Have all rows computed elsewhere, or fail them."""
        if self.is_optional:
            self._refusal = error
            _log.info("rows stay in this process: %s", error)
        tasks = [*self._under_way(), *self._waiting]
        self._waiting.clear()
        for process in self._processes:
            self._selector.unregister(process)
            process.kill()
        self._processes.clear()
        for task in tasks:
            task.refuse(error)


def _is_let(process: Process) -> bool:
    """Whether a process has a row that shall be alone."""
    return len(process.rows) == 1 and next(iter(process.rows.values())).is_suspect
