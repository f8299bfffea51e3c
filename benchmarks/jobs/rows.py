"""The rows that every method works on, and what is done with one; nothing but Python's own.

Any method's interpreter can import it, and a worker process finds `answer` by its name.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LATENCY: Final = "OAG_BENCHMARK_LATENCY_S"
"""Seconds that a row takes, in the environment of every process."""
FIRST: Final = "OAG_BENCHMARK_FIRST"
"""The file that is to hold when the first row of all was answered, by the monotonic clock."""
SLOW: Final = "OAG_BENCHMARK_SLOW"
"""The file by which one process of `wait` finds that it is the slow one."""
SLOWER: Final = "OAG_BENCHMARK_SLOWER"
"""How much slower that is."""
TEXT: Final = "the parcel came late and one cup was broken, please send another one "


def write(file: Path, count: int) -> None:
    """Write so many rows."""
    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            lines.write(json.dumps({"id": f"row-{number:09d}", "text": f"{TEXT}{number}"}) + "\n")


def read(file: Path) -> Iterator[dict[str, str]]:
    """Yield rows."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def answer(values: Mapping[str, object]) -> dict[str, object]:
    """Do what a call of a fast model would take, and nothing else."""
    latency_s = float(os.environ.get(LATENCY, "0"))
    if latency_s:
        time.sleep(latency_s)
    if not _told:
        _tell_first()
    return {"output": str(values["text"])[:40]}


def wait(values: Mapping[str, object]) -> dict[str, object]:
    """Wait as long as the row says; longer in the one process that comes first, where asked."""
    if not _pace:
        _pace.append(_found_pace())
    time.sleep(float(str(values["wait_s"])) * _pace[0])
    return {}


_pace: list[float] = []


def _found_pace() -> float:
    try:
        open(os.environ[SLOW], "x", encoding="ascii").close()  # noqa: PTH123 - the quicker way
    except (KeyError, FileExistsError):
        return 1.0
    return float(os.environ[SLOWER])


_told: list[str] = []


def _tell_first() -> None:
    """Note when the first row was answered, once in each process; the first of all stays."""
    file = os.environ.get(FIRST, "")
    _told.append(file)
    if file:
        with suppress(FileExistsError), open(file, "x", encoding="ascii") as first:  # noqa: PTH123 - the quicker way
            first.write(str(time.monotonic()))


def keys(folder: Path, names: tuple[str, ...] = ("id", "key")) -> list[str]:
    """Return what names each row of JSON Lines in a folder, or in one file."""
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.json*"))
    found: list[str] = []
    for file in files:
        if file.name.startswith(("_", ".")):
            continue
        found += [next(str(row[name]) for name in names if name in row) for row in read(file)]
    return found
