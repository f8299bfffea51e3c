"""The filter of system calls: what is not on the list is refused by the kernel.

`program` is a pure function from a machine to classic BPF; `install` hands it to the kernel.
Refused calls answer EPERM, so that a library that probes goes on; calls newer than the list
answer ENOSYS, as on an older kernel; calls for another processor's ABI kill the process.
Knows nothing of files: their paths are memory that a filter cannot read (see `landlock`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.host import kernel, syscalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openautoglm.plugins.host.syscalls import Machine

Instruction = tuple[int, int, int, int]
"""struct sock_filter: operation, jump if true, jump if false, constant."""

ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000 | errno.EPERM
ABSENT: Final = 0x00050000 | errno.ENOSYS
KILL: Final = 0x80000000

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000

_THREAD_FLAGS: Final = 0x7D0F00  # what the C libraries pass for a new thread, and no namespace
_IS_THREAD: Final = 0x10000
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_GROWSDOWN, _MAP_HUGETLB = 0x1, 0x20, 0x100, 0x40000
_FCNTL: Final = (
    fcntl.F_DUPFD,
    fcntl.F_DUPFD_CLOEXEC,
    fcntl.F_GETFD,
    fcntl.F_SETFD,
    fcntl.F_GETFL,
    fcntl.F_SETFL,
    5,  # F_GETLK
    6,  # F_SETLK
    7,  # F_SETLKW
    1033,  # F_ADD_SEALS
    1034,  # F_GET_SEALS
)
_IOCTL: Final = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS FIONREAD FIONBIO FIO(N)CLEX
_PRCTL: Final = (2, 3, 15, 16, 21, 39, 0x53564D41)  # what reads, and names of threads and maps
_ARCH_PRCTL: Final = (0x1021, 0x1022, 0x1023)  # tile registers (AMX): ask and switch on
_SOCKET_OPTIONS: Final = (7, 8, 20, 21)  # buffer sizes and time-outs
_MEMFD_FLAGS: Final = 0x1 | 0x2 | 0x8  # CLOEXEC, ALLOW_SEALING, NOEXEC_SEAL; no huge pages


def machine() -> Machine | None:
    """Return this processor if there is a table for it and Python runs in its 64-bit ABI."""
    name = platform.machine()
    if struct.calcsize("P") != 8:  # noqa: PLR2004 - bytes of a pointer
        return None
    return next((known for known in syscalls.COLUMNS if known == name), None)


def is_available() -> bool:
    """Tell whether the kernel takes filters (it answers EFAULT to one at address 0)."""
    if not kernel.is_linux():
        return False
    try:
        kernel.prctl(kernel.PR_SET_SECCOMP, 2, 0)
    except OSError as error:
        return error.errno == errno.EFAULT
    return True


def program(target: Machine, *, pid: int, memfd: bool = False) -> tuple[Instruction, ...]:
    """Return the filter for a worker.

    Args:
        target: the processor whose numbers are used.
        pid: the worker, the one process it may signal.
        memfd: let it make memory files of its own (each up to the limit of a file's size).

    Example:
        >>> len(program("x86_64", pid=1)) < 4096
        True
    """
    code: list[Instruction] = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, _AUDIT[target]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if target == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, REFUSE)]
    code += [(_AT_LEAST, 0, 1, syscalls.NEWEST + 1), (_RETURN, 0, 0, ABSENT)]
    for number in syscalls.free(target).values():
        code += _block(number, [(_RETURN, 0, 0, ALLOW)])
    judges = _judges(pid, memfd=memfd)
    for name, number in syscalls.judged(target).items():
        code += _block(number, judges[name])
    return (*code, (_RETURN, 0, 0, REFUSE))


def install(filter_: Sequence[Instruction]) -> None:
    """Hand the filter to the kernel: for this thread and all it starts, for good.

    Raises:
        OSError: the kernel refused it.
    """
    packed = b"".join(struct.pack("=HBBI", *each) for each in filter_)
    kernel.forbid_new_privileges()
    buffer = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("@HP", len(filter_), ctypes.addressof(buffer))
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, header)


def own_program(*, memfd: bool = False) -> tuple[Instruction, ...]:
    """Return the filter for this very process.

    Raises:
        OSError: no table for this processor.
    """
    target = machine()
    if target is None:
        raise OSError(errno.ENOSYS, f"no table of system calls for {platform.machine()}")
    return program(target, pid=os.getpid(), memfd=memfd)


def _judges(pid: int, *, memfd: bool) -> dict[str, list[Instruction]]:
    return {
        "open": _opening(1),
        "openat": _opening(2),
        "mmap": _mapping(),
        "memfd_create": _only_bits(1, _MEMFD_FLAGS) if memfd else [(_RETURN, 0, 0, REFUSE)],
        "sendto": [*_zero(4), (_RETURN, 0, 0, ALLOW)],
        "setsockopt": [*_is(1, 1), *_among(2, _SOCKET_OPTIONS)],
        "socketpair": [*_is(0, 1), *_among(1, (1, 5), keep=0xF)],
        "fcntl": _among(1, _FCNTL),
        "ioctl": _among(1, _IOCTL),
        "prctl": _among(0, _PRCTL),
        "arch_prctl": _among(0, _ARCH_PRCTL),
        "prlimit64": _among(0, (0, pid)),
        "kill": _among(0, (pid,)),
        "tgkill": _among(0, (pid,)),
        "clone": _threading(),
        "clone3": [(_RETURN, 0, 0, ABSENT)],  # its flags are memory; libc falls back to clone
    }


def _block(number: int, body: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(body), number), *body]


def _low(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * argument)


def _high(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * argument + 4)


def _zero(argument: int) -> list[Instruction]:
    refuse = (_RETURN, 0, 0, REFUSE)
    both = [(_EQUAL, 1, 0, 0), refuse]
    return [_low(argument), *both, _high(argument), *both]


def _is(argument: int, value: int) -> list[Instruction]:
    return [_low(argument), (_EQUAL, 1, 0, value), (_RETURN, 0, 0, REFUSE)]


def _among(argument: int, values: Iterable[int], *, keep: int = 0xFFFFFFFF) -> list[Instruction]:
    """Allow an int of these values; the kernel itself reads 32 bits of it."""
    code = [_low(argument), (_AND, 0, 0, keep)]
    for value in values:
        code += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, ALLOW)]
    return [*code, (_RETURN, 0, 0, REFUSE)]


def _only_bits(argument: int, bits: int) -> list[Instruction]:
    others = ~bits & 0xFFFFFFFF
    verdicts = [(_ANY_BIT, 0, 1, others), (_RETURN, 0, 0, REFUSE), (_RETURN, 0, 0, ALLOW)]
    return [_low(argument), *verdicts]


def _opening(flags: int) -> list[Instruction]:
    """Refuse to empty a file opened for reading, which Landlock sees from ABI 3 only."""
    emptied = os.O_TRUNC
    verdicts = [(_EQUAL, 0, 1, emptied), (_RETURN, 0, 0, REFUSE), (_RETURN, 0, 0, ALLOW)]
    return [_low(flags), (_AND, 0, 0, os.O_ACCMODE | os.O_TRUNC), *verdicts]


def _mapping() -> list[Instruction]:
    """Refuse the mappings that escape the limit of memory (RLIMIT_DATA counts the others)."""
    shared = _MAP_SHARED | _MAP_ANONYMOUS
    return [
        _low(3),
        (_ANY_BIT, 0, 1, _MAP_GROWSDOWN | _MAP_HUGETLB),
        (_RETURN, 0, 0, REFUSE),
        (_AND, 0, 0, shared),
        (_EQUAL, 0, 1, shared),
        (_RETURN, 0, 0, REFUSE),
        (_RETURN, 0, 0, ALLOW),
    ]


def _threading() -> list[Instruction]:
    refuse = (_RETURN, 0, 0, REFUSE)
    return [
        _high(0),
        (_EQUAL, 1, 0, 0),
        refuse,
        _low(0),
        (_ANY_BIT, 0, 1, ~_THREAD_FLAGS & 0xFFFFFFFF),
        refuse,
        (_ANY_BIT, 1, 0, _IS_THREAD),
        refuse,
        (_RETURN, 0, 0, ALLOW),
    ]
