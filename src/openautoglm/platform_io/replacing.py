"""Read a file whole and replace it atomically, with what the platform's file system can do.

Shared by the drivers that have an operating system's files. Does not lock, and does not keep
owner, ACLs, extended attributes or hard links of the file it replaces. A process killed by the
system in the middle of a write leaves the old file whole and a `.oag-*.tmp` beside it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from openautoglm.errors import OutputWriteError
from openautoglm.platform_io import refusals

_BINARY = getattr(os, "O_BINARY", 0)  # Windows alone translates line ends
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEW_FILE = 0o666  # what `open` uses: the user's umask has the last word


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a file system can do for a write.

    Attributes:
        has_modes: permission bits exist and are kept.
        has_folder_sync: a rename is made durable by syncing the folder.
        must_sync: a failing fsync is a failed write; False where there is no disk to sync.
        hint: appended to the fix of errors, for what is special about paths here.
    """

    has_modes: bool = True
    has_folder_sync: bool = True
    must_sync: bool = True
    hint: str = ""


def read_whole(path: str, abilities: Abilities) -> bytes:
    """Return the content of the file at `path`."""
    try:
        return Path(path).read_bytes()
    except OSError as cause:
        raise refusals.unreadable(path, cause, hint=abilities.hint) from cause


def replace_whole(path: str, data: bytes, abilities: Abilities) -> None:
    """Make `data` the content of the file at `path`; all of it or none.

    A symbolic link stays and its target is replaced. A device or pipe cannot be replaced; it is
    written straight through.
    """
    try:
        mode = _mode_of(path)
        if mode is not None and stat.S_ISDIR(mode):
            raise refusals.folder_target(path)
        if mode is not None and not _is_replaceable(mode):
            Path(path).write_bytes(data)
            return
        if mode is not None and abilities.has_modes and not os.access(path, os.W_OK):
            raise refusals.read_only(path, hint=abilities.hint)
        kept = stat.S_IMODE(mode) if mode is not None and abilities.has_modes else None
        _replace(Path(os.path.realpath(path)), data, kept, abilities)
    except OutputWriteError:
        raise
    except OSError as cause:
        raise refusals.unwritable(path, len(data), cause, hint=abilities.hint) from cause


def _mode_of(path: str) -> int | None:
    try:
        return Path(path).stat().st_mode
    except FileNotFoundError:
        return None


def _is_replaceable(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0  # 0: a host that tells no file types


def _replace(target: Path, data: bytes, kept_mode: int | None, abilities: Abilities) -> None:
    # The name is drawn, not counted: on WASM every process has the same id.
    beside = target.with_name(f".oag-{os.urandom(8).hex()}.tmp")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY | _NOFOLLOW
    descriptor = os.open(beside, flags, _NEW_FILE if kept_mode is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if kept_mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, kept_mode)
            _sync(descriptor, abilities)
        beside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if abilities.has_folder_sync:
        _sync_folder(target.parent)


def _sync(descriptor: int, abilities: Abilities) -> None:
    try:
        os.fsync(descriptor)
    except OSError:
        if abilities.must_sync:
            raise


def _sync_folder(folder: Path) -> None:
    # The new content is in place already; a file system that cannot sync a folder does not undo it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
