"""Where records come from: files, quoted globs, JSON lines, standard input, the command line.

Owns `Record` and the decoding of bytes into text. Knows nothing of pipelines.
"""

from __future__ import annotations

import glob
import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from openautoglm.cli.exits import say
from openautoglm.errors import (
    InputDecodeError,
    InputNotFoundError,
    InvalidParameterError,
    OpenAutoGLMError,
)
from openautoglm.platform_io import detect
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openautoglm.cli.choices import DecodeErrors, InputFormat
    from openautoglm.engine.generation import Json

STDIN: Final = "-"
BOM: Final = b"\xef\xbb\xbf"
WIDE_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
LINE_NAMES: Final = (".jsonl", ".ndjson")
SHOWN_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing to work on.

    Attributes:
        source: where it came from: a path, `path:line`, `-`, `--text`.
        text: the text; None when there is an `error`.
        row: the fields of its JSON line; empty for any other origin.
        error: why it cannot be worked on.
    """

    source: str
    text: str | None = None
    row: Mapping[str, Json] = field(default_factory=dict)
    error: OpenAutoGLMError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How inputs are read.

    Attributes:
        format: "auto" reads names that end in .jsonl or .ndjson as JSON lines.
        text_field: the field of a JSON line that holds the text.
        encoding: any text encoding Python knows; a UTF-8 byte order mark is dropped.
        errors: what to do with bytes that are not of the encoding.
    """

    format: InputFormat = "auto"
    text_field: str = "text"
    encoding: str = "utf-8"
    errors: DecodeErrors = "strict"

    def __post_init__(self) -> None:
        try:
            b" ".decode(self.encoding, "replace")  # the empty text needs no codec
        except (LookupError, UnicodeError) as cause:
            raise InvalidParameterError(
                f"no text encoding is called `{self.encoding}`",
                fix="name one such as utf-8, gb18030, utf-16 or latin-1",
            ) from cause

    def has_lines(self, name: str) -> bool:
        """Return whether the input called `name` is read as JSON lines."""
        by_name = name.lower().endswith(LINE_NAMES)
        return by_name if self.format == "auto" else self.format == "jsonl"


def find_inputs(names: Iterable[str]) -> tuple[str, ...]:
    """Expand globs and check that every input is there, before anything is read.

    Raises:
        InputNotFoundError: a file is missing, unreadable or a folder; a glob matches nothing.
        InvalidParameterError: standard input is named twice.
    """
    found = [path for name in names for path in _expand(name)]
    if found.count(STDIN) > 1:
        raise InvalidParameterError(
            "`-` is standard input and can be read once", fix="name it once"
        )
    return tuple(found)


def read_records(inputs: Iterable[str], reading: Reading) -> Iterator[Record]:
    """Yield the records of all inputs in order; what cannot be read is a record with an error."""
    for name in inputs:
        if reading.has_lines(name):
            yield from _read_lines(name, reading)
        else:
            yield _read_text(name, reading)


def read_text(name: str, reading: Reading) -> str:
    """Return the whole text of a file or of standard input.

    Raises:
        InputNotFoundError: no such file.
        PlatformError: the device failed.
        InputDecodeError: it is no text.
    """
    data = _open_stdin().read() if name == STDIN else detect().read_file(name)
    return decode(data, display(name), reading)


def text_record(text: str) -> Record:
    """Return the record of a text given on the command line.

    Raises:
        InputDecodeError: it is empty or holds what is no text.
    """
    return Record(source="--text", text=_checked(text, "--text"))


def decode(data: bytes, source: str, reading: Reading) -> str:
    """Return the text of some bytes.

    Raises:
        InputDecodeError: they are not of the encoding, are binary, or hold no text.

    Example:
        >>> decode(b"abc", "a.txt", Reading())
        'abc'
    """
    skipped = len(BOM) if data.startswith(BOM) else 0
    try:
        text = data[skipped:].decode(reading.encoding, reading.errors)
    except UnicodeDecodeError as cause:
        at = skipped + cause.start
        raise InputDecodeError(
            f"`{source}` is not {reading.encoding} text: byte offset {at}",
            got=f"{data[at : at + SHOWN_BYTES].hex(' ')} ({cause.reason})",
            fix=_encoding_hint(data),
        ) from cause
    return _checked(text, source)


def _checked(text: str, source: str) -> str:
    if not text.strip():
        got = "nothing" if not text else f"{len(text)} characters of white space"
        raise InputDecodeError(f"`{source}` holds no text", got=got, fix="fill it, or leave it out")
    if (at := text.find("\0")) >= 0:
        raise InputDecodeError(
            f"`{source}` is no text: a NUL at character {at}",
            fix="give text; a binary document must be converted first",
        )
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise InputDecodeError(
            f"`{source}` is no text: half a surrogate pair at character {cause.start}",
            got=ascii(text[cause.start]),
            fix="write the text again as UTF-8",
        ) from cause
    return text


