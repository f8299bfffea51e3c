"""How a command ends: its exit code, and what the person reads on stderr.

Owns `run_to_end`. Knows nothing of what any command does.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from openautoglm.cli.exits import CannotStart, Exit, ReaderGoneError, Terminated, exit_code, say
from openautoglm.errors import OpenAutoGLMError, OutputWriteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from typer.exceptions import TyperException


def run_to_end(args: Sequence[str]) -> int:
    """Run a command line and return its exit code; whatever ended it is told on stderr."""
    with contextlib.suppress(ValueError):  # not the main thread: nobody sends us a signal there
        signal.signal(signal.SIGTERM, _raise_terminated)
    _speak_utf_8()
    try:
        code = _call(args)
        _flush()
    except BaseException as error:  # noqa: BLE001 - the last frame: all ends are told here
        code = _tell(error)
    return code


def _call(args: Sequence[str]) -> int:
    """Parse and run; typer's own `main` is left out, since it maps Ctrl-C and pipes its own way."""
    from typer.exceptions import Abort, TyperException
    from typer.exceptions import Exit as TyperExit
    from typer.main import get_command

    from openautoglm.cli.app import app

    command = get_command(app)
    try:
        with command.make_context("oag", list(args)) as context:
            return int(command.invoke(context) or 0)
    except TyperExit as end:
        return end.exit_code
    except Abort:
        raise KeyboardInterrupt from None
    except TyperException as error:
        _show_usage(error)
        return Exit.USAGE


def _show_usage(error: TyperException) -> None:
    show = getattr(error, "show", None)  # its usage errors can show the usage too
    with contextlib.suppress(OSError):
        if show is None:
            say(error.format_message())
        else:
            show()


def _speak_utf_8() -> None:
    """Write UTF-8 wherever no terminal says otherwise, and let no character end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _tell(error: BaseException) -> int:
    """Say how it ended; the process must be able to end without another error."""
    if isinstance(error, CannotStart):
        error = error.error
    if isinstance(error, BrokenPipeError | ReaderGoneError):
        _abandon_stdout()
        return Exit.OK
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        error = OutputWriteError(
            "standard output could not be written",
            got=error.strerror,
            fix="make room, or write elsewhere",
        )
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else Exit.BUG
    if isinstance(error, OpenAutoGLMError):
        if os.environ.get("OPENAUTOGLM_DEBUG"):
            _print_traceback(error)
        say(str(error))
        if isinstance(error, OutputWriteError):
            _abandon_stdout()
        return exit_code(error)
    return _tell_unexpected(error)


def _tell_unexpected(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        say("interrupted; what was written so far is whole")
        return Exit.INTERRUPTED
    if isinstance(error, Terminated):
        say("terminated; what was written so far is whole")
        return Exit.TERMINATED
    _print_traceback(error)
    say("this is a bug in oag: please report it with the lines above and your command")
    return Exit.BUG


def _print_traceback(error: BaseException) -> None:
    import traceback

    say("".join(traceback.format_exception(error)).rstrip())


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own last flush cannot fail."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def _raise_terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated
