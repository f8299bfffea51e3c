"""What opens files of each format, to read and to write: entries of the catalog.

Owns the options of formats. Knows nothing of transports but that a location has one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from openautoglm.data.formats.cells import guessed, read_types
from openautoglm.data.formats.delimited import DelimitedFormat
from openautoglm.data.formats.file_sink import FileSink
from openautoglm.data.formats.file_source import FileSource
from openautoglm.data.formats.jsonl import JsonlFormat
from openautoglm.data.formats.parquet import ParquetFormat
from openautoglm.data.transports import files_of, options_of, target_of
from openautoglm.errors import DataUrlError

if TYPE_CHECKING:
    from openautoglm.data.formats.format import Format
    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.source import Kind

INFER: Final = "infer"
SAMPLE_ROWS: Final = 1000
"""Rows that kinds are guessed from, where that is asked for."""
DELIMITERS: Final = {"tab": "\t", "\\t": "\t"}


def open_jsonl(location: Location) -> FileSource:
    """Open a file, a folder or a pattern of JSON Lines.

    Raises:
        DataUrlError: the bytes are not to be had this way, or an option is unknown.
        InputNotFoundError: there is no such file, or none in the folder.
    """
    location.check_options(*options_of(location))
    return _source(location, JsonlFormat())


def open_csv(location: Location) -> FileSource:
    """Open a file, a folder or a pattern of tables as text; errors as `open_jsonl`.

    Options: `delimiter`, `header` (names of columns, where the files have none), `types` (kinds of
    columns, as in `id:integer,tags:list`, or `infer`).
    """
    _check_csv(location, "delimiter", "header", "types")
    delimiter = _delimiter(location)
    header = [n for n in str(location.options.get("header", "")).split(",") if n]
    asked = str(location.options.get("types", ""))
    if asked == INFER:
        texts = _source(location, DelimitedFormat(delimiter=delimiter, header=header))
        types = _guessed(texts)
    else:
        types = read_types(asked, location.shown)
    return _source(location, DelimitedFormat(delimiter=delimiter, header=header, types=types))


def open_parquet(location: Location) -> FileSource:
    """Open a file, a folder or a pattern of Parquet; errors as `open_jsonl`."""
    location.check_options(*options_of(location))
    return _source(location, ParquetFormat())


def open_jsonl_sink(location: Location, part: Part | None) -> FileSink:
    """Open a file to write, or one part file in a folder, which is made where it is missing.

    Raises:
        DataUrlError: a part and a file, a folder without a part, or an option that is unknown.
        OutputWriteError: nothing can be written there.
    """
    location.check_options(*options_of(location))
    return _sink(location, part, JsonlFormat())


def open_csv_sink(location: Location, part: Part | None) -> FileSink:
    """Open a table of text to write; errors as `open_jsonl_sink`. Option: `delimiter`."""
    _check_csv(location, "delimiter")
    delimiter = _delimiter(location)
    if delimiter is None and location.path.lower().endswith(".tsv"):
        delimiter = DELIMITERS["tab"]
    return _sink(location, part, DelimitedFormat(delimiter=delimiter))


def open_parquet_sink(location: Location, part: Part | None) -> FileSink:
    """Open a Parquet file to write; errors as `open_jsonl_sink`."""
    location.check_options(*options_of(location))
    return _sink(location, part, ParquetFormat())


def _source(location: Location, form: Format) -> FileSource:
    files = files_of(location)
    found = files.find(location.path, form.endings)
    return FileSource(files, found, form, url=location.shown)


def _sink(location: Location, part: Part | None, form: Format) -> FileSink:
    target = target_of(location, part, form.endings[0])
    return FileSink(target, form, is_part=part is not None)


def _check_csv(location: Location, *known: str) -> None:
    if "encoding" in location.options:
        raise DataUrlError(
            "files of text are UTF-8, there is no other encoding",
            got=location.shown,
            fix="write it as UTF-8: iconv -f ENCODING -t UTF-8 FILE > NEW",
        )
    location.check_options(*known, *options_of(location))


def _delimiter(location: Location) -> str | None:
    asked = location.options.get("delimiter")
    if asked is None:
        return None
    delimiter = DELIMITERS.get(str(asked), str(asked))
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataUrlError(
            "a delimiter is one character, no quote and no line break",
            got=location.shown,
            fix="as in ?delimiter=; or ?delimiter=tab",
        )
    return delimiter


def _guessed(texts: FileSource) -> dict[str, Kind]:
    """Return kinds by column, of the first rows."""
    rows = [r.values for r in islice(texts.read(), SAMPLE_ROWS) if r.error is None]
    names = [column.name for column in texts.describe().columns]
    return {name: guessed(str(row.get(name, "")) for row in rows) for name in names}
