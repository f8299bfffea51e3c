"""The host's side of the zygotes: starts them, asks them for workers, starts them again.

Owns `Nursery`, one zygote, and `Nurseries`: those that import what takes seconds are apart, so that
nobody else waits for it. Runs in the watcher's thread. Knows nothing of what workers do.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.plugins.host.logs import READ_BYTES, Printed
from openautoglm.plugins.host.zygote import MESSAGE, Birth, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host.assignment import Assignment
    from openautoglm.plugins.host.watcher import Watcher

    Born = Callable[[int, int], None]  # pid and pidfd
    Died = Callable[[int | None], None]  # wait status; None where nobody could tell

_PROGRAM: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from openautoglm.plugins.host import zygote; "
    "zygote.main(int(sys.argv[2]), int(sys.argv[3]))"
)
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HEAVY: Final = frozenset({"torch"})
"""Modules that take seconds to import; plugins that have the same ones share a zygote."""

_log: Final = logging.getLogger("openautoglm.plugins")
_END_S: Final = 5.0


@final
class Nursery:
    """Where workers come from. Everything but the constructor runs in the watcher's thread."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._zygote: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._expected: dict[int, tuple[Born, Died]] = {}
        self._events = msgspec.msgpack.Decoder(Event)
        self._printed = Printed(_log.log, level=logging.ERROR)

    def bear(self, assignment: Assignment, descriptors: list[int], born: Born, died: Died) -> None:
        """Ask for a worker; `born` is called with its pid and pidfd, `died` at its end."""
        line = self._line or self._start()
        number = next(self._numbers)
        self._expected[number] = born, died
        data = msgspec.msgpack.encode(Birth(number, assignment))
        try:
            socket.send_fds(line, [data], descriptors)
        except OSError:
            self._lost()

    @property
    def last_words(self) -> str:
        """What the zygote printed last, for whoever asks why it died."""
        return self._printed.last[-1] if self._printed.last else ""

    def give_up(self) -> None:
        """Kill a zygote that does not answer; every worker goes with it, and another is started."""
        if self._zygote is not None:
            _log.error("the process that workers are forked from does not answer: it is killed")
            self._zygote.kill()

    def close(self) -> None:
        """End the zygote, and with it every worker that is left."""
        if self._line is not None:
            self._watcher.forget(self._line.fileno())
            self._line.close()
            self._line = None
        self._end()

    def leave(self) -> None:
        """Forget the zygote, in a process that was forked: it is the parent's."""
        if self._line is not None:
            self._line.close()
        if self._zygote is not None:
            self._zygote.returncode = 0  # nobody waits for it here

    def _start(self) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE)
        path = json.dumps([folder for folder in sys.path if folder])
        arguments = [path, str(there.fileno()), str(os.getpid())]
        self._zygote = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-I", "-c", _PROGRAM, *arguments],
            pass_fds=[there.fileno()],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        there.close()
        self._watch_errors(self._zygote)
        self._line = here
        self._watcher.watch(here.fileno(), self._heard)
        return here

    def _watch_errors(self, zygote: subprocess.Popen[bytes]) -> None:
        if zygote.stderr is not None:
            errors = zygote.stderr.fileno()
            os.set_blocking(errors, False)
            self._watcher.watch(errors, self._read_errors)

    def _read_errors(self) -> None:
        if self._zygote is None or self._zygote.stderr is None:
            return
        data = self._zygote.stderr.read(READ_BYTES)
        if data is not None:
            self._printed.feed(data, time.monotonic())
            if not data:
                self._watcher.forget(self._zygote.stderr.fileno())

    def _heard(self) -> None:
        if self._line is None:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._line, MESSAGE, 1)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._lost()
            return
        event = self._events.decode(data)
        if descriptors:
            self._expected[event.number][0](event.pid, descriptors[0])
        else:
            self._expected.pop(event.number)[1](event.status)

    def _lost(self) -> None:
        """The zygote died, and every worker with it; the next birth starts another."""
        if self._line is not None:
            self._watcher.forget(self._line.fileno())
            self._line.close()
            self._line = None
        self._read_errors()
        self._end()
        expected, self._expected = self._expected, {}
        for _, died in expected.values():
            died(None)

    def _end(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is None:
            return
        try:
            zygote.wait(_END_S)
        except subprocess.TimeoutExpired:
            zygote.kill()
            zygote.wait()
        if zygote.stderr is not None:
            self._watcher.forget(zygote.stderr.fileno())
            zygote.stderr.close()


@final
class Nurseries:
    """A nursery for each set of heavy modules, made when the first plugin needs it."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._made: dict[frozenset[str], Nursery] = {}

    def of(self, assignment: Assignment) -> Nursery:
        """Return where a plugin's workers come from."""
        heavy = HEAVY.intersection(assignment.peers)
        if heavy not in self._made:
            self._made[heavy] = Nursery(self._watcher)
        return self._made[heavy]

    def close(self) -> None:
        """End all zygotes."""
        for nursery in self._made.values():
            nursery.close()

    def leave(self) -> None:
        """Forget them, in a process that was forked."""
        for nursery in self._made.values():
            nursery.leave()


def _environment() -> dict[str, str]:
    """Return what a worker may see of the host's environment: no keys, no tokens."""
    kept = {name: os.environ[name] for name in (*_KEPT, *_THREADS) if name in os.environ}
    return {**dict.fromkeys(_THREADS, "1"), **kept, "PYTHONDONTWRITEBYTECODE": "1"}
