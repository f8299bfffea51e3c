"""One worker process as the host sees it, from birth to obituary.

Owns `WorkerProcess`. Lives in the watcher's thread, but for `lend` and what is read only. Knows
nothing of restarts: it tells its crew what happened.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, final

from openautoglm.errors import OpenAutoGLMError, PluginProtocolError
from openautoglm.native.arena import MIB, lend_for_writing
from openautoglm.native.mappings import Mappings
from openautoglm.plugins.host import frames
from openautoglm.plugins.host.channel import Channel, WorkerGoneError
from openautoglm.plugins.host.exchange import Exchange
from openautoglm.plugins.host.frames import Control, Sign
from openautoglm.plugins.host.logs import READ_BYTES, Printed

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.native.arena import Arena
    from openautoglm.plugins.host.assignment import Assignment
    from openautoglm.plugins.host.bus_line import Attached
    from openautoglm.plugins.host.nursery import Nursery
    from openautoglm.plugins.host.watcher import Watcher

Attach: TypeAlias = "Callable[[socket.socket], Attached]"
"""Puts a worker on the bus, by the host's end of its line."""

State: TypeAlias = Literal["starting", "ready", "ending", "dead"]

_CONTROL_BYTES: Final = 1 << 20
_FRAMES_AT_A_TIME: Final = 32
_TOKENS: Final = 128  # in one frame of control
_FLOOD: Final = 2_000
_OBITUARY_S: Final = 2.0
_DYING_S: Final = 0.05
_BURIAL_S: Final = 1.0


class Guardian(Protocol):
    """Who is told what becomes of a worker; called in the watcher's thread."""

    def is_ready(self, worker: WorkerProcess) -> None:
        """It serves from now on."""

    def is_dead(self, worker: WorkerProcess) -> None:
        """It is no more; `obituary` says why."""


