"""The rows of a batch that are under way: a window over requests that may never end.

Owns `Window`. Knows requests by their position; knows nothing of how an answer comes about.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, final

from openautoglm.engine.backend import failed
from openautoglm.engine.generation import Generation
from openautoglm.errors import BackendRequestError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openautoglm.engine.backend import Request

Tell: TypeAlias = "Callable[[str | Generation], None]"
Begin: TypeAlias = "Callable[[Request, Tell], Begun]"

SPREAD: Final = 32
"""How many windows a batch may be ahead of its slowest row: it bounds the answers that wait."""


class Begun(Protocol):
    """A row that is under way."""

    def abandon(self) -> None:
        """Say, from any thread, that nobody wants it any more."""


@final
class Window:
    """Keep rows under way and give out each as it ends.

    Args:
        requests: read as there is room.
        size: gives, for the number of rows under way, how many there may be.
        begin: starts a request; the second argument is told when it ends.
        model: name in the generation of a row that cannot begin.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        size: Callable[[int], int],
        begin: Begin,
        model: str,
    ) -> None:
        self._requests = enumerate(requests)
        self._size = size
        self._begin = begin
        self._model = model
        self._ended: SimpleQueue[tuple[int, Generation]] = SimpleQueue()
        self._under_way: dict[int, Begun] = {}  # in order, so the first is the slowest
        self._read = 0

    def answers(self) -> Iterator[tuple[int, Generation]]:
        """Yield position and generation of every request; one that is left ends the others."""
        try:
            for position, request in self._requests:
                self._read = position + 1
                try:
                    self._under_way[position] = self._begin(request, self._told(position))
                except Exception as error:  # noqa: BLE001 - one bad row is no dead batch
                    yield position, failed(told(error), model=self._model)
                while self._is_full or not self._ended.empty():
                    yield self._next()
            while self._under_way:
                yield self._next()
        finally:
            for answer in self._under_way.values():
                answer.abandon()

    @property
    def _is_full(self) -> bool:
        size = self._size(len(self._under_way))
        slowest = next(iter(self._under_way), self._read)
        is_ahead = self._read - slowest >= SPREAD * size
        return len(self._under_way) >= size or is_ahead

    def _next(self) -> tuple[int, Generation]:
        position, generation = self._ended.get()
        del self._under_way[position]
        return position, generation

    def _told(self, position: int) -> Callable[[str | Generation], None]:
        def tell(new: str | Generation) -> None:
            if isinstance(new, Generation):
                self._ended.put((position, new))

        return tell


def told(error: Exception) -> OpenAutoGLMError:
    """Return what a row raised before it was under way as one of our errors."""
    if isinstance(error, OpenAutoGLMError):
        return error
    problem = BackendRequestError(
        "the prompt or the grammar of a row could not be read",
        got=f"{type(error).__name__}: {error}"[:300],
        fix="the other rows go on; see the cause for where it failed",
    )
    problem.__cause__ = error
    return problem