def _encoding_hint(data: bytes) -> str:
    if data.startswith(WIDE_BOMS):
        return "it starts like UTF-16: try --encoding utf-16"
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    if text and all(c.isprintable() or c.isspace() for c in text):
        return "it can be read as GB18030: try --encoding gb18030"
    return "name its --encoding, or read on with --errors replace"


def _expand(name: str) -> tuple[str, ...]:
    if name == STDIN or Path(name).exists():
        return (_checked_input(name),)
    if not glob.has_magic(name):
        raise InputNotFoundError(
            f"no such file: `{display(name)}`", got=f"from {Path.cwd()}", fix=_near(name)
        )
    found = [path for path in sorted(glob.glob(name, recursive=True)) if not Path(path).is_dir()]  # noqa: PTH207 - a whole pattern, absolute or not
    if not found:
        raise InputNotFoundError(
            f"no file matches `{display(name)}`", got=f"from {Path.cwd()}", fix="check the pattern"
        )
    return tuple(_checked_input(path) for path in found)


def _checked_input(name: str) -> str:
    if name == STDIN:
        if sys.stdin is None:
            raise InputNotFoundError("standard input is closed", fix="pipe the text in")
    elif Path(name).is_dir():
        raise InputNotFoundError(
            f"`{display(name)}` is a folder",
            fix=f"name its files: '{display(name.rstrip('/'))}/*.txt'",
        )
    elif not os.access(name, os.R_OK):
        raise InputNotFoundError(
            f"`{display(name)}` may not be read",
            got="permission denied",
            fix="check its permissions",
        )
    return name


def _near(name: str) -> str:
    folder = Path(name).parent
    known = tuple(str(path) for path in folder.iterdir()) if folder.is_dir() else ()
    return suggest(name, known) or "check the path; quote a text after --text"


def display(name: str) -> str:
    """Return a path as text that can be printed, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "replace")


def _read_text(name: str, reading: Reading) -> Record:
    source = display(name)
    try:
        return Record(source=source, text=read_text(name, reading))
    except OpenAutoGLMError as error:
        return Record(source=source, error=error)


def _read_lines(name: str, reading: Reading) -> Iterator[Record]:
    source = display(name)
    try:
        with _open_stdin() if name == STDIN else Path(name).open("rb") as stream:
            lines, as_read = _lines(stream, source, reading)
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _read_row(line, f"{source}:{number}", as_read)
    except OpenAutoGLMError as error:
        yield Record(source=source, error=error)
    except OSError as error:
        yield Record(
            source=source,
            error=InputNotFoundError(f"`{source}` cannot be read", got=error.strerror),
        )


def _lines(stream: IO[bytes], source: str, reading: Reading) -> tuple[Iterable[bytes], Reading]:
    """Return lines and how to read them; wide characters cannot be cut at the byte 0x0A."""
    if "\n".encode(reading.encoding) == b"\n":
        return stream, reading
    text = decode(stream.read(), source, reading)
    return text.encode().split(b"\n"), replace(reading, encoding="utf-8")


def _read_row(line: bytes, source: str, reading: Reading) -> Record:
    try:
        row = _parse_row(decode(line, source, reading), source)
        return Record(source=source, row=row, text=_text_of(row, source, reading.text_field))
    except OpenAutoGLMError as error:
        return Record(source=source, error=error)


def _parse_row(text: str, source: str) -> Mapping[str, Json]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise InputDecodeError(
            f"`{source}` is no JSON: {cause}", got=text[:60].strip(), fix="one JSON object a line"
        ) from cause
    if not isinstance(row, dict):
        raise InputDecodeError(
            f"`{source}` is no JSON object", got=type(row).__name__, fix='write {"text": "…"}'
        )
    return row


def _text_of(row: Mapping[str, Json], source: str, text_field: str) -> str:
    if text_field not in row:
        near = suggest(text_field, tuple(row))
        raise InputDecodeError(
            f"`{source}` has no field `{text_field}`",
            got=f"its fields: {', '.join(row) or 'none'}",
            fix=near or "name the field that holds the text with --field",
        )
    text = row[text_field]
    if not isinstance(text, str):
        raise InputDecodeError(
            f"`{source}`: the field `{text_field}` is no text",
            got=type(text).__name__,
            fix="name the field that holds the text with --field",
        )
    return _checked(text, source)


def _open_stdin() -> IO[bytes]:
    if sys.stdin.isatty():
        say("reading the terminal; end the text with Ctrl-D")
    return sys.stdin.buffer
