"""What a hostile attempt is, and the small world it finds around it.

An attempt is a function of the world that returns when it got what it wanted and raises when it
was stopped. Every attempt is tried twice: in a worker without a sandbox, where it must succeed,
and in a confined one, where it must not.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass

SECRET = "a-secret-of-the-host"  # noqa: S105 - what the attempts are after
MARK = b"untouched"


@dataclass(frozen=True, kw_only=True)
class World:
    """Where things are.

    Attributes:
        scratch: the worker's own folder; `link` in it points at the host's file.
        outside: a folder of the host, with `host.txt`, `home/.ssh/id` and sockets in it.
        plugin: a file of the plugin's own store, which it may read.
        site: a folder of packages, which it may read.
        parent: process of the host.
        address: where in the host's memory SECRET lies.
        tensor: descriptor of memory that was handed out for reading.
        folder: descriptor of `outside` that the host forgot to close.
        file: descriptor of `host.txt` that the host forgot to close.
        terminal: descriptor of a terminal.
        tcp: port of a TCP server at 127.0.0.1.
        udp: port of a UDP server at 127.0.0.1.
        abstract: name of a Unix server without a file.
    """

    scratch: str
    outside: str
    plugin: str
    site: str
    parent: int
    address: int
    tensor: int
    folder: int
    file: int
    terminal: int
    tcp: int
    udp: int
    abstract: str

    @property
    def host_file(self) -> str:
        return f"{self.outside}/host.txt"


Try = Callable[[World], object]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt.

    Attributes:
        name: what it wants.
        run: does it.
        root: without a sandbox it works for user 0 only.
        rare: some machines refuse it to everybody, or lack what it is about.
        replaces: it ends in another program, whose exit with 0 is the success.
    """

    name: str
    run: Try
    root: bool = False
    rare: bool = False
    replaces: bool = False


ATTEMPTS: dict[str, Attempt] = {}


def attempt(
    name: str, *, root: bool = False, rare: bool = False, replaces: bool = False
) -> Callable[[Try], Try]:
    """Add a function to the list."""

    def add(run: Try) -> Try:
        assert name not in ATTEMPTS
        ATTEMPTS[name] = Attempt(name=name, run=run, root=root, rare=rare, replaces=replaces)
        return run

    return add


def checked(result: int) -> int:
    """Return what a function of the C library returned; raise what it failed with."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


LIBC = ctypes.CDLL(None, use_errno=True)

_NUMBERS = {  # x86-64, aarch64
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "fsopen": (430, 430),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "memfd_secret": (447, 447),
    "mq_open": (240, 180),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "rt_sigqueueinfo": (129, 138),
    "settimeofday": (164, 170),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "userfaultfd": (323, 282),
}


def system_call(name: str, *arguments: object) -> int:
    """Call the kernel past the C library."""
    number = _NUMBERS[name][platform.machine() == "aarch64"]
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    LIBC.syscall.restype = ctypes.c_long
    return checked(int(LIBC.syscall(ctypes.c_long(number), *words)))
