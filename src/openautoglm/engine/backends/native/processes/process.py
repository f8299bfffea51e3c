"""One worker process as the process that started it sees it: birth, talk, death.

Owns `Process`. It belongs to the thread that made it: the system ends a worker when that thread
ends. Knows nothing of other workers, nor of what becomes of the rows of one that died.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.engine.backends.native.processes import frames
from openautoglm.engine.backends.native.processes.frames import Answer, Ask, Failed, Ready, Start
from openautoglm.errors import BackendUnavailableError, OpenAutoGLMError
from openautoglm.plugins.wire import error_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.engine.backends.native.model.model import Lent
    from openautoglm.engine.backends.native.processes.frames import Down, Up
    from openautoglm.engine.backends.native.processes.task import Task

PROGRAM: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from openautoglm.engine.backends.native import servant; "
    "servant.main(int(sys.argv[2]), int(sys.argv[3]))"
)
ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
READ_BYTES: Final = 1 << 18
END_S: Final = 10.0


@final
class Process:
    """A worker process, which loads weights that it is lent.

    Args:
        order: what to load, packed.
        lend: gives the weights.

    Attributes:
        kernels: which serve its operators; None until it is ready.
        failure: the error it could not start with, where it told one.
        silent_s: how long it has given no sign of life while it had something to do.

    Raises:
        BackendUnavailableError: no process can be started here.
    """

    def __init__(self, order: bytes, lend: Callable[[], Lent]) -> None:
        self._rows: dict[int, Task] = {}
        self._same: Counter[bytes] = Counter()
        self.kernels: dict[str, list[str]] | None = None
        self.failure: OpenAutoGLMError | None = None
        self.silent_s = 0.0
        self._unsent = bytearray()
        self._splitter = frames.Splitter()
        self._line, there = socket.socketpair()
        self._line.setblocking(False)
        weights = lend().descriptor
        try:
            self._popen = _started(there.fileno(), weights)
        except BaseException:
            self._line.close()
            raise
        finally:
            there.close()
            os.close(weights)
        self.send(Start(order, weights))

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    @property
    def is_ready(self) -> bool:
        """Whether it has loaded its model."""
        return self.kernels is not None

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` is to be called when it takes more."""
        return bool(self._unsent)

    @property
    def rows(self) -> Mapping[int, Task]:
        """What it has to do, by number."""
        return self._rows

    @property
    def load(self) -> int:
        """How many rows it has to compute; those that are the same are computed once."""
        return len(self._same)

    def has_same(self, task: Task) -> bool:
        """Whether it has a row that asks for the same."""
        return task.payload in self._same

    def ask(self, number: int, task: Task) -> None:
        """Give it a row."""
        self._rows[number] = task
        self._same[task.payload] += 1
        self.send(Ask(number, task.payload))

    def done(self, number: int) -> Task | None:
        """Take back a row that was answered; None if it had none of this number."""
        task = self._rows.pop(number, None)
        if task is not None:
            self._same[task.payload] -= 1
            if not self._same[task.payload]:
                del self._same[task.payload]
        return task

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._line.fileno()

    def send(self, message: Down) -> None:
        """Tell it something, now or as soon as it listens."""
        self._unsent += frames.framed(message)
        self.flush()

    def flush(self) -> None:
        """Send what it takes; that it is dead shows where it is read from."""
        with suppress(OSError):
            while self._unsent:
                del self._unsent[: self._line.send(self._unsent[:READ_BYTES])]

    def receive(self) -> list[Answer] | None:
        """Return the answers that came; None when it is dead or makes no sense."""
        try:
            data = self._line.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        try:
            heard = [frames.read_up(frame) for frame in self._splitter.feed(data)]
        except msgspec.MsgspecError:
            return None
        self.silent_s = 0.0
        for said in heard:
            self._note(said)
        return [said for said in heard if isinstance(said, Answer)] if data else None

    def wait(self, seconds: float) -> None:
        """Take note that it was given so much time for what it has to do."""
        has_to_do = self._rows or not self.is_ready
        self.silent_s = self.silent_s + seconds if has_to_do else 0.0

    def bury(self) -> str:
        """End it, and return how it ended."""
        ended_before = self._popen.poll()
        if ended_before is None and self._line.fileno() >= 0:
            with suppress(subprocess.TimeoutExpired):  # it closed its line: it is about to end
                ended_before = self._popen.wait(0.2)
        self.kill()
        if ended_before is None:
            return "it did not answer in words that make sense, and was killed"
        if ended_before >= 0:
            return f"it ended with exit code {ended_before}"
        return f"it was killed by {_signal(-ended_before)}"

    def kill(self) -> None:
        """End it now, and wait for its end, but not for a system call that never returns."""
        self._line.close()
        self._popen.kill()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(END_S)

    def leave(self) -> None:
        """Forget it, in a process that was forked: it is the parent's."""
        self._line.close()
        self._popen.returncode = 0  # nobody waits for it here

    def _note(self, said: Up) -> None:
        if isinstance(said, Ready):
            self.kernels = said.kernels
        elif isinstance(said, Failed):
            self.failure = error_from(said.error)


def _started(line: int, weights: int) -> subprocess.Popen[bytes]:
    """Start a Python of our own that has what this one has, and nothing to print to."""
    path = json.dumps([folder for folder in sys.path if folder])
    program = [sys.executable, "-I", "-c", PROGRAM, path, str(line), str(os.getpid())]
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and program
            program,
            pass_fds=(line, weights),
            env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    except OSError as cause:
        raise BackendUnavailableError(
            "no worker process can be started here",
            got=f"{sys.executable}: {cause}",
            fix="use processes=1",
        ) from cause


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
