"""The folder for built and copied libraries: files named by what is in them.

Owns where it is, how a file gets into it whole, and the lock that builders take turns with. Knows
nothing of what the files are. It does not guard against another user who may write there.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.errors import OutputWriteError
from openautoglm.platform_io import detect

if TYPE_CHECKING:
    from collections.abc import Iterator


def cache_folder(kind: str) -> Path:
    """Return the folder for one kind of files, made if it is not there.

    `OPENAUTOGLM_CACHE` if set, else `XDG_CACHE_HOME/openautoglm`, else `~/.cache/openautoglm`.

    Raises:
        OutputWriteError: the folder cannot be made.
    """
    platform = detect()
    own = platform.get_env("OPENAUTOGLM_CACHE")
    shared = platform.get_env("XDG_CACHE_HOME")
    root = (
        Path(own) if own else (Path(shared) if shared else Path.home() / ".cache") / "openautoglm"
    )
    folder = root / kind
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as cause:
        raise OutputWriteError(
            "the cache folder cannot be made",
            got=f"{folder}: {cause.strerror}",
            fix="set OPENAUTOGLM_CACHE to a folder you may write",
        ) from cause
    return folder


def digest(data: bytes) -> str:
    """Return the name of contents: their SHA-256 in hexadecimal.

    Example:
        >>> digest(b"")[:8]
        'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def put(path: Path, data: bytes, *, mode: int = 0o644) -> Path:
    """Write a file that appears whole or not at all; one that is there is replaced, not changed.

    Whoever has the old file mapped keeps it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(part).chmod(mode)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other process or thread is inside with the same path; the file stays."""
    import fcntl  # not on every platform; neither are libraries to load

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
