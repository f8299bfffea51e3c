"""The end of a job: its parts become one file, or get a list of what they are.

Owns `Finishing`. A file is made of all parts each time, and they are kept as long as a row may be
tried again; so whatever is killed in the middle is done once more from the same parts. Knows
nothing of workers.
"""

from __future__ import annotations

import contextlib
import hashlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, final

import msgspec

from openautoglm.data.catalog import open_sink
from openautoglm.data.location import read_location
from openautoglm.data.sink import Receipt, writing
from openautoglm.data.transports import files_of, target_of
from openautoglm.errors import OpenAutoGLMError, OutputWriteError
from openautoglm.jobs.destination import (
    MANIFEST,
    format_of,
    is_folder,
    is_local,
    is_of_files,
    is_one_file,
    parts_url,
)
from openautoglm.jobs.output import LINES, part_rows, path_of
from openautoglm.platform_io.refusals import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.transports.files import Files

BLOCK: Final = 1 << 20
ROWS: Final = 1000
"""Rows that are copied at a time."""


@final
class Finishing:
    """End one job.

    Args:
        job: its id.
        sink: of it.
        receipts: of its parts, by shard.
    """

    def __init__(self, job: str, sink: str, receipts: Sequence[tuple[int, Receipt]]) -> None:
        self._job = job
        self._location = read_location(sink, {})
        self._parts = [receipt for _, receipt in receipts]
        self._receipts = receipts

    def finish(self) -> None:
        """Make the one file, or the list of parts.

        Raises:
            OutputWriteError: there is no room, or a part is not what was committed.
            InputNotFoundError: a part is gone.
        """
        if is_folder(self._location):
            self._list()
        elif is_one_file(self._location):
            if format_of(self._location) in LINES:
                _put(self._location, self._join)
            else:
                self._copy()

    def clean(self) -> None:
        """Remove the parts of one file, and what killed attempts left; raise nothing."""
        if not is_of_files(self._location):
            return
        if is_one_file(self._location):
            for receipt in self._parts:
                self._remove(path_of(receipt.url))
        if not is_local(self._location):
            return
        folder = Path(read_location(parts_url(self._location.url), {}).path)
        for hidden in folder.glob(f".{self._job}-*.tmp"):
            self._remove(str(hidden))
        if is_one_file(self._location):
            with contextlib.suppress(OSError):  # parts of another job are in it
                folder.rmdir()

    def _list(self) -> None:
        data = msgspec.json.format(msgspec.json.encode(self._manifest()), indent=2) + b"\n"
        folder = self._location.path.rstrip("/")
        if is_local(self._location):
            _make(Path(folder))
        place = msgspec.structs.replace(self._location, path=f"{folder}/{MANIFEST}")
        _put(place, lambda file: file.write(data))

    def _manifest(self) -> dict[str, object]:
        """Return which parts there are, of how many rows, and what is in them."""
        parts = [
            {
                "shard": shard,
                "name": receipt.url.rpartition("/")[2],
                "rows": receipt.rows,
                "size_bytes": receipt.size_bytes,
                "sha256": receipt.digest,
            }
            for shard, receipt in self._receipts
        ]
        return {"job": self._job, "rows": sum(r.rows for r in self._parts), "parts": parts}

    def _join(self, whole: BinaryIO) -> None:
        files = files_of(self._location)
        for receipt in self._parts:
            _append(whole, files, receipt)

    def _copy(self) -> None:
        rows = part_rows(self._location.url, self._parts)
        with writing(open_sink(self._location.url)) as sink:
            while batch := list(islice(rows, ROWS)):
                sink.write(batch)

    def _remove(self, path: str) -> None:
        if is_local(self._location):
            with contextlib.suppress(OSError):
                Path(path).unlink()
            return
        from openautoglm.data.transports.s3 import connected, split

        with contextlib.suppress(OSError):
            connected(self._location)[0].call("delete_object", **split(path))


def _put(location: Location, fill: Callable[[BinaryIO], object]) -> None:
    """Put a whole file in its place at once."""
    target = target_of(location, None, "")
    size = 0
    try:
        file = target.open()
        try:
            fill(file)
            size = file.tell()
            digest = _digest(file)
            target.put(file, Receipt(url=target.url, rows=0, size_bytes=size, digest=digest))
        except BaseException:
            target.discard(file)
            raise
    except OSError as cause:
        if isinstance(cause, OpenAutoGLMError):
            raise
        raise target.refusal(size, cause) from cause


def _make(folder: Path) -> None:
    """Make the folder of a job that has no rows."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise unwritable(str(folder), 0, cause) from cause


def _append(whole: BinaryIO, files: Files, receipt: Receipt) -> None:
    """Copy a part, and check that it is what was committed."""
    digest = hashlib.sha256()
    (stored,) = files.find(path_of(receipt.url), ("",))
    with files.open(stored) as part:
        while block := part.read(BLOCK):
            digest.update(block)
            whole.write(block)
    if receipt.digest and digest.hexdigest() != receipt.digest:
        raise OutputWriteError(
            "a part is not what was committed",
            got=f"{receipt.url}: sha256 {digest.hexdigest()}, was {receipt.digest}",
            fix="somebody changed it; bring it back, or run the job anew",
        )


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
