"""How far a run is, on stderr; rich is imported only when a bar is shown.

Owns `Progress`: a bar on a terminal, lines elsewhere. Knows nothing of what is counted.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, Self, final

from openautoglm.cli.exits import say

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID


class Progress(AbstractContextManager["Progress"], Protocol):
    """Counts records and tells of those that failed; used in a `with`."""

    def advance(self) -> None:
        """One more record is done."""
        ...

    def tell(self, text: str) -> None:
        """Print a line to stderr."""
        ...


def show_progress(*, total: int | None, results_on_terminal: bool) -> Progress:
    """Return a bar where stderr is a terminal that the results do not share."""
    if sys.stderr is None or not sys.stderr.isatty() or results_on_terminal:
        return Lines()
    return Bar(total)


@final
class Lines:
    """Only tells of failures."""

    def advance(self) -> None:
        """See `Progress.advance`."""

    def tell(self, text: str) -> None:
        """See `Progress.tell`."""
        say(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to end."""


@final
class Bar:
    """A bar with a count; without a total it pulses."""

    def __init__(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("records"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task: TaskID = self._bar.add_task("records", total=total)

    def advance(self) -> None:
        """See `Progress.advance`."""
        self._bar.advance(self._task)

    def tell(self, text: str) -> None:
        """See `Progress.tell`; the line goes above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
