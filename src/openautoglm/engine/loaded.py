"""The model of one engine over its life: at work, asleep, at work again, closed.

Owns `Loaded`, which is a `Backend` that may be without its model. Knows nothing of prompts, nor of
how any backend loads or generates.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, final

from openautoglm.engine.adapter import AdapterTaker
from openautoglm.engine.backend import Sleeper
from openautoglm.engine.memory import give_back
from openautoglm.errors import EngineBusyError, EngineClosedError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openautoglm.engine.adapter import Adapter
    from openautoglm.engine.backend import Backend, ModelInfo, Request
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.news import ModelNews

State: TypeAlias = Literal["ready", "asleep", "closed"]


@final
class Loaded:
    """A backend, or the way to have it again. Safe to use from several threads.

    A backend with `sleep` and `wake` of its own is asked; any other is closed and loaded again,
    where it is known how. Whatever is generated, and half-read streams too, keep it awake.

    Args:
        backend: with its model; closed with this.
        load: loads it once more, exactly as it was; None where nobody knows how.
        news: is told what becomes of it.

    Attributes:
        takes_adapters: the backend is an `AdapterTaker`.
    """

    def __init__(
        self, backend: Backend, load: Callable[[], Backend] | None, news: ModelNews
    ) -> None:
        self._backend: Backend | None = backend
        self._load = load
        self._news = news
        self._info = backend.describe()
        self.takes_adapters = isinstance(backend, AdapterTaker)
        self._state: State = "ready"
        # weak: what an interrupt keeps from saying that it has ended is forgotten all the same
        self._uses: weakref.WeakSet[_Use] = weakref.WeakSet()
        # an RLock: the collector may end a half-read stream while this thread holds it
        self._lock = threading.RLock()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    def describe(self) -> ModelInfo:
        """Say what was loaded; also asleep and after `close`."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes; wakes the model."""
        with self._use() as backend:
            return backend.count_tokens(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield as `Backend.stream` does; wakes the model when it is first read."""
        with self._use() as backend:
            yield from backend.stream(request)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Yield as `Backend.batch` does; wakes the model when it is first read."""
        with self._use() as backend:
            yield from backend.batch(requests)

    def load_adapter(self, adapter: Adapter) -> None:
        """Have an adapter ready, as `AdapterTaker` does; wakes the model."""
        with self._use() as backend:
            cast("AdapterTaker", backend).load_adapter(adapter)

    def unload_adapter(self, adapter: Adapter) -> None:
        """Give an adapter's memory back; a model that sleeps or is closed has none of it."""
        with self._lock:
            if self._state == "ready":
                cast("AdapterTaker", self._backend).unload_adapter(adapter)

    def check(self) -> None:
        """Refuse to go on after `close`.

        Raises:
            EngineClosedError: it was closed.
        """
        if self._state == "closed":
            raise EngineClosedError(
                "the engine is closed",
                got=self._info.model,
                fix="make a new AutoGLM, or use it before its `with` block ends",
            )

    def sleep(self) -> None:
        """Give back the memory of weights and cache; asleep already is fine.

        Raises:
            EngineBusyError: something is being generated, or a stream is half read.
            InvalidParameterError: this backend cannot.
            EngineClosedError: it was closed.
        """
        with self._lock:
            self.check()
            if self._state == "asleep":
                return
            if self._uses:
                raise EngineBusyError(
                    "the model is generating and cannot sleep",
                    got=f"calls that have not ended, half-read streams too: {len(self._uses)}",
                    fix="read them to their end, or `close` them, and then call `sleep`",
                )
            self._put_to_sleep(cast("Backend", self._backend))
            self._state = "asleep"
        give_back()
        self._news.asleep()

    def wake(self) -> None:
        """Have the model again; awake already is fine. Errors as loading it, and `sleep`."""
        with self._lock:
            self._awake()

    def close(self) -> None:
        """Give everything back, whatever is under way. Closing twice is fine."""
        with self._lock:
            backend, self._backend = self._backend, None
            was, self._state = self._state, "closed"
        if backend is not None:
            backend.close()
            del backend
            give_back()
        if was != "closed":
            self._news.closed()

    def _put_to_sleep(self, backend: Backend) -> None:
        if isinstance(backend, Sleeper):
            backend.sleep()
        elif self._load is None:
            raise InvalidParameterError(
                f"the backend `{self._info.backend}` cannot sleep",
                got=f"a {type(backend).__name__} that was passed as an object",
                fix="give it `sleep` and `wake`, name it in `BACKENDS`, or call `close`",
            )
        else:
            self._backend = None
            backend.close()

    def _awake(self) -> Backend:
        self.check()
        if self._state == "asleep":
            self._news.waking()
            try:
                self._wake_up()
            except BaseException as error:
                self._news.failed(error)
                raise
            self._state = "ready"
            self._news.ready(self._info)
        return cast("Backend", self._backend)

    def _wake_up(self) -> None:
        backend: object = self._backend
        if isinstance(backend, Sleeper):
            backend.wake()
        elif self._load is not None:
            self._backend = self._load()

    @contextmanager
    def _use(self) -> Iterator[Backend]:
        use = _Use()
        with self._lock:
            backend = self._awake()
            self._uses.add(use)
        try:
            yield backend
        finally:
            with self._lock:
                self._uses.discard(use)


class _Use:
    """Stands for a call that is under way."""
