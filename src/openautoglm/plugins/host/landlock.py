"""Landlock: which files and folders a process may touch from now on.

Three system calls by ctypes, no package in between: the rules are few, every ABI version must be
testable, and importing costs nothing. Knows nothing of plugins: it gets paths.

What Landlock does not see, whatever its ABI: `stat`, `chmod`, `chown`, `utime`, `flock`, `chdir`,
descriptors opened before, and threads started before. `seccomp` and `sandbox` answer for those.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.host import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CREATE_RULESET: Final = 444  # the same numbers on every processor
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

NEWEST_ABI: Final = 7
"""The newest version whose rights are known here; a newer kernel is asked for these."""


class Right(enum.IntFlag):
    """What may be done with a file or in a folder (linux/landlock.h)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ: Final = Right.READ_FILE | Right.READ_DIR
# No links that point anywhere, no sockets, pipes or devices: the host may walk this folder.
WORK: Final = (
    READ
    | Right.WRITE_FILE
    | Right.TRUNCATE
    | Right.REMOVE_DIR
    | Right.REMOVE_FILE
    | Right.MAKE_DIR
    | Right.MAKE_REG
    | Right.REFER
)
_FOR_FILES: Final = (
    Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One path and what may be done with it and with all beneath it."""

    path: Path
    rights: Right


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathAttributes(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def kernel_abi() -> int:
    """Return the version that the running kernel offers; 0 where there is no Landlock.

    Example:
        >>> kernel_abi() >= 0
        True
    """
    if not kernel.is_linux():
        return 0
    try:
        return kernel.syscall(_CREATE_RULESET, 0, 0, _ASK_VERSION)
    except OSError:  # ENOSYS: not built in; EOPNOTSUPP: switched off at boot
        return 0


def handled_files(abi: int) -> Right:
    """Return the rights that a kernel of this ABI can withhold."""
    rights = Right((1 << 13) - 1)
    if abi >= 2:  # noqa: PLR2004 - the version that brought it, as linux/landlock.h says
        rights |= Right.REFER
    if abi >= 3:  # noqa: PLR2004 - likewise
        rights |= Right.TRUNCATE
    if abi >= 5:  # noqa: PLR2004 - likewise
        rights |= Right.IOCTL_DEV
    return rights


def ruleset(abi: int) -> tuple[bytes, Right]:
    """Return the kernel's structure for "withhold all you can", and the file rights in it.

    From ABI 4 TCP bind and connect; from ABI 6 abstract sockets and signals to the outside.
    The structure is as long as that ABI knows it: a longer one is refused by an older kernel.
    """
    files = handled_files(abi)
    net = 0b11 if abi >= 4 else 0  # noqa: PLR2004 - bind and connect over TCP, from ABI 4
    scoped = 0b11 if abi >= 6 else 0  # noqa: PLR2004 - abstract sockets and signals, from ABI 6
    words = bytes(_RulesetAttributes(files, net, scoped))
    return words[: 8 * (1 + (abi >= 4) + (abi >= 6))], files  # noqa: PLR2004 - as above


def restrict(rules: Iterable[Rule], *, abi: int | None = None) -> None:
    """Confine the calling thread, and all it starts, to the rules, for good.

    Args:
        rules: what stays allowed; everything else that the ABI can withhold is withheld.
        abi: at most this version (for tests of older kernels).

    Raises:
        OSError: the kernel refused; nothing is confined.
        FileNotFoundError: the path of a rule is not there.
    """
    version = min(kernel_abi(), NEWEST_ABI if abi is None else abi)
    if version < 1:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    attributes, handled = ruleset(version)
    handle = kernel.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for rule in rules:
            _add(handle, rule, handled)
        kernel.forbid_new_privileges()
        kernel.syscall(_RESTRICT_SELF, handle, 0)
    finally:
        os.close(handle)


def _add(handle: int, rule: Rule, handled: Right) -> None:
    descriptor = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = rule.rights & handled
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FOR_FILES
        attributes = _PathAttributes(int(rights), descriptor)
        kernel.syscall(_ADD_RULE, handle, _PATH_BENEATH, ctypes.byref(attributes), 0)
    finally:
        os.close(descriptor)