@final
class WorkerProcess:
    """A process, its control, its channels, what it prints.

    Attributes:
        said: plugin and version, for messages.
        pid: 0 before its birth.
        state: "starting", "ready", "ending", "dead".
        channels: the host's ends.
        methods: what it serves, by target.
        obituary: why it died.
        failure: the error it could not start with, if it told one.
        since: `time.monotonic` of the last change of state.
        replaces_since: `time.monotonic` of the death of the worker that it replaces.
    """

    def __init__(
        self,
        assignment: Assignment,
        arena: Arena,
        tell: Callable[[int, str], None],
        attach: Attach | None = None,
    ) -> None:
        self.said = f"{assignment.plugin} {assignment.version}"
        self.pid = 0
        self.state: State = "starting"
        self.since = time.monotonic()
        self.methods: dict[str, list[str]] = {}
        self.obituary = ""
        self.failure: OpenAutoGLMError | None = None
        self.owes_since: float | None = None
        self.replaces_since: float | None = None
        self._assignment = assignment
        self._arena = arena
        self._mappings = Mappings(writable=False)
        self._exchange = Exchange(arena, self._mappings, lend=self.lend)
        self._granted, self._granted_bytes = 0, 0
        self._heard = 0  # frames of control since the last heartbeat
        self._lent: set[int] = set()
        self._lock = threading.Lock()
        self._buried = threading.Event()
        self._pidfd = -1
        self._kill_reason = ""
        self._attach = attach
        self._attached: Attached | None = None
        self._outputs = {
            "stdout": Printed(tell, level=logging.INFO),
            "stderr": Printed(tell, level=logging.WARNING),
        }
        self._pipes: dict[int, Printed] = {}
        self.channels: tuple[Channel, ...] = ()
        self._ends: list[socket.socket] = []

    def begin(self, watcher: Watcher, nursery: Nursery, guardian: Guardian) -> None:
        """Ask for the process and listen to it."""
        self._watcher, self._nursery, self._guardian = watcher, nursery, guardian
        count = self._assignment.channels
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count + 1)]
        self._ends = [here for here, _ in pairs]
        self._control = pairs[0][0]
        self._control.setblocking(False)
        self.channels = tuple(Channel(here, self._exchange, self) for here, _ in pairs[1:])
        theirs = []
        for printed in self._outputs.values():
            reads, writes = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reads, False)
            self._pipes[reads] = printed
            theirs.append(writes)
            watcher.watch(reads, partial(self._read_print, reads))
        watcher.watch(self._control.fileno(), self._listen)
        theirs += [pairs[0][1].fileno()]
        if self._attach is not None:
            here, there = socket.socketpair()
            self._attached = self._attach(here)
            theirs += [there.fileno()]
            pairs.append((here, there))
        theirs += [there.fileno() for _, there in pairs[1 : count + 1]]
        nursery.bear(self._assignment, theirs, self._born, self._died)
        for descriptor in theirs[:2]:
            os.close(descriptor)
        for _, there in pairs:
            there.close()

    def lend(self, number: int) -> None:
        """Hand a segment of the host's arena over, once; from any thread.

        Raises:
            WorkerGoneError: it takes nothing any more.
        """
        if number in self._lent:
            return
        with self._lock:
            if number in self._lent:
                return
            segment = self._arena.segment(number)
            try:
                frame = frames.control(Sign.SEGMENT, number)
                socket.send_fds(self._control, [frame], [segment.handle])
            except OSError as cause:
                raise WorkerGoneError(begun=False) from cause
            self._lent.add(number)

    def ping(self) -> None:
        """Ask whether it lives; the answer is noted where it is heard. Memory that rests goes."""
        self._heard = 0
        released = self._exchange.released()
        said, rest = released[:_TOKENS], released[_TOKENS:]
        try:
            self._control.send(frames.control(Sign.PING, 0, said))
        except OSError:  # full: it owes answers already
            rest = released
        self._exchange.keep_unsent(rest)
        if self.owes_since is None:
            self.owes_since = time.monotonic()
        self._arena.shrink(time.monotonic(), self._assignment.rest_s)
        self._withdraw()

    def _withdraw(self) -> None:
        """Have it let go of segments that the host let go of."""
        with self._lock:
            for number in self._lent - {segment.number for segment in self._arena.segments}:
                with contextlib.suppress(OSError):  # full: the next time
                    self._control.send(frames.control(Sign.FORGET, number))
                    self._lent.discard(number)

    def cancel(self, number: int) -> None:
        """Tell it that nobody waits for a call."""
        with contextlib.suppress(OSError):
            self._control.send(frames.control(Sign.CANCEL, number))

    def shut(self, number: int) -> None:
        """Tell it that nobody reads a stream any more."""
        with contextlib.suppress(OSError):
            self._control.send(frames.control(Sign.SHUT, number))

    def end(self) -> None:
        """Let it end by itself: no call comes any more."""
        if self.state == "ready":
            self._become("ending")
            for channel in self.channels:
                channel.hang_up()

    def kill(self, reason: str) -> None:
        """End it and what it started, for a reason that its obituary will give."""
        if self.state == "dead":
            return
        self._kill_reason = self._kill_reason or reason
        self._become("ending")
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def leave(self, reason: str) -> None:
        """Close what leads to it, in a process that was forked: it is the parent's worker."""
        for end in self._ends:
            end.close()
        self.obituary, self._buried = reason, threading.Event()
        self._buried.set()
        self._lock = threading.Lock()

    def kill_soon(self, reason: str) -> None:
        """Kill what seems dead: its exit status, a better reason, may be on its way."""
        self._watcher.later(_DYING_S, lambda: self.kill(reason))

    def await_obituary(self) -> str:
        """Return why it died, once that is known; from any thread but the watcher's."""
        self._buried.wait(_OBITUARY_S)
        return self.obituary or "its end is not known yet"

    @property
    def rss_bytes(self) -> int:
        """Memory it holds, shared pages included; 0 where that cannot be read."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as statm:  # noqa: PTH123 - one small read
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    @property
    def dropped_lines(self) -> int:
        """Lines it printed faster than the host takes them."""
        return sum(printed.dropped for printed in self._outputs.values())

    def _become(self, state: State) -> None:
        self.state = state
        self.since = time.monotonic()

    def _born(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd
        self._watcher.watch(pidfd, self._ended)
        if self._kill_reason:
            self.kill(self._kill_reason)

    def _ended(self) -> None:
        """It is a zombie; the process that it came from buries it and tells how it ended."""
        self._watcher.forget(self._pidfd)
        self._watcher.later(_BURIAL_S, self._unburied)

    def _unburied(self) -> None:
        if self.state != "dead":
            self._nursery.give_up()

    def _listen(self) -> None:
        for _ in range(_FRAMES_AT_A_TIME):
            try:
                data = self._control.recv(_CONTROL_BYTES)
                self._heard += 1
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._watcher.forget(self._control.fileno())
                self.kill_soon("it closed its line of control")
                return
            if self._heard > _FLOOD:
                self.kill(f"it sent more than {_FLOOD} frames of control between two heartbeats")
            try:
                self._hear(frames.read_control(data))
            except OpenAutoGLMError as error:
                self.kill(f"{error.problem}: {error.got}")

    def _hear(self, frame: Control) -> None:
        self.owes_since = None
        if frame.sign is Sign.READY and self.state == "starting":
            self.methods = frames.unpacked(frame.said, dict[str, list[str]])
            self._become("ready")
            self._guardian.is_ready(self)
        elif frame.sign is Sign.FAILED and self.state == "starting":
            self.failure = frames.error_of(frame.said, f"the import of {self.said}")
            self.kill("it could not start")
        elif frame.sign is Sign.GROW:
            self._grant(frame.number)
        elif frame.sign is not Sign.PONG:
            raise PluginProtocolError("a frame of control out of place", got=frame.sign.name)

    def _grant(self, size: int) -> None:
        number = self._granted
        held = self._granted_bytes + size
        frame, handles = frames.control(Sign.DENIED, number), []
        if size >= MIB and held <= self._assignment.arena_bytes:  # each is a mapping here, too
            with contextlib.suppress(OpenAutoGLMError):
                segment = lend_for_writing(number, size)
                self._mappings.keep(segment)
                self._granted, self._granted_bytes = number + 1, held
                frame, handles = frames.control(Sign.GRANTED, number), [segment.handle]
        try:
            socket.send_fds(self._control, [frame], handles)
        except OSError:
            self.kill("it takes no answers")
        if handles:
            segment.close_handle()

    def _read_print(self, pipe: int) -> None:
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return
        self._pipes[pipe].feed(data, time.monotonic())
        if not data:
            self._close_pipe(pipe)

    def _close_pipe(self, pipe: int) -> None:
        self._watcher.forget(pipe)
        del self._pipes[pipe]
        os.close(pipe)

    def _died(self, status: int | None) -> None:
        if self._pidfd >= 0:
            self._watcher.forget(self._pidfd)
        for pipe in tuple(self._pipes):
            self._read_print(pipe)
            if pipe in self._pipes:
                self._pipes[pipe].feed(b"", time.monotonic())
                self._close_pipe(pipe)
        if self.state == "starting":  # it may have told why before it ended
            self._listen()
        self._watcher.forget(self._control.fileno())
        self._control.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._attached is not None:
            self._attached.close()
        self.obituary = self._cause_of_death(status)
        self._become("dead")
        self._exchange.abandon()
        self._guardian.is_dead(self)
        self._ends.clear()
        self.channels = ()  # no cycle keeps its memory until the collector comes by
        self._buried.set()

    def _cause_of_death(self, status: int | None) -> str:
        if self._kill_reason:
            how = self._kill_reason
        elif status is None:
            last = self._nursery.last_words
            how = f"the process that workers are forked from died{last and ': '}{last}"
        else:
            code = os.waitstatus_to_exitcode(status)
            how = f"exit code {code}" if code >= 0 else str(signal.strsignal(-code))
        said = self._outputs["stderr"].last
        return f"{how} (it said last: {said[-1]})" if said else how
