"""The calls into the Linux kernel that Python's standard library has no name for.

Each raises OSError with the kernel's own errno. Knows nothing of policies.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_GET_SECCOMP: Final = 21
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39

_CAPABILITY_VERSION: Final = 0x20080522  # the third and last layout: 64 bits in two words


@cache
def libc() -> ctypes.CDLL:
    """Return the C library, with errno kept per thread."""
    return ctypes.CDLL(None, use_errno=True)


def is_linux() -> bool:
    """Tell whether any of this can be called."""
    return sys.platform == "linux"


def syscall(number: int, *arguments: object) -> int:
    """Call the kernel by number; arguments are ints, byte buffers or ctypes pointers."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    call = libc().syscall
    call.restype = ctypes.c_long
    return _checked(call(ctypes.c_long(number), *words))


def prctl(option: int, value: int = 0, pointer: object = 0) -> int:
    """Set or read an attribute of this thread; what the kernel wants zero is zero."""
    third = ctypes.c_ulong(pointer) if isinstance(pointer, int) else pointer
    zero = ctypes.c_ulong(0)
    return _checked(libc().prctl(option, ctypes.c_ulong(value), third, zero, zero))


def forbid_new_privileges() -> None:
    """Make setuid and file capabilities powerless in this thread and all it starts."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability of this thread: user 0 becomes a plain owner of files."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(libc().capset(header, none))


def wipe(start: int, end: int) -> None:
    """Overwrite a range of this process's memory with zeros."""
    ctypes.memset(start, 0, end - start)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)
