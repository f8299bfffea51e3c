"""Work of an asynchronous caller, done on threads so that its event loop goes on.

Owns `OffLoop`. Knows nothing of models.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar, cast, final

from openautoglm.errors import EngineClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

T = TypeVar("T")
_END: Final = object()


@final
class OffLoop:
    """Threads that start with the first work and end with `close`.

    Args:
        threads: most pieces of work at once; further ones wait.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._is_closed = False

    async def run(self, work: Callable[[], T], cancel: Callable[[], None]) -> T:
        """Return what `work` returns; `cancel` is called when the task is cancelled meanwhile.

        Raises:
            EngineClosedError: after `close`.
        """
        import asyncio

        try:
            return await asyncio.get_running_loop().run_in_executor(self._open(), work)
        except asyncio.CancelledError:
            cancel()
            raise

    async def each(self, items: Iterator[T], cancel: Callable[[], None]) -> AsyncIterator[T]:
        """Yield what an iterator yields; `cancel` is called however that ends. Errors as `run`."""
        try:
            while (item := await self.run(lambda: next(items, _END), cancel)) is not _END:
                yield cast("T", item)
        finally:
            cancel()

    def close(self) -> None:
        """Drop what has not begun and wait for what has. Closing twice is fine."""
        with self._lock:
            self._is_closed = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _open(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._is_closed:
                raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="openautoglm")
            return self._executor
