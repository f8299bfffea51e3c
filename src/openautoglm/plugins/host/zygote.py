"""The process that workers are forked from: warm, single-threaded, without a plugin's code in it.

Owns the program (`main`) and its three kinds of message. It forks a worker when the host says so,
tells the host of its end, and ends itself, and with it all workers, when the host is gone. Knows
nothing of calls.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NoReturn, final

import msgspec

from openautoglm.plugins.host import kernel
from openautoglm.plugins.host.assignment import Assignment  # noqa: TC001 - msgspec reads it
from openautoglm.registry import start_no_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE: Final = 1 << 20
"""Bytes of a message at most: a manifest of 256 contributions fits many times."""

DESCRIPTORS: Final = 64
OUTPUT, ERRORS, CONTROL = 0, 1, 2
FIRST_CHANNEL: Final = 3
"""Descriptors that come with a birth: where it prints, its control, its channels."""


class Birth(msgspec.Struct, array_like=True):
    """Ask for a worker; its descriptors come along."""

    number: int
    assignment: Assignment


class Event(msgspec.Struct, array_like=True):
    """A worker was born (its pidfd comes along), or ended with a wait status."""

    number: int
    pid: int
    status: int | None = None


def main(
    descriptor: int, host: int, work: Callable[[Assignment, list[int]], None] | None = None
) -> NoReturn:
    """Serve the host until it is gone.

    Args:
        descriptor: our end of a SOCK_SEQPACKET pair.
        host: the host's pid, to notice its death whoever else holds the other end.
        work: what a worker does; the default is `worker.main`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to handle
    start_no_plugins()
    if work is None:
        from openautoglm.plugins.host import worker

        worker.warm()
        work = worker.main
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("numpy")
    gc.collect()
    gc.freeze()  # pages of what is loaded by now stay shared with all workers
    _Zygote(socket.socket(fileno=descriptor), host, work).serve()


@final
class _Zygote:
    """The loop and the children."""

    def __init__(
        self, host: socket.socket, host_pid: int, work: Callable[[Assignment, list[int]], None]
    ) -> None:
        self._host = host
        self._work = work
        self._births = msgspec.msgpack.Decoder(Birth)
        self._children: dict[int, tuple[int, int]] = {}  # pidfd: number, pid
        self._poll = select.poll()
        self._poll.register(host, select.POLLIN)
        self._host_pidfd = os.pidfd_open(host_pid)
        self._poll.register(self._host_pidfd, select.POLLIN)

    def serve(self) -> NoReturn:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._host_pidfd:
                    os._exit(0)
                if descriptor == self._host.fileno():
                    self._receive()
                else:
                    self._bury(descriptor)

    def _receive(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._host, MESSAGE, DESCRIPTORS)
        if not data:
            os._exit(0)  # the host has let go; every worker dies with us
        try:
            self._bear(self._births.decode(data), descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _bear(self, birth: Birth, descriptors: list[int]) -> None:
        for module in birth.assignment.preload:
            with contextlib.suppress(Exception):  # the worker meets it again, and tells
                importlib.import_module(module)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self._live(birth.assignment, descriptors, parent)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = birth.number, pid
        self._poll.register(pidfd, select.POLLIN)
        self._tell(Event(birth.number, pid), [pidfd])

    def _live(self, assignment: Assignment, descriptors: list[int], parent: int) -> NoReturn:
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os.setsid()
            self._work(assignment, _moved(descriptors))
        except BaseException:  # noqa: BLE001 - nothing may return into the loop above
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(70)

    def _bury(self, pidfd: int) -> None:
        number, pid = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it started; its number is not free before we wait
        _, status = os.waitpid(pid, 0)
        os.close(pidfd)
        self._tell(Event(number, pid, status), [])

    def _tell(self, event: Event, descriptors: list[int]) -> None:
        with contextlib.suppress(OSError):  # the host is gone: the next poll says so
            socket.send_fds(self._host, [msgspec.msgpack.encode(event)], descriptors)


def _moved(descriptors: list[int]) -> list[int]:
    """Put a worker's descriptors where nothing else is, and close all others."""
    high = [os.dup(descriptor) for descriptor in descriptors]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(high[OUTPUT], 1)
    os.dup2(high[ERRORS], 2)
    kept = []
    for number, descriptor in enumerate(high[CONTROL:], start=max(high) + 1):
        os.dup2(descriptor, number, inheritable=False)
        kept.append(number)
    os.closerange(3, kept[0])
    os.closerange(kept[-1] + 1, os.sysconf("SC_OPEN_MAX"))
    low = []
    for number, descriptor in enumerate(kept, start=3):
        os.dup2(descriptor, number, inheritable=False)
        low.append(number)
    os.closerange(low[-1] + 1, kept[-1] + 1)
    return low
