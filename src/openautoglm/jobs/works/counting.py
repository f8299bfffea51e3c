"""How often work is begun on rows, over all processes that live and die: a file of marks.

Owns `CountingWork` and `calls_in`. One byte is appended for each call, before it is made, so that a
kill loses none, and another one where it raised.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openautoglm.data.source import Row
    from openautoglm.jobs.work import Answer, Work

VARIABLE: Final = "OPENAUTOGLM_CHAOS_CALLS"
"""Names the file in the environment of workers; nothing is counted without it."""

BEGUN: Final = b"."
RAISED: Final = b"!"


class Calls(NamedTuple):
    """How many calls were begun, and how many of these ended with an error."""

    begun: int
    raised: int


@final
class CountingWork:
    """Work that is counted."""

    def __init__(self, work: Work, file: str) -> None:
        self._work = work
        self._file = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def inputs(self) -> tuple[str, ...]:
        """See `Work.inputs`."""
        return self._work.inputs()

    def fingerprint(self) -> Mapping[str, str]:
        """See `Work.fingerprint`."""
        return self._work.fingerprint()

    def answer(self, values: Row) -> Answer:
        """Count, then see `Work.answer`."""
        os.write(self._file, BEGUN)
        try:
            return self._work.answer(values)
        except BaseException:
            os.write(self._file, RAISED)
            raise

    def close(self) -> None:
        """See `Work.close`."""
        os.close(self._file)
        self._work.close()


def counted(work: Work, environment: Mapping[str, str]) -> Work:
    """Return work that is counted where the environment asks for it."""
    file = environment.get(VARIABLE)
    return work if not file else CountingWork(work, file)


def calls_in(file: Path) -> Calls:
    """Return what was counted."""
    marks = file.read_bytes() if file.exists() else b""
    return Calls(begun=marks.count(BEGUN), raised=marks.count(RAISED))
