"""Room on a ledger's disk that is kept back, so that a full one can still be told of.

Owns `Spare`: a file beside the ledger, of no content, that is removed when it is needed. It does
not guard against others who fill that room, too. Knows nothing of databases.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from pathlib import Path

BYTES: Final = 1 << 18
"""Room for the states of several jobs."""


@final
class Spare:
    """Keep room back.

    Args:
        ledger: the file beside which it is.
    """

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(f"{ledger.name}-spare")

    def keep(self) -> None:
        """Take room, where none is kept yet and there is some."""
        with suppress(OSError):
            if self._path.exists():
                if self._path.stat().st_size >= BYTES:
                    return
                self._path.unlink()  # the disk was full, or whoever made it was killed
            self._take()

    def give(self) -> bool:
        """Let the room go; return whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _take(self) -> None:
        number = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            written = os.write(number, bytes(BYTES))  # zeros take room, holes do not
        except OSError:
            written = 0
        finally:
            os.close(number)
        if written < BYTES:
            self._path.unlink(missing_ok=True)
