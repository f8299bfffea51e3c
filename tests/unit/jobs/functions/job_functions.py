"""What the jobs of tests do with rows; workers import it by its name."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def double(values: Mapping[str, Any]) -> dict[str, object]:
    """Return twice the number."""
    return {"twice": values["n"] * 2}


async def double_later(values: Mapping[str, Any]) -> dict[str, object]:
    """Return twice the number, after others had their turn."""
    await asyncio.sleep(0)
    return {"twice": values["n"] * 2}


def slow(values: Mapping[str, Any]) -> dict[str, object]:
    """Return twice the number after some milliseconds, as a server would."""
    time.sleep(0.005)
    return {"twice": values["n"] * 2}


def gated(values: Mapping[str, Any]) -> dict[str, object]:
    """Answer the first ten rows at once, the others when the file they name is there."""
    Path(values["gate"]).with_suffix(".reached").touch()
    while values["n"] >= 10 and not Path(values["gate"]).exists():
        time.sleep(0.01)
    return {"twice": values["n"] * 2}


def picky(values: Mapping[str, Any]) -> dict[str, object]:
    """Refuse every third row, unless the file that it names is there."""
    if values["n"] % 3 == 0 and not Path(values.get("cure", "/none")).exists():
        raise ValueError(f"three divides {values['n']}")
    return {"twice": values["n"] * 2}


def broken(values: Mapping[str, Any]) -> dict[str, object]:
    """Fail after some milliseconds, whatever the row."""
    time.sleep(0.005)
    raise ValueError(f"no {values['n']}")


def deadly(values: Mapping[str, Any]) -> dict[str, object]:
    """End the whole process at the row 7."""
    if values["n"] == 7:
        os.kill(os.getpid(), signal.SIGABRT)
    return {"twice": values["n"] * 2}


def no_mapping(values: Mapping[str, Any]) -> list[object]:
    """Return what is no mapping."""
    return list(values)
