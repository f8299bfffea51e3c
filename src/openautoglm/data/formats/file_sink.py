"""Rows to a file of any format, put in its place at once, wherever that is.

Owns `FileSink`: a whole output, or one part of a job's folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NoReturn, final

from openautoglm.data.sink import Receipt
from openautoglm.data.transports.local import measured
from openautoglm.errors import OpenAutoGLMError, SinkConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.formats.format import Format, RowWriter
    from openautoglm.data.source import Row
    from openautoglm.data.transports.files import Target


@final
class FileSink:
    """Write a file to its place, or nothing. Use it through `open_sink`.

    Args:
        target: the place.
        form: the format.
        is_part: whether what is there now may be another attempt's.
    """

    def __init__(self, target: Target, form: Format, *, is_part: bool) -> None:
        self._target = target
        self._format = form
        self._is_part = is_part
        self._rows = 0
        self._receipt: Receipt | None = None
        try:
            self._file: BinaryIO = target.open()
        except OSError as cause:
            self._refuse(0, cause)
        try:
            self._writer: RowWriter | None = form.writer(self._file, target.folder)
        except OSError as cause:
            target.discard(self._file)
            self._refuse(0, cause)

    def committed(self) -> Receipt | None:
        """Return what is in place: of a part, whoever committed it."""
        if self._receipt is None and self._is_part:
            return self._target.found(self._format.count)
        return self._receipt

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows where nobody sees them."""
        writer = self._current()
        try:
            writer.add(rows)
        except OSError as cause:
            self._refuse(writer.size_bytes, cause)
        self._rows += len(rows)

    def commit(self) -> Receipt:
        """Put the file in place, for good."""
        if self._receipt is not None:
            return self._receipt
        writer = self._current()
        try:
            writer.finish()
            self._file.flush()
            self._file.seek(0)
            size, digest = measured(self._file)
            receipt = Receipt(url=self._target.url, rows=self._rows, size_bytes=size, digest=digest)
            self._target.put(self._file, receipt)
        except OSError as cause:
            self._refuse(writer.size_bytes, cause)
        writer.close()
        self._writer, self._receipt = None, receipt
        return receipt

    def abort(self) -> None:
        """Forget the rows."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            self._target.discard(self._file)

    def _current(self) -> RowWriter:
        if self._writer is None:
            raise SinkConflictError(
                "the sink was committed or aborted before",
                got=self._target.url,
                fix="open another one",
            )
        return self._writer

    def _refuse(self, size: int, cause: OSError) -> NoReturn:
        if isinstance(cause, OpenAutoGLMError):
            raise cause
        raise self._target.refusal(size, cause) from cause
