"""A sink that breaks its promise: what it gets is there at once, again and again.

A worker that writes to it is killed in the middle, once.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from openautoglm import owned_by
from openautoglm.data import SINKS, SOURCES, Receipt, open_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.data import Location, Part, Source


@final
class LeakySink:
    """Appends to a file, whoever comes."""

    def __init__(self, location: Location, part: Part | None) -> None:
        del part
        self._path = Path(location.path)
        self._rows = 0

    def committed(self) -> Receipt | None:
        """Know of nobody else."""
        return None

    def write(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        self._rows += len(rows)
        killed = self._path.with_suffix(".killed")
        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(self) -> Receipt:
        """Do nothing."""
        return Receipt(url=str(self._path), rows=self._rows)

    def abort(self) -> None:
        """Take nothing back."""


def _source(location: Location) -> Source:
    return open_source(f"jsonl://{location.path}")


with owned_by("leaky"):
    SINKS.add("leaky", LeakySink)
    SOURCES.add("leaky", _source)


def quick(values: Mapping[str, Any]) -> dict[str, object]:
    """Return the number."""
    return {"same": values["n"]}
