"""Files whose names end in `.gz`, unpacked once and then read like any other.

Owns `UnzippedFiles`, which stands before another transport. Unpacked files lie in a folder that all
processes of a user share; see `Spool`.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.transports.spool import Spool
from openautoglm.errors import InputDecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.transports.files import Files, Stored
    from openautoglm.data.transports.spool import Writes
    from openautoglm.errors import OpenAutoGLMError

ENDING: Final = ".gz"
MAGIC: Final = b"\x1f\x8b"
BLOCK: Final = 1 << 20


@final
class UnzippedFiles:
    """The files of a transport, with what is packed unpacked."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._spool = Spool("unzipped")

    def find(self, path: str, endings: Sequence[str]) -> tuple[Stored, ...]:
        """Find packed files as well."""
        return self._files.find(path, (*endings, *(ending + ENDING for ending in endings)))

    def open(self, stored: Stored) -> BinaryIO:
        """Open a file, or what was in it."""
        if not stored.name.lower().endswith(ENDING):
            return self._files.open(stored)
        return self._spool.open(
            f"{stored.origin} {stored.version}", lambda out: self._unpack(stored, out)
        )

    def check(self, stored: Stored) -> None:
        """Look at what is read where it lies; what was unpacked stays what it was."""
        if not stored.name.lower().endswith(ENDING):
            self._files.check(stored)

    def refusal(self, path: str, cause: OSError) -> OpenAutoGLMError:
        """Say what the transport says."""
        return self._files.refusal(path, cause)

    def _unpack(self, stored: Stored, out: Writes) -> None:
        beginning = b""
        try:
            with self._files.open(stored) as packed:
                beginning = packed.read(len(MAGIC))
                packed.seek(0)
                with gzip.GzipFile(fileobj=packed) as file:
                    shutil.copyfileobj(file, out, BLOCK)
        except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
            raise _damaged(stored.name, _problem(beginning, cause), str(cause)) from cause
        if not beginning:
            raise _damaged(stored.name, "is empty, which no gzip is", "0 bytes")


def _problem(beginning: bytes, cause: Exception) -> str:
    if isinstance(cause, EOFError):
        return "ends in the middle"
    if beginning != MAGIC:
        return "is no gzip"
    is_behind = str(cause).startswith("Not a gzipped file")
    return "goes on with other bytes behind its end" if is_behind else "is damaged"


def _damaged(name: str, problem: str, got: str) -> InputDecodeError:
    return InputDecodeError(
        f"`{name}` {problem}",
        got=got,
        fix="copy the file again; `gzip --test` tells whether it is whole",
    )
