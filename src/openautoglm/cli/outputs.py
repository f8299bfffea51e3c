"""Where results go: rows of JSON or text for people, on stdout or in a file.

Owns `Sink`: each result is whole and flushed before the next one begins. Knows nothing of
pipelines.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol, Self, final

import msgspec

from openautoglm.cli.exits import ReaderGoneError, say
from openautoglm.errors import OutputWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from openautoglm.engine.generation import Json

PART: Final = ".part"


class Sink(AbstractContextManager["Sink"], Protocol):
    """Takes results one by one; used in a `with`."""

    def write(self, text: str) -> None:
        """Write one whole result and flush it.

        Raises:
            OutputWriteError: the disk is full or the file cannot be written.
            ReaderGoneError: the pipe was closed at its other end.
        """
        ...

    def commit(self) -> None:
        """Say that all results were written."""
        ...


def open_sink(out: str | None, *, append: bool = False) -> Sink:
    """Open stdout, or a file.

    A file is written as `NAME.part` and takes its name when all is written, so that `NAME` is
    always a whole run. With `append`, and for what is no ordinary file, rows go straight in.
    """
    if out is None:
        return _stdout()
    path = Path(os.path.realpath(out))
    straight = append or (path.exists() and not path.is_file())
    return FileSink(path, path if straight else path.with_name(path.name + PART), append=append)


def _stdout() -> Sink:
    if sys.stdout is None:
        raise OutputWriteError(
            "standard output is closed", fix="redirect it, or name a file: --out"
        )
    return StreamSink(sys.stdout.buffer)


@final
class StreamSink:
    """Write to a stream that is open already and stays open."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """See `Sink.write`."""
        try:
            self._stream.write(text.encode())
            self._stream.flush()
        except BrokenPipeError as cause:
            raise ReaderGoneError from cause
        except OSError as cause:
            raise _refused("standard output", cause) from cause

    def commit(self) -> None:
        """See `Sink.commit`; all is flushed already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the stream open."""


@final
class FileSink:
    """Write to `part` and rename it to `path` at the end.

    One process at a time may write a part: it is locked where the system has such locks.
    """

    def __init__(self, path: Path, part: Path, *, append: bool) -> None:
        self._path = path
        self._part = part
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            self._file = os.open(part, flags, 0o666)
            _lock(self._file)
            if not append and part != path:
                os.ftruncate(self._file, 0)
        except OSError as cause:
            raise _refused(f"`{part}`", cause) from cause

    def write(self, text: str) -> None:
        """See `Sink.write`; a row that does not fit leaves no trace."""
        data = memoryview(text.encode())
        whole = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except BrokenPipeError as cause:
            raise ReaderGoneError from cause
        except OSError as cause:
            if self._part.is_file():
                os.ftruncate(self._file, whole)
            raise _refused(f"`{self._part}`", cause) from cause

    def commit(self) -> None:
        """See `Sink.commit`: from here on `path` is the new file."""
        if self._part == self._path:
            return
        try:
            os.fsync(self._file)
            if self._path.exists():
                shutil.copymode(self._path, self._part)
            self._part.replace(self._path)
        except OSError as cause:
            raise _refused(f"`{self._path}`", cause) from cause

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
        if self._part != self._path and self._part.exists():
            say(f"what was written is kept in {self._part}")


def _lock(file: int) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    if stat.S_ISREG(os.fstat(file).st_mode):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refused(what: str, cause: OSError) -> OutputWriteError:
    if isinstance(cause, BlockingIOError):
        return OutputWriteError(
            f"{what} is being written by another process", fix="wait for it, or name another file"
        )
    return OutputWriteError(
        f"{what} could not be written",
        got=cause.strerror,
        fix="make room or check the folder, and run again",
    )


def as_json_line(row: Mapping[str, Json]) -> str:
    r"""Write a row as one line of JSON.

    Example:
        >>> as_json_line({"source": "a.txt"})
        '{"source":"a.txt"}\n'
    """
    try:
        return msgspec.json.encode(row, enc_hook=str).decode() + "\n"
    except UnicodeEncodeError:  # half a surrogate pair can only be written as an escape
        return json.dumps(msgspec.to_builtins(row, enc_hook=str)) + "\n"


def as_text(outputs: Mapping[str, Json], *, heading: str | None = None) -> str:
    """Write outputs for people; a lone output goes without its name.

    Example:
        >>> print(as_text({"fields": {"name": "Ana", "date": None}}), end="")
        name: Ana
        date: null
    """
    value = next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)
    head = [] if heading is None else [f"== {heading}"]
    return "\n".join([*head, *_text_lines(value, ""), ""])


def _text_lines(value: Json, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _labelled(f"{indent}{key}:", item, indent)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _labelled(f"{indent}-", item, indent)
    else:
        yield from (f"{indent}{line}" for line in _scalar(value).split("\n"))


def _labelled(label: str, item: Json, indent: str) -> Iterator[str]:
    text = "" if isinstance(item, dict | list) and item else _scalar(item)
    if text and "\n" not in text:
        yield f"{label} {text}"
    else:
        yield label
        yield from _text_lines(item, indent + "  ")


def _scalar(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
