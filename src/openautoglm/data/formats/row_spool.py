"""Rows on their way to a file that can only be written when all are known.

Owns `RowSpool`: rows as lines of JSON in a file without a name, which vanishes with its process.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Final, cast, final

import msgspec

from openautoglm.data.formats.jsonl import line_of
from openautoglm.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.source import Row

BLOCK_ROWS: Final = 10_000
BLOCK_BYTES: Final = 16 << 20
_DECODER: Final = msgspec.json.Decoder(dict[str, object])


@final
class RowSpool:
    """Takes rows, then gives them in blocks."""

    def __init__(self, folder: str | None) -> None:
        file = tempfile.TemporaryFile("w+b", dir=folder)  # noqa: SIM115 - open until `close`
        self._file = cast("BinaryIO", file)
        self._rows = 0
        self.size_bytes = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows, or none of them; errors as `RowWriter.add`."""
        lines = []
        for number, row in enumerate(rows, self._rows + 1):
            lines.append(line_of(row, number))
            if not row:
                raise BadRowError(
                    f"row {number} has no columns", fix="write at least one, null for example"
                )
        self.size_bytes += sum(map(len, lines))
        self._file.write(b"".join(lines))
        self._rows += len(rows)

    def blocks(self) -> Iterator[list[Mapping[str, object]]]:
        """Yield all rows, some at a time."""
        self._file.seek(0)
        block: list[Mapping[str, object]] = []
        size = 0
        for line in self._file:
            block.append(_DECODER.decode(line))
            size += len(line)
            if len(block) == BLOCK_ROWS or size > BLOCK_BYTES:
                yield block
                block, size = [], 0
        if block:
            yield block

    def close(self) -> None:
        """Let the rows go."""
        with contextlib.suppress(OSError):
            self._file.close()
