"""`oag` run in this process, and what it printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

from openautoglm.cli.ending import run_to_end

if TYPE_CHECKING:
    from collections.abc import Callable


class Told(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `oag`, such as `oag batch`; called with what stands behind it."""

    name: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *args: str) -> Told:
        self.capsys.readouterr()
        code = run_to_end([self.name, *args])
        told = self.capsys.readouterr()
        return Told(code, told.out, told.err)


@pytest.fixture
def oag(capsys: pytest.CaptureFixture[str]) -> Callable[[str], Command]:
    """Return a command by its name."""

    def named(name: str) -> Command:
        return Command(name, capsys)

    return named
