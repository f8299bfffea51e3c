"""URLs that mean the same in every folder: `anchored`. Opens nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from openautoglm.data.location import SCHEME

if TYPE_CHECKING:
    from pathlib import Path

LOCAL: Final = ("file", "jsonl", "csv", "parquet", "hf", "folder", "openai-batch")
"""What reaches files of this machine; the name of a format alone does."""
SQLITE: Final = "sqlite"


def anchored(url: str, folder: Path) -> str:
    """Return a URL or path with a relative path of this machine counted from a folder.

    Args:
        url: of rows; one without a relative path comes back as it is.
        folder: an absolute path.

    Example:
        >>> from pathlib import Path
        >>> anchored("out/", Path("/data")), anchored("csv+file://a.csv?x=1", Path("/data"))
        ('/data/out/', 'csv+file:///data/a.csv?x=1')
        >>> anchored("sqlite:///a.db?table=t", Path("/data"))
        'sqlite:////data/a.db?table=t'
        >>> anchored("s3://bucket/a.csv", Path("/data"))
        's3://bucket/a.csv'
    """
    found = SCHEME.match(url)
    if found is None:
        return _path(url, folder) if url else url
    before, rest = found[0], url[found.end() :]
    transport = found["scheme"].lower().rpartition("+")[2]
    if transport == SQLITE:  # three slashes before a relative path, four before an absolute one
        is_relative = rest.startswith("/") and not rest.startswith(("//", "/:", "/?"))
        return f"{before}/{quote(str(folder))}{rest}" if is_relative and rest != "/" else url
    if transport not in LOCAL or not rest or rest.startswith("/"):
        return url
    return f"{before}{quote(str(folder))}/{rest}"


def _path(path: str, folder: Path) -> str:
    whole = str(folder / path)
    is_folder = path.endswith(("/", os.sep)) and not whole.endswith(os.sep)
    return f"{whole}/" if is_folder else whole
