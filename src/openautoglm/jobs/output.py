"""What a job has put out, read again as rows: its parts, its one file, its table.

Owns `part_rows` and `whole_rows`. Knows nothing of ledgers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from openautoglm.data.catalog import open_source
from openautoglm.data.location import Location, read_location
from openautoglm.data.transports import options_of
from openautoglm.jobs.destination import format_of, is_local, is_of_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.data.location import Option
    from openautoglm.data.sink import Receipt
    from openautoglm.data.source import Row

LINES: Final = ("jsonl", "openai-batch")
"""Formats whose files are JSON Lines; they can be put behind one another as they are."""
OF_WRITING: Final = ("mode", "id")
"""Options of sinks that no source takes."""


def part_rows(sink: str, receipts: Iterable[Receipt]) -> Iterator[Row]:
    """Yield the rows of part files, one after another; errors as of sources."""
    location = read_location(sink, {})
    for receipt in receipts:
        if receipt.rows:
            yield from _file_rows(location, path_of(receipt.url))


def whole_rows(sink: str) -> Iterator[Row]:
    """Yield the rows of a file or a table; errors as of sources."""
    location = read_location(sink, {})
    if is_of_files(location):
        return _file_rows(location, location.path)
    options = {name: v for name, v in location.options.items() if name not in OF_WRITING}
    return _rows(sink.partition("?")[0], options)


def path_of(url: str) -> str:
    """Return what a transport opens of a part's URL."""
    return url.partition("://")[2] or url


def _file_rows(location: Location, path: str) -> Iterator[Row]:
    form = format_of(location)
    form = LINES[0] if form in LINES else form
    scheme = form if is_local(location) else f"{form}+{location.transport}"
    known = (*options_of(location), "delimiter")
    options = {name: value for name, value in location.options.items() if name in known}
    return _rows(f"{scheme}://{quote(path)}", options)


def _rows(url: str, options: dict[str, Option]) -> Iterator[Row]:
    source = open_source(url, **options)
    try:
        for record in source.read():
            if record.error is not None:
                raise record.error
            yield record.values
    finally:
        source.close()
