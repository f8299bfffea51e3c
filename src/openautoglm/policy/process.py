"""The parent's side of the evaluating process: started when needed, ended when it takes too long.

Owns the child and its socket. Knows nothing of what the rules decide.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.errors import MissingExtraError, PolicyError, PolicyTimeoutError
from openautoglm.policy.child import LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.policy.document import Json, Limits

CHILD: Final = Path(__file__).with_name("child.py")
START_S: Final = 30.0
"""For starting Python and loading the engine, on a busy machine."""

GRACE_S: Final = 1.0
"""After this the child ends itself, where the parent did not."""


@final
class EvaluatingProcess:
    """Rules compiled in a child process; one request at a time, from any thread.

    Args:
        program: modules, data and entry points, as `child` takes them.
        limits: time and memory of the child.
    """

    def __init__(self, program: Mapping[str, Json], limits: Limits) -> None:
        self._program = json.dumps(program).encode()
        self._limits = limits
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._farewell: weakref.finalize[..., EvaluatingProcess] | None = None

    def compiled(self) -> Mapping[str, Any]:
        """Compile the rules in a fresh child and return its reply: a plan, or an error."""
        with self._lock:
            self._end()
            return self._load()

    def query(self, entrypoint: str, text: bytes) -> Mapping[str, Any]:
        """Ask for the value of a rule: `{"value": ...}`, `{}` where undefined, or an error.

        Raises:
            PolicyTimeoutError: it took too long; the child is gone, the next call starts another.
            PolicyError: the child died of it.
        """
        with self._lock:
            if self._child is None or self._child.owner != os.getpid():
                self._load()
            return self._ask(b"query " + entrypoint.encode() + b"\n" + text)

    def close(self) -> None:
        """End the child; a later call starts another."""
        with self._lock:
            self._end()

    def _load(self) -> Mapping[str, Any]:
        child = _Child(self._limits)
        self._farewell = weakref.finalize(self, child.end)
        self._child = child
        return self._ask(b"load\n" + self._program, extra_s=START_S)

    def _ask(self, request: bytes, *, extra_s: float = 0.0) -> Mapping[str, Any]:
        child = self._child
        if child is None:  # pragma: no cover - every caller has one
            raise PolicyError("no process evaluates")
        try:
            reply: Mapping[str, Any] = json.loads(
                child.ask(request, self._limits.timeout_s + extra_s)
            )
        except TimeoutError as cause:
            self._end()
            raise PolicyTimeoutError(
                "the rules did not come to a decision in time",
                got=f"no answer in {self._limits.timeout_s:g} s",
                fix="make the rules or the input simpler, or raise Limits.timeout_s",
            ) from cause
        except (OSError, EOFError) as cause:
            how = self._end()
            raise PolicyError(
                "the rules ended the process that evaluates them",
                got=how,
                fix="look for endless recursion, or raise Limits.memory_mb",
            ) from cause
        return reply

    def _end(self) -> str:
        child, self._child = self._child, None
        if self._farewell is not None:
            self._farewell.detach()
        return "" if child is None else child.end()


class _Child:
    """One child process and the socket to it."""

    def __init__(self, limits: Limits) -> None:
        self.owner = os.getpid()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [
                    *(sys.executable, "-I", "-S", str(CHILD)),
                    *(str(theirs.fileno()), _folder_of_engine()),
                    *(str(limits.timeout_s + GRACE_S), str(limits.memory_mb)),
                ],
                pass_fds=(theirs.fileno(),),
                env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the engine prints what it also returns
                stderr=subprocess.DEVNULL,
            )
        self._socket = ours

    def ask(self, request: bytes, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        self._socket.settimeout(timeout_s)
        self._socket.sendall(LENGTH.pack(len(request)) + request)
        (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline))
        return self._receive(length, deadline)

    def _receive(self, count: int, deadline: float) -> bytes:
        parts = []
        while count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            part = self._socket.recv(min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def end(self) -> str:
        """End the process, if it is still there, and say how it ended."""
        self._socket.close()
        if self.owner != os.getpid():  # a fork of the owner: the child is not ours to wait for
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)  # so that one that died by itself can tell how
        self._process.kill()
        code = self._process.wait()
        return f"{signal.strsignal(-code)}" if code < 0 else f"exit code {code}"


def _folder_of_engine() -> str:
    spec = importlib.util.find_spec("regopy")  # not imported: only the child loads the engine
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "a decision by rules needs the package `regopy`, which is not installed",
            fix='pip install "openautoglm[policy]"',
        )
    return str(Path(spec.origin).parents[1])
