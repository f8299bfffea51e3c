"""How far a job is, on stderr: a bar for people, lines of JSON for programs, or nothing.

Owns `show_job`. Knows nothing of how a job runs; rich is imported only when a bar is shown.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol, Self, assert_never, final

from openautoglm.cli.exits import say
from openautoglm.cli.job_output import as_json, pace_text, rows_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console
    from rich.progress import TaskID

    from openautoglm.cli.choices import ProgressMode
    from openautoglm.jobs.progress import Progress

LINE_EVERY_S: Final = 1.0


class Display(AbstractContextManager["Display"], Protocol):
    """Shows one moment of a job after another; used in a `with`, from one thread at a time."""

    def update(self, progress: Progress) -> None:
        """Show a newer moment."""
        ...


def show_job(mode: ProgressMode) -> Display:
    """Return the display for a mode; "auto" is a bar where stderr is a terminal, else nothing."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    match mode:
        case "bar":
            return Bar()
        case "auto":
            return Bar() if on_terminal else Nothing()
        case "json":
            return JsonLines()
        case "none":
            return Nothing()
        case _:
            assert_never(mode)


@final
class Nothing:
    """Shows nothing."""

    def update(self, progress: Progress) -> None:
        """See `Display.update`."""

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
class JsonLines:
    """Writes a line a second, one whenever the state changes, and one for the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written_s = float("-inf")
        self._written: Progress | None = None
        self._newest: Progress | None = None

    def update(self, progress: Progress) -> None:
        """See `Display.update`."""
        self._newest = progress
        now_s = self._clock()
        is_new = self._written is None or self._written.state != progress.state
        if is_new or now_s - self._written_s >= LINE_EVERY_S:
            self._written_s = now_s
            self._write(progress)

    def _write(self, progress: Progress) -> None:
        say(as_json(progress))
        self._written = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._newest is not None and self._newest is not self._written:
            self._write(self._newest)


@final
class Bar:
    """A bar with rows, pace and the time that is left; it pulses until the rows are counted."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[rows]}", markup=False),
            TextColumn("{task.fields[pace]}", markup=False),
        )
        self._bar = RichProgress(*columns, console=console or Console(stderr=True), transient=True)
        self._task: TaskID = self._bar.add_task("starting", total=None, rows="", pace="")

    def update(self, progress: Progress) -> None:
        """See `Display.update`."""
        counts = progress.counts
        self._bar.update(
            self._task,
            description=progress.name or progress.job,
            total=counts.rows,
            completed=counts.done,
            rows=rows_text(counts),
            pace=pace_text(progress) if progress.state == "running" else progress.state,
        )

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
