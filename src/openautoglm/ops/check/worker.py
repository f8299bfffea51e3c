"""A process of its own for what may crash, hang or corrupt memory.

Owns `Worker`. The child is a fork: it has everything that is loaded here, kernels among it, and
what it does to memory stays in it. Knows nothing of operators. Where the system has no fork,
questions are answered here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess
    from types import TracebackType

Question = TypeVar("Question")
Answer = TypeVar("Answer")

LAST_CHARACTERS: Final = 200


class ProcessEndedError(Exception):
    """The child crashed or hung over a question.

    Attributes:
        is_hang: it gave no answer in time.
    """

    def __init__(self, how: str, *, is_hang: bool = False) -> None:
        super().__init__(how)
        self.is_hang = is_hang


@final
class Worker(Generic[Question, Answer]):
    """Answers questions in a child process, which is made anew after it ended.

    Example:
        with Worker(examine) as worker:
            outcome = worker.ask(sample, timeout_s=5.0)
    """

    def __init__(self, answer: Callable[[Question], Answer], *, isolated: bool = True) -> None:
        self._answer = answer
        self._is_isolated = isolated and hasattr(os, "fork")
        self._child: ForkProcess | None = None
        self._connection: Connection | None = None
        self._errors = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def ask(self, question: Question, *, timeout_s: float) -> Answer:
        """Return the answer to a question.

        Raises:
            ProcessEndedError: the child crashed, or gave no answer in time.
        """
        if not self._is_isolated:
            return self._answer(question)
        connection = self._connection or self._start()
        try:
            connection.send(question)
            if not connection.poll(timeout_s):
                self._end()
                raise ProcessEndedError(f"no answer in {timeout_s:g} s", is_hang=True)
            answer, failure = connection.recv()
        except (EOFError, ConnectionError) as cause:
            raise ProcessEndedError(self._ending()) from cause
        if failure:
            raise RuntimeError(failure)  # a mistake of whoever asks, no finding
        found: Answer = answer
        return found

    def _start(self) -> Connection:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        handle, name = tempfile.mkstemp(prefix="openautoglm-check-")
        os.close(handle)
        self._errors = Path(name)
        child = context.Process(target=_serve, args=(there, here, self._answer, name), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads beside a fork
            child.start()
        there.close()
        self._child, self._connection = child, here
        return here

    def _ending(self) -> str:
        code = 0
        if self._child is not None:
            self._child.join()
            code = self._child.exitcode or 0
        how = str(signal.strsignal(-code)) if code < 0 else f"exit code {code}"
        said = _telling(self._errors.read_text(encoding="utf-8", errors="replace"))
        self._end()
        return f"the process ended: {how}{f' ({said})' if said else ''}"

    def _end(self) -> None:
        if self._child is None or self._connection is None:
            return
        self._connection.close()
        self._child.kill()
        self._child.join()
        self._child.close()
        self._errors.unlink(missing_ok=True)
        self._child, self._connection = None, None


def _telling(errors: str) -> str:
    """Return the line that says most of what a process wrote before it ended."""
    lines = [" ".join(line.split()) for line in errors.splitlines()]
    named = [line for line in lines if "ERROR:" in line or "terminate called" in line]
    return named[0][:LAST_CHARACTERS] if named else ""


def _serve(
    connection: Connection, parents: Connection, answer: Callable[[Any], Any], errors: str
) -> None:
    parents.close()
    with contextlib.suppress(OSError):
        os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    _quieten()
    while True:
        try:
            question = connection.recv()
        except EOFError:
            os._exit(0)  # nothing of the parent's is ours to close
        try:
            reply = (answer(question), "")
        except Exception:  # noqa: BLE001 - raised again on the other side
            reply = (None, traceback.format_exc())
        connection.send(reply)


def _quieten() -> None:
    """Leave no core files, and start no threads that a fork would not have."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import faulthandler
        import resource

        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
