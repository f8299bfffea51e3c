"""The command line inside this process."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from openautoglm.cli.ending import run_to_end
from openautoglm.testing import echo_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def oag(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Return a function that runs a command line; `--backend echo` is there."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*args: str) -> Ended:
        capsys.readouterr()
        code = run_to_end(args)
        told = capsys.readouterr()
        return Ended(code=code, out=told.out, err=told.err)

    with echo_backend():
        yield run
    signal.signal(signal.SIGTERM, before)
