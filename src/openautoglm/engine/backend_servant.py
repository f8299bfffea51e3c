"""The worker's side of a model backend: it loads, generates and answers in plain values.

Each call says what to load, so a worker that was started again serves on. Knows nothing of
processes.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.engine import wire
from openautoglm.engine.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.engine.backend import Backend, BackendEntry, Request
    from openautoglm.engine.wire import Plain

    Answers = queue.SimpleQueue[list[object] | BaseException | None]

BEAT_S: Final = 0.05
"""How long the host waits at most before it can cancel what is under way."""


@final
class BackendServant:
    """Serves the models that one kind of backend has loaded in this worker."""

    def __init__(self, adopted: BackendEntry) -> None:
        self._entry = adopted
        self._loaded: dict[str, Backend] = {}
        self._requests: dict[str, Request] = {}
        self._lock = threading.RLock()

    def about(self) -> Plain:
        """Say what the backend is for and which options it has."""
        entry = self._entry
        return {"summary": entry.summary, "options": list(entry.options), "extra": entry.extra}

    def describe(self, spec: Plain) -> Plain:
        """Load a model where it is not loaded yet, and describe it."""
        return wire.plain_info(self._backend(spec).describe())

    def count_tokens(self, spec: Plain, text: str) -> int:
        """Return how many tokens a text takes."""
        return self._backend(spec).count_tokens(text)

    def stream(self, spec: Plain, request: Plain) -> Iterator[object]:
        """Yield pieces of text, then the generation."""
        for piece in self._backend(spec).stream(wire.request_from(request)):
            yield wire.plain_generation(piece) if isinstance(piece, Generation) else piece

    def batch(
        self, spec: Plain, requests: Sequence[Plain], names: Sequence[str]
    ) -> Iterator[object]:
        """Yield position and generation of every request; `cancel` ends one by its name.

        While there is no answer, None comes now and then, and lets the host speak up.
        """
        made = [wire.request_from(request) for request in requests]
        answers: Answers = queue.SimpleQueue()
        work = threading.Thread(target=_answer, args=(self._backend(spec), made, answers))
        self._requests.update(zip(names, made, strict=True))
        work.start()
        try:
            yield from _taken(answers)
        finally:
            for name, request in zip(names, made, strict=True):
                request.cancel.set()
                self._requests.pop(name, None)
            work.join()

    def cancel(self, names: Sequence[str]) -> None:
        """End requests of a batch at their next token; those that are done stay so."""
        for name in names:
            request = self._requests.get(name)
            if request is not None:
                request.cancel.set()

    def release(self, spec: Plain) -> None:
        """Give back what was loaded; it may be loaded again."""
        with self._lock:
            backend = self._loaded.pop(cast("str", spec["instance"]), None)
        if backend is not None:
            backend.close()

    def close(self) -> None:
        """Give back all that was loaded."""
        with self._lock:
            loaded, self._loaded = self._loaded, {}
        for backend in loaded.values():
            backend.close()

    def _backend(self, spec: Mapping[str, object]) -> Backend:
        instance = cast("str", spec["instance"])
        with self._lock:  # loading twice would take the memory twice
            if instance not in self._loaded:
                self._loaded[instance] = self._entry.load(wire.spec_from(spec))
            return self._loaded[instance]


def _answer(backend: Backend, requests: Sequence[Request], answers: Answers) -> None:
    try:
        for position, generation in backend.batch(requests):
            answers.put([position, wire.plain_generation(generation)])
        answers.put(None)
    except BaseException as error:  # noqa: BLE001 - raised where the answers are taken
        answers.put(error)


def _taken(answers: Answers) -> Iterator[object]:
    while True:
        try:
            answer = answers.get(timeout=BEAT_S)
        except queue.Empty:
            yield None
            continue
        if answer is None:
            return
        if isinstance(answer, BaseException):
            raise answer
        yield answer
