"""How far a batch is, or a model that is being loaded: a bar on stderr, or a function that is told.

Owns `with_bar`, `watched` and `counted`. rich is imported when a bar is asked for. Knows nothing of
what takes its time.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.progress import Progress

T = TypeVar("T")
Watcher: TypeAlias = "Callable[[float], None]"
_watcher: Final[ContextVar[Watcher | None]] = ContextVar("openautoglm_loading", default=None)


@contextmanager
def watched(progress: bool | Watcher) -> Iterator[None]:  # noqa: FBT001 - the caller's keyword, as it is
    """Tell how far the loading inside the block is.

    Args:
        progress: True shows a bar on stderr, False nothing; a function is told the share that is
            done, from 0 to 1.

    Raises:
        InvalidParameterError: it is none of them.
    """
    if progress is False:
        yield
    elif progress is True:
        with _bar("loading") as bar:
            task = bar.add_task("loading", total=None)
            with _telling(lambda share: bar.update(task, total=1.0, completed=share)):
                yield
    elif callable(progress):
        with _telling(progress):
            yield
    else:
        raise InvalidParameterError(
            "`progress` must be True, False or a function that takes the share that is done",
            got=repr(progress),
            fix="progress=True",
        )


def counted(parts: Sequence[T]) -> Iterator[T]:
    """Yield the parts of what takes a while; whoever watches is told after each."""
    tell = _watcher.get()
    for done, part in enumerate(parts, 1):
        yield part
        if tell is not None:
            tell(done / len(parts))


def with_bar(answers: Iterable[T], *, total: int | None) -> Iterator[T]:
    """Yield the answers and show how many came; without a total the bar only pulses."""
    with _bar("generating") as bar:
        task = bar.add_task("generating", total=total)
        for answer in answers:
            yield answer
            bar.advance(task)


@contextmanager
def _telling(watcher: Watcher) -> Iterator[None]:
    token = _watcher.set(watcher)
    try:
        watcher(0.0)
        yield
        watcher(1.0)
    finally:
        _watcher.reset(token)


def _bar(text: str) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    count = MofNCompleteColumn() if text == "generating" else TaskProgressColumn()
    columns = (TextColumn(text), BarColumn(), count, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
