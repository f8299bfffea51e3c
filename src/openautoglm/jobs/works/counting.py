"""How often work is begun on rows, over all processes that live and die: a file of marks.

Owns `CountingWork` and `calls_in`. One byte is appended for each call, before it is made, so that a
kill loses none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openautoglm.data.source import Row
    from openautoglm.jobs.work import Answer, Work

VARIABLE: Final = "OPENAUTOGLM_CHAOS_CALLS"
"""Names the file in the environment of workers; nothing is counted without it."""


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
        os.write(self._file, b".")
        return self._work.answer(values)

    def close(self) -> None:
        """See `Work.close`."""
        os.close(self._file)
        self._work.close()


def counted(work: Work, environment: Mapping[str, str]) -> Work:
    """Return work that is counted where the environment asks for it."""
    file = environment.get(VARIABLE)
    return work if not file else CountingWork(work, file)


def calls_in(file: Path) -> int:
    """Return how many calls were counted."""
    return file.stat().st_size if file.exists() else 0
