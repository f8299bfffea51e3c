"""The words of every refusal: checks of what callers pass, and the errors OSErrors turn into.

Shared by the drivers, so that each platform refuses in the same words. Touches no file but to
look for a name that is nearly the one asked for.
"""

from __future__ import annotations

import difflib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.errors import (
    InputNotFoundError,
    InvalidParameterError,
    OutputWriteError,
    PlatformError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


# Names some platforms lack; the numbers differ between them, so names are all we compare.
_FULL = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "ENOMEM") if hasattr(errno, name)
}
_DENIED = {
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOTCAPABLE")
    if hasattr(errno, name)
}


def checked_path(path: object) -> str:
    """Return the path of a file as text.

    Raises:
        PlatformError: it is not text, is empty, holds a NUL, ends in a slash, or cannot be encoded.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(text, str):
        raise PlatformError(
            "a path must be text", got=repr(path)[:80], fix="pass a str or a pathlib.Path"
        )
    if not text:
        raise PlatformError("the path is empty", fix="name a file")
    if "\0" in text:
        raise PlatformError(
            f"the path holds a NUL character at position {text.index(chr(0))}",
            got=repr(text),
            fix="remove it; no platform can open such a file",
        )
    if text.endswith(("/", os.sep)):
        raise PlatformError(
            "the path ends in a slash, so it names a folder", got=text, fix="name a file inside it"
        )
    if not _is_encodable(text):
        raise PlatformError(
            "the file system cannot spell this path", got=ascii(text), fix="use another name"
        )
    return text


def checked_data(data: object) -> bytes:
    """Return the data as bytes.

    Raises:
        InvalidParameterError: it is not bytes, bytearray or memoryview.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise InvalidParameterError(
        "the content of a file must be bytes",
        got=type(data).__name__,
        fix='encode text first: text.encode("utf-8")',
    )


def checked_key(key: object) -> str:
    """Return the name of an environment variable.

    Raises:
        PlatformError: no variable can have that name.
    """
    if isinstance(key, str) and key and not {"=", "\0"} & set(key) and _is_encodable(key):
        return key
    raise PlatformError(
        "no environment variable can have this name",
        got=ascii(key),
        fix="use a name without `=` and NUL",
    )


def not_found(path: str, siblings: Iterable[str] = (), *, hint: str = "") -> InputNotFoundError:
    """Return the error for a file that is not there, naming the nearest of its `siblings`."""
    near = difflib.get_close_matches(Path(path).name, list(siblings), n=1)
    fix = f"did you mean `{near[0]}`?" if near else "check the path and the folder you run in"
    return InputNotFoundError("no such file", got=path, fix=f"{fix}{hint}")


def folder_not_file(path: str) -> InputNotFoundError:
    """Return the error for reading a folder."""
    return InputNotFoundError("this is a folder, not a file", got=path, fix="name a file inside it")


def unreadable(path: str, cause: OSError, *, hint: str = "") -> InputNotFoundError | PlatformError:
    """Return the error that `cause` means for whoever wanted to read `path`."""
    if isinstance(cause, FileNotFoundError | NotADirectoryError):
        return not_found(path, _siblings(path), hint=hint)
    if os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` fails itself for a name too long
        return folder_not_file(path)
    if cause.errno in _DENIED:
        return InputNotFoundError(
            "the file may not be read", got=path, fix=f"give this user read permission{hint}"
        )
    return PlatformError(
        f"the file cannot be read: {reason(cause)}", got=path, fix=f"check the path{hint}"
    )


def folder_target(path: str) -> OutputWriteError:
    """Return the error for writing to what is a folder."""
    return OutputWriteError(
        "a folder has this name already", got=path, fix="name a file inside it, or another name"
    )


def missing_folder(path: str, folder: str, *, hint: str = "") -> OutputWriteError:
    """Return the error for writing into a folder that is not there."""
    return OutputWriteError(
        f"the folder `{folder}` does not exist", got=path, fix=f"create the folder first{hint}"
    )


def disk_full(path: str, size: int) -> OutputWriteError:
    """Return the error for `size` bytes that found no room."""
    return OutputWriteError(
        f"no room for {size} bytes",
        got=path,
        fix="free some space and write again; the file is as it was before",
    )


def read_only(path: str, *, hint: str = "") -> OutputWriteError:
    """Return the error for a file or folder this user may not write."""
    return OutputWriteError(
        "writing is not allowed here",
        got=path,
        fix=f"give this user write permission, or write elsewhere{hint}",
    )


def unwritable(path: str, size: int, cause: OSError, *, hint: str = "") -> OutputWriteError:
    """Return the error that `cause` means for whoever wanted to write `size` bytes to `path`."""
    folder = str(Path(path).parent)
    if isinstance(cause, FileNotFoundError | NotADirectoryError):
        return missing_folder(path, folder, hint=hint)
    if cause.errno in _FULL:
        return disk_full(path, size)
    if cause.errno in _DENIED:
        return read_only(path, hint=hint)
    return OutputWriteError(
        f"the file cannot be written: {reason(cause)}",
        got=path,
        fix="the file is as it was before; try another place",
    )


def reason(cause: OSError) -> str:
    """Return an OSError in words."""
    return (cause.strerror or str(cause) or type(cause).__name__).lower()


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _siblings(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).parent.iterdir()]
    except OSError:
        return []
