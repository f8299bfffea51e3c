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
        try:
            with self._files.open(stored) as packed, gzip.GzipFile(fileobj=packed) as file:
                shutil.copyfileobj(file, out, BLOCK)
        except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
            is_cut = isinstance(cause, EOFError)
            raise InputDecodeError(
                f"`{stored.name}` ends in the middle" if is_cut else f"`{stored.name}` is no gzip",
                got=str(cause),
                fix="copy the file again; `gzip --test` tells whether it is whole",
            ) from cause
