"""The exit codes, which error has which, and the line to stderr that nothing can stop.

Knows nothing of commands.
"""

from __future__ import annotations

import contextlib
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openautoglm.errors import OpenAutoGLMError


class Exit(IntEnum):
    """Exit codes; docs/cli.md holds the same table."""

    OK = 0
    RECORDS_FAILED = 1
    USAGE = 2
    MACHINE = 3
    PAUSED = 4
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_HELP: Final = (
    "Exit codes: 0 all well; 1 some records failed; 2 wrong usage or bad input, nothing was done; "
    "3 the model or the machine cannot; 4 a job is paused or cancelled; 70 a bug in oag; "
    "130 interrupted; 143 terminated."
)
FATAL: Final = frozenset(
    {"OAG503", "OAG504", "OAG602", "OAG603", "OAG604", "OAG727", "OAG806", "OAG809"}
)
"""What the machine cannot, besides the models of 3xx."""

CALLERS: Final = frozenset({"OAG310", "OAG311", "OAG312", "OAG313", "OAG314", "OAG315"})
"""The 3xx errors that are of the caller's making, or of one record's."""


class ReaderGoneError(Exception):
    """Whoever read our output needs no more of it, as `head` does."""


class Terminated(BaseException):
    """Raised in the main thread when SIGTERM comes; like Ctrl-C it passes `except Exception`."""


class CannotStart(BaseException):
    """Carries the error that ends the command through code that catches every `Exception`."""

    def __init__(self, error: OpenAutoGLMError) -> None:
        super().__init__(str(error))
        self.error = error


def exit_code(error: OpenAutoGLMError) -> Exit:
    """Return the code of a command that an error ended.

    Example:
        >>> from openautoglm.errors import OutputWriteError
        >>> exit_code(OutputWriteError("disk full"))
        <Exit.MACHINE: 3>
    """
    if error.code in FATAL or (error.code.startswith("OAG3") and error.code not in CALLERS):
        return Exit.MACHINE
    return Exit.USAGE


def say(text: str) -> None:
    """Print to stderr; a closed or full stderr is no reason to fail."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command talks here
