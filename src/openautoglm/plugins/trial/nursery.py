"""Processes to try a plugin in: forked from a warm one, confined, ended when they hang.

Owns `Nursery`, the process of ours that children are forked from, and `Child`, one of them as its
parent sees it: questions go in, findings come out, and both ends are bytes that are checked. What
a child does is `trial.child`; the warm process is the host's `zygote`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, final

import msgspec

from openautoglm.errors import PluginCheckError
from openautoglm.plugins.host.zygote import DESCRIPTORS, MESSAGE, Birth, Event
from openautoglm.plugins.report import Finding  # noqa: TC001 - msgspec reads it

if TYPE_CHECKING:
    from types import TracebackType

    from openautoglm.plugins.host.assignment import Assignment
    from openautoglm.plugins.trial.orders import Order, Question

PROGRAM: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from openautoglm.plugins.host.zygote import main; "
    "from openautoglm.plugins.trial.child import work; "
    "main(int(sys.argv[2]), int(sys.argv[3]), work)"
)
KEPT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
"""What a plugin may see of our environment: no keys, no tokens."""

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to one: a process that has threads cannot be confined."""

MAX_ANSWER: Final = 16 * 2**20
START_S: Final = 180.0
LAST_CHARACTERS: Final = 300


class ChildEndedError(Exception):
    """A child crashed or hung over a question; the text says how.

    Attributes:
        is_hang: it gave no answer in time.
    """

    def __init__(self, how: str, *, is_hang: bool = False) -> None:
        super().__init__(how)
        self.is_hang = is_hang


class Answer(msgspec.Struct, array_like=True):
    """What a child says: findings, plain answers of calls, or that the check itself failed."""

    findings: list[Finding] = msgspec.field(default_factory=list)
    answers: list[bytes] = msgspec.field(default_factory=list)
    mistake: str = ""


@final
class Nursery:
    """The warm process; children are forked from it.

    Example:
        with Nursery() as nursery, nursery.start(assignment, order) as child:
            answer = child.ask(Question("load"), timeout_s=10.0)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._number = 0
        self._born: dict[int, int] = {}  # number: pidfd
        self._ended: dict[int, int] = {}  # number: wait status

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = json.dumps([folder for folder in sys.path if folder])
        command = [
            sys.executable,
            "-I",
            "-c",
            PROGRAM,
            path,
            str(theirs.fileno()),
            str(os.getpid()),
        ]
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**environment, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        theirs.close()
        ours.settimeout(START_S)
        self._socket = ours
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()  # it ends, and its children with it
        if self._process is not None:
            self._process.wait()
        self._socket, self._process = None, None

    def start(self, assignment: Assignment, order: Order) -> Child:
        """Fork a child and tell it what it is about.

        Raises:
            PluginCheckError: the warm process is gone.
        """
        self._number += 1
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        output = tempfile.TemporaryFile(prefix="openautoglm-check-")  # noqa: SIM115 - the child owns it
        message = msgspec.msgpack.encode(Birth(self._number, assignment))
        descriptors = [output.fileno(), output.fileno(), there.fileno()]
        try:
            socket.send_fds(self._line(), [message], descriptors)
            while self._number not in self._born:
                self._receive()
        except OSError as cause:
            here.close()
            output.close()
            raise PluginCheckError(
                "the process that plugins are tried in has ended",
                got=cause,
                fix="look at what it wrote above",
            ) from cause
        finally:
            there.close()
        connection = Connection(here.detach())
        connection.send_bytes(msgspec.msgpack.encode(order))
        life = _Life(self._number, self._born.pop(self._number))
        return Child(self, life, connection, output, Path(assignment.scratch))

    def status(self, number: int) -> int:
        """Wait until a child has ended; return its wait status."""
        try:
            while number not in self._ended:
                self._receive()
        except (OSError, PluginCheckError):  # the warm process is gone, and killed it
            return signal.SIGKILL
        return self._ended.pop(number)

    def _receive(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._line(), MESSAGE, DESCRIPTORS)
        if not data:
            raise ConnectionError("it is gone")
        event = msgspec.msgpack.decode(data, type=Event)
        if event.status is None:
            self._born[event.number] = descriptors[0]
        else:
            self._ended[event.number] = event.status

    def _line(self) -> socket.socket:
        if self._socket is None:
            raise PluginCheckError("the nursery is closed", fix="use it inside its `with`")
        return self._socket


@dataclass(frozen=True, slots=True)
class _Life:
    number: int
    pidfd: int


@final
class Child:
    """One process, as its parent sees it. Leaving the `with` ends it.

    Attributes:
        scratch: the one folder it may write.
    """

    def __init__(
        self,
        nursery: Nursery,
        life: _Life,
        connection: Connection,
        output: IO[bytes],
        scratch: Path,
    ) -> None:
        self._nursery = nursery
        self._life = life
        self._connection = connection
        self._output = output
        self._is_alive = True
        self.scratch = scratch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked more."""
        return self._is_alive

    def ask(self, question: Question, *, timeout_s: float) -> Answer:
        """Return what the child answers.

        Raises:
            ChildEndedError: it crashed, gave no answer in time, or one that is none.
        """
        try:
            self.tell(question)
            if not self._connection.poll(timeout_s):
                said = self._telling()
                self.end()
                raise ChildEndedError(f"no answer in {timeout_s:g} s{said}", is_hang=True)
            data = self._connection.recv_bytes(MAX_ANSWER)
            return msgspec.msgpack.decode(data, type=Answer)
        except (EOFError, OSError) as cause:
            raise ChildEndedError(self._ending()) from cause
        except msgspec.MsgspecError as cause:
            self.end()
            raise ChildEndedError("it answered something else") from cause

    def tell(self, question: Question) -> None:
        """Ask, and do not wait for the answer."""
        self._connection.send_bytes(msgspec.msgpack.encode(question))

    def end(self) -> None:
        """Kill it, if it lives."""
        if self._is_alive:
            self._is_alive = False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._life.pidfd, signal.SIGKILL)
            self._nursery.status(self._life.number)
            os.close(self._life.pidfd)
            self._connection.close()
            self._output.close()

    def _ending(self) -> str:
        """Wait for the end of a child that closed its line, and say how it ended."""
        if not self._is_alive:
            return "the process had ended before"
        self._is_alive = False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._life.pidfd, signal.SIGKILL)  # if only the line is closed
        status = self._nursery.status(self._life.number)
        said = self._telling()
        os.close(self._life.pidfd)
        self._connection.close()
        self._output.close()
        code = os.waitstatus_to_exitcode(status)
        how = str(signal.strsignal(-code)) if code < 0 else f"exit code {code}"
        return f"the process ended: {how}{said}"

    def _telling(self) -> str:
        """Return the last line that the child printed."""
        self._output.seek(0)
        lines = self._output.read()[-MAX_ANSWER:].decode("utf-8", "replace").split("\n")
        words = [" ".join(line.split()) for line in lines if line.strip()]
        return f" ({words[-1][:LAST_CHARACTERS]})" if words else ""
