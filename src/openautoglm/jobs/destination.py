"""Where the output of a job goes: its parts, and the one file that they are put together to.

Owns `parts_url`, `is_one_file`, `is_folder` and `try_sink`. Knows no kind of sink.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from openautoglm.data.catalog import ALIASES, open_sink
from openautoglm.data.location import Location, read_location
from openautoglm.data.sink import Part
from openautoglm.data.transports import TRANSPORTS

FOLDER: Final = ".parts/"
"""Behind the name of a file: the folder of its parts."""
MANIFEST: Final = "_manifest.json"
FORMATS: Final = ("jsonl", "csv", "parquet", "openai-batch")
"""Schemes that mean files of this machine when they stand alone."""


def parts_url(sink: str) -> str:
    """Return what a job's parts are opened as: the sink itself, or a folder beside its one file.

    Parts in a folder are JSON Lines, unless its URL says otherwise.

    Example:
        >>> parts_url("answers.jsonl")
        'jsonl://answers.jsonl.parts/'
        >>> parts_url("parquet+s3://lake/answers.parquet")
        'parquet+s3://lake/answers.parquet.parts/'
        >>> parts_url("sqlite:///answers.db?table=answers")
        'sqlite:///answers.db?table=answers'
    """
    location = read_location(sink, {})
    if not is_of_files(location):
        return sink
    url = sink
    if "://" not in sink:
        url = f"{format_of(location)}://{quote(sink)}"
    elif location.scheme in TRANSPORTS:
        url = f"{format_of(location)}+{url}"
    if is_folder(location):
        return url
    before, question, query = url.partition("?")
    return f"{before}{FOLDER}{question}{query}"


def is_one_file(location: Location) -> bool:
    """Whether a sink is one file of rows: neither a folder nor anything else."""
    return is_of_files(location) and not is_folder(location)


def is_folder(location: Location) -> bool:
    """Whether a sink is a folder of part files."""
    if not is_of_files(location):
        return False
    if location.path.endswith(("/", os.sep)):
        return True
    return is_local(location) and Path(location.path).is_dir()


def is_of_files(location: Location) -> bool:
    """Whether rows go to files: a path, or a format, or a format over a transport."""
    return location.transport in TRANSPORTS or location.scheme in FORMATS


def is_local(location: Location) -> bool:
    """Whether those files are on this machine's disks."""
    return location.transport == "file" or location.scheme in FORMATS


def format_of(location: Location) -> str:
    """Return what rows are written in: as is said; as a file's ending says; as JSON Lines."""
    if location.scheme in FORMATS or location.format:
        return location.format or location.scheme
    if is_folder(location):
        return FORMATS[0]
    ending = Path(location.path).suffix.removeprefix(".").lower()
    return ALIASES.get(ending, ending)


def try_sink(url: str) -> None:
    """Open what a job would write to, and leave nothing behind.

    Raises:
        DataUrlError: nothing can be written by that URL.
        OutputWriteError: it may not be written there.
    """
    location = read_location(url, {})
    parts = parts_url(url)
    folder = Path(read_location(parts, {}).path)
    is_new = is_of_files(location) and is_local(location) and not folder.exists()
    if is_one_file(location):
        open_sink(url).abort()
    open_sink(parts, part=Part(job=f"check-{os.urandom(4).hex()}", shard=0)).abort()
    if is_new:
        with contextlib.suppress(OSError):  # somebody put a part there meanwhile
            folder.rmdir()
