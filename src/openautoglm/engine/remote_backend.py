"""Model backends as contributions, and the host's side of one that runs in a worker.

Knows nothing of processes: it calls a `RemoteObject`. Every worker that serves a call loads the
model, and each gives it back. A stream that a worker's death cuts off ends in the error; it is not
begun again, since its pieces were given out.
"""

from __future__ import annotations

import inspect
import uuid
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.engine import wire
from openautoglm.engine.backend import BackendEntry, LoadSpec, failed
from openautoglm.engine.generation import Generation
from openautoglm.errors import (
    EngineClosedError,
    OpenAutoGLMError,
    PluginContributionError,
    PluginUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from openautoglm.engine.backend import Backend, ModelInfo, Request
    from openautoglm.engine.wire import Plain
    from openautoglm.plugins.points import Contribution, PinnedObject, RemoteObject

WINDOW: Final = 32
"""Requests of a batch that are sent together."""


def adopt_backend(value: object, contribution: Contribution) -> BackendEntry:
    """Return the entry of a backend: as it is, or made of what loads one.

    Raises:
        PluginContributionError: the value can neither load nor is it an entry.
    """
    if isinstance(value, BackendEntry):
        return value
    if not callable(value) or not _takes_one(value):
        raise PluginContributionError(
            f"backend `{contribution.name}` is a `BackendEntry`, or loads from one `LoadSpec`",
            got=repr(value)[:200],
            fix="write `def load(spec: LoadSpec) -> Backend`, or a class with that constructor",
        )
    doc = inspect.getdoc(value) or contribution.name
    load = cast("Callable[[LoadSpec], Backend]", value)
    return BackendEntry(load=load, summary=doc.partition("\n")[0].rstrip("."))


def remote_backend(remote: RemoteObject, _contribution: Contribution) -> BackendEntry:
    """Return the entry of a backend whose models are loaded in a worker."""
    about = cast("Mapping[str, object]", remote.call("about"))
    return BackendEntry(
        load=lambda spec: RemoteBackend(remote, spec),
        summary=cast("str", about["summary"]),
        options=tuple(cast("Sequence[str]", about["options"])),
        extra=cast("str | None", about["extra"]),
    )


@final
class RemoteBackend:
    """One model in a worker; construction loads it there."""

    def __init__(self, remote: RemoteObject, spec: LoadSpec) -> None:
        self._remote = remote
        self._spec: Plain = {**wire.plain_spec(spec), "instance": uuid.uuid4().hex}
        self._info = wire.info_from(self._described())
        self._closed = False

    def describe(self) -> ModelInfo:
        """Return what the worker said when it had loaded."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Ask the worker."""
        self._check_open()
        return cast("int", self._remote.call("count_tokens", self._spec, text))

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield what the worker yields; a cancel ends it there at the next piece."""
        self._check_open()
        said: list[str] = []
        if request.cancel.is_set():
            yield self._cancelled(said)
            return
        pieces = self._remote.stream("stream", self._spec, wire.plain_request(request))
        try:
            for piece in pieces:
                if not isinstance(piece, str):
                    yield wire.generation_from(cast("Mapping[str, object]", piece))
                    return
                if request.cancel.is_set():
                    yield self._cancelled(said)
                    return
                said.append(piece)
                yield piece
        finally:
            _close(pieces)
        raise PluginContributionError(
            "a backend's stream ended without its generation",
            got=f"after {len(said)} pieces",
            fix="yield the `Generation` last",
        )

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Send a window of requests at a time."""
        self._check_open()
        waiting = iter(requests)
        first = 0
        while window := list(islice(waiting, WINDOW)):
            for position, generation in self._answers(window):
                yield first + position, generation
            first += len(window)

    def close(self) -> None:
        """Have every worker give back the model; a plugin that is stopped has."""
        if not self._closed:
            self._closed = True
            with suppress(PluginUnavailableError):
                self._remote.call("release", self._spec)

    def _answers(self, window: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Yield an answer to every request: what the worker answers, or why it did not."""
        open_: dict[int, Request] = {}
        for position, request in enumerate(window):
            if request.cancel.is_set():
                yield position, self._cancelled([])
            else:
                open_[position] = request
        sent = list(open_)
        try:
            for place, generation in self._sent([open_[position] for position in sent]):
                if open_.pop(sent[place], None) is not None:
                    yield sent[place], generation
        except OpenAutoGLMError as error:
            for position in open_:
                yield position, failed(error, model=self._info.model)
            return
        for position in open_:
            missing = PluginContributionError("a backend's batch left a request unanswered")
            yield position, failed(missing, model=self._info.model)

    def _sent(self, window: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        if not window:
            return
        waiting = {uuid.uuid4().hex: request for request in window}
        plain = [wire.plain_request(request) for request in window]
        with _one_worker(self._remote) as worker:
            answers = worker.stream("batch", self._spec, plain, list(waiting))
            try:
                for answer in answers:
                    if answer is not None:
                        position, generation = cast("tuple[int, Mapping[str, object]]", answer)
                        yield position, wire.generation_from(generation)
                    cancelled = sorted(n for n, r in waiting.items() if r.cancel.is_set())
                    for name in cancelled:
                        del waiting[name]
                    if cancelled:
                        worker.call("cancel", cancelled)
            finally:
                _close(answers)

    def _cancelled(self, said: Sequence[str]) -> Generation:
        text = "".join(said)
        return Generation(
            text=text,
            finish_reason="cancelled",
            completion_tokens=self.count_tokens(text) if text else 0,
            model=self._info.model,
        )

    def _described(self) -> Mapping[str, object]:
        return cast("Mapping[str, object]", self._remote.call("describe", self._spec))

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosedError(
                "the backend is closed", got=self._info.model, fix="load it again"
            )


def _takes_one(value: object) -> bool:
    """Whether a callable can be called with one argument, as far as its signature tells."""
    try:
        inspect.signature(cast("Callable[..., object]", value)).bind(LoadSpec())
    except TypeError:
        return False
    except ValueError:  # a builtin that tells nothing
        return True
    return True


@contextmanager
def _one_worker(remote: RemoteObject) -> Iterator[RemoteObject]:
    """Let a stream and what is said to it reach the same worker, where there are several."""
    pinned: Callable[[], PinnedObject] | None = getattr(remote, "pinned", None)
    if pinned is None:
        yield remote
        return
    worker = pinned()
    try:
        yield worker
    finally:
        worker.close()


def _close(stream: Iterator[object]) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
