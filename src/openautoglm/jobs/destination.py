"""Where the output of a job goes: its parts, and the one file that they are put together to.

Owns `parts_url`, `is_one_file` and `is_folder`. Knows no kind of sink and opens none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from openautoglm.data.location import Location, read_location

FOLDER: Final = ".parts/"
"""Behind the name of a file: the folder of its parts."""
MANIFEST: Final = "_manifest.json"


def parts_url(sink: str) -> str:
    """Return what a job's parts are opened as: the sink itself, or a folder beside its one file.

    Example:
        >>> parts_url("answers.jsonl")
        'jsonl+file://answers.jsonl.parts/'
        >>> parts_url("parquet+s3://lake/answers.parquet")
        'parquet+s3://lake/answers.parquet.parts/'
        >>> parts_url("sqlite:///answers.db?table=answers")
        'sqlite:///answers.db?table=answers'
    """
    location = read_location(sink, {})
    if not is_one_file(location):
        return sink
    if location.scheme == "file":
        return f"{_format(location.path)}+file://{location.path}{FOLDER}"
    before, question, query = sink.partition("?")
    return f"{before}{FOLDER}{question}{query}"


def is_one_file(location: Location) -> bool:
    """Whether a sink is one file of rows: neither a folder nor anything else."""
    return _is_of_files(location) and not is_folder(location)


def is_folder(location: Location) -> bool:
    """Whether a sink is a folder of part files."""
    if not _is_of_files(location):
        return False
    if location.path.endswith(("/", os.sep)):
        return True
    return location.transport == "file" and Path(location.path).is_dir()


def _is_of_files(location: Location) -> bool:
    """Whether rows go to files: a path, or a format over a transport."""
    return location.scheme == "file" or "+" in location.scheme


def _format(path: str) -> str:
    from openautoglm.data.catalog import ALIASES

    ending = Path(path).suffix.removeprefix(".").lower()
    return ALIASES.get(ending, ending)
