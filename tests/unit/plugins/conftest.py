"""A home for plugins that start by their names, and forked processes."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.plugins import on_demand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHILD_S = 30


class InFork(Protocol):
    """Runs something in a process that is forked from this one."""

    def __call__(self, work: Callable[[], object]) -> str:
        """Return the `repr` of what it returned, or the traceback of what it raised."""


@pytest.fixture
def in_fork() -> InFork:
    """Return a function that forks; a child that hangs is ended."""

    def run(work: Callable[[], object]) -> str:
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(CHILD_S)
            try:
                said = repr(work())
            except BaseException:  # noqa: BLE001 - told to the parent, as text
                said = traceback.format_exc()
            os.write(writes, said.encode())
            os._exit(0)
        os.close(writes)
        with os.fdopen(reads, "rb") as end:
            said = end.read().decode()
        _, status = os.waitpid(child, 0)
        return said or f"it ended with status {status}"

    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own; what was started from it is ended."""
    folder = tmp_path / "home"
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(folder))
    yield folder
    on_demand.close()
