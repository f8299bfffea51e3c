"""Rows to JSON Lines: a whole file, or one part file of a job's folder.

Owns the sink of kind `jsonl`. Rows go to a hidden file beside the target and are linked or renamed
into place when they are on the disk. A process killed in the middle leaves that hidden file; the
next attempt with the same number writes over it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.columns import checked_row
from openautoglm.data.jsonl import check_transport
from openautoglm.data.sink import Receipt
from openautoglm.errors import BadRowError, DataUrlError, OutputWriteError, SinkConflictError
from openautoglm.platform_io.refusals import unwritable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.source import Row

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@final
class JsonlSink:
    """Write JSON Lines to `target`, or nothing. Use it through `open_sink`.

    Args:
        target: the file that `commit` makes.
        hidden: the file that holds rows until then, in the same folder.
        is_part: the target is made once and never replaced.
    """

    def __init__(self, target: Path, hidden: Path, *, is_part: bool) -> None:
        self._target = target
        self._hidden = hidden
        self._is_part = is_part
        self._rows = 0
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._receipt: Receipt | None = None
        self._file: BinaryIO | None = self._opened()

    def committed(self) -> Receipt | None:
        """Return what is in place: of a part, whoever committed it."""
        if self._receipt is None and self._is_part and self._target.exists():
            return _receipt_of(self._target)
        return self._receipt

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows to the hidden file."""
        file = self._current()
        lines = b"".join(_line(row, self._rows + i) for i, row in enumerate(rows, start=1))
        try:
            file.write(lines)
        except OSError as cause:
            raise unwritable(str(self._target), len(lines), cause) from cause
        self._rows += len(rows)
        self._bytes += len(lines)
        self._digest.update(lines)

    def commit(self) -> Receipt:
        """Put the file in place, on the disk."""
        if self._receipt is not None:
            return self._receipt
        file = self._current()
        try:
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._put()
        except OSError as cause:
            if isinstance(cause, OutputWriteError):
                raise
            raise unwritable(str(self._target), self._bytes, cause) from cause
        self._file = None
        self._receipt = Receipt(
            url=str(self._target),
            rows=self._rows,
            size_bytes=self._bytes,
            digest=self._digest.hexdigest(),
        )
        return self._receipt

    def abort(self) -> None:
        """Remove the hidden file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                self._hidden.unlink()

    def _opened(self) -> BinaryIO:
        try:
            return self._hidden.open("wb")
        except OSError as cause:
            raise unwritable(str(self._target), 0, cause) from cause

    def _current(self) -> BinaryIO:
        if self._file is None or self._file.closed:
            raise SinkConflictError(
                "the sink was committed or aborted before",
                got=str(self._target),
                fix="open another one",
            )
        return self._file

    def _put(self) -> None:
        if not self._is_part:
            self._hidden.replace(self._target)
        else:
            self._link()
            self._hidden.unlink()
        _sync_folder(self._target.parent)

    def _link(self) -> None:
        """Give the hidden file its name, where no file has it; no two attempts can both."""
        try:
            os.link(self._hidden, self._target)
        except FileExistsError as cause:
            raise SinkConflictError(
                "another attempt at this part was committed before",
                got=str(self._target),
                fix="take what is there: `committed()` describes it",
            ) from cause


def open_jsonl_sink(location: Location, part: Part | None) -> JsonlSink:
    """Open a file to write, or one part file in a folder, which is made where it is missing.

    Raises:
        DataUrlError: a part and a file, a folder without a part, or an option that is unknown.
        OutputWriteError: nothing can be written there.
    """
    check_transport(location)
    location.check_options()
    path = Path(location.path)
    is_folder = location.path.endswith(("/", os.sep)) or path.is_dir()
    if is_folder != (part is not None):
        raise DataUrlError(
            "parts go into a folder, a whole output goes into a file",
            got=f"{location.url} and {'a part' if part else 'no part'}",
            fix="end the path of a folder in /" if part else "name a file, as in answers.jsonl",
        )
    if part is None:
        return JsonlSink(path, path.with_name(f".oag-{os.urandom(8).hex()}.tmp"), is_part=False)
    name = f"{part.job}-{part.shard:06d}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise unwritable(str(path), 0, cause) from cause
    hidden = path / f".{name}-a{part.attempt}.tmp"
    return JsonlSink(path / f"{name}.jsonl", hidden, is_part=True)


def _line(row: Row, number: int) -> bytes:
    try:
        return _ENCODER.encode(checked_row(row, number)).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as cause:
        raise BadRowError(
            f"row {number} cannot be written as JSON: {cause}",
            got=repr(row)[:200],
            fix="rows hold texts, finite numbers, booleans, null, lists and objects",
        ) from cause


def _receipt_of(path: Path) -> Receipt:
    digest, rows, size = hashlib.sha256(), 0, 0
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                rows += block.count(b"\n")
                size += len(block)
    except OSError as cause:
        raise OutputWriteError(
            "the part that was committed cannot be read", got=str(path), fix="check permissions"
        ) from cause
    return Receipt(url=str(path), rows=rows, size_bytes=size, digest=digest.hexdigest())


def _sync_folder(folder: Path) -> None:
    # The file is in place already; a file system that cannot sync a folder does not undo it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
