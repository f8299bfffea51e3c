"""Every way a command can end has its code and its words."""

from __future__ import annotations

import errno
import re
import signal
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm import __version__, errors
from openautoglm.cli import ending
from openautoglm.cli.exits import (
    EXIT_HELP,
    CannotStart,
    Exit,
    ReaderGoneError,
    Terminated,
    exit_code,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SPEC = tomllib.loads((ROOT / "spec/errors.toml").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("code", sorted(SPEC))
def test_an_error_of_ours_is_the_callers_or_the_machines(code: str) -> None:
    error = getattr(errors, SPEC[code]["name"])("problem")
    assert exit_code(error) in {Exit.USAGE, Exit.MACHINE}


def test_the_page_and_the_help_list_every_exit_code() -> None:
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    table = page.partition("## Exit codes")[2]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(Exit)
    assert [int(code) for code in re.findall(r"\d+", EXIT_HELP)] == list(Exit)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputNotFoundError("x"), 2),
        (errors.UnknownNameError("x"), 2),
        (errors.PipelineSyntaxError("x"), 2),
        (errors.InvalidParameterError("x"), 2),
        (errors.ModelTooLargeError("x"), 3),
        (errors.BackendUnavailableError("x"), 3),
        (errors.MissingExtraError("x"), 3),
        (errors.OutputWriteError("x"), 3),
        (CannotStart(errors.ModelNotFoundError("x")), 3),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (SystemExit(5), 5),
        (ReaderGoneError(), 0),
        (BrokenPipeError(), 0),
        (OSError(errno.ENOSPC, "No space left on device"), 3),
        (ZeroDivisionError("x"), 70),
    ],
    ids=repr,
)
def test_whatever_ends_a_command_has_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setattr(ending, "_call", fail)
    assert ending.run_to_end([]) == code


def test_what_we_did_not_expect_is_called_a_bug_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_args: object) -> int:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(ending, "_call", fail)
    ending.run_to_end([])
    told = capsys.readouterr().err
    assert "ZeroDivisionError: surprise" in told
    assert told.splitlines()[-1].startswith("this is a bug in oag")


def test_a_closed_standard_error_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    assert ending.run_to_end(["nope"]) == 2


def test_help_shows_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.run_to_end(["--help"]) == 0
    told = capsys.readouterr().out
    for word in ("run", "prompt", "pipeline", "models", "doctor", "Exit codes", "130"):
        assert word in told


@pytest.mark.parametrize("command", ["run", "prompt", "pipeline", "models", "doctor"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.run_to_end([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: oag {command}")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.run_to_end(["--version"]) == 0
    assert capsys.readouterr().out == f"openautoglm {__version__}\n"


def test_a_wrong_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.run_to_end(["rum"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "No such command 'rum'" in told.err
