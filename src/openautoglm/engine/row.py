"""Rows that come back as they complete: each with an id, and with parameters of its own.

Owns `Row` and `Completing`. Knows nothing of models; a row that cannot be asked is a result too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, final

from openautoglm.engine.backend import Request, failed
from openautoglm.engine.rows import as_ours
from openautoglm.errors import InvalidParameterError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.engine.backend import Backend
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.prompt import PromptInput


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row for `AutoGLM.stream_batch`.

    Attributes:
        prompt: a text, or the messages of a chat.
        id: comes back with the answer; None for the row's number, counted from 0.
        schema: the JSON schema of its answer, or None.
        source: the text that `x-extractive` values are copied from; None for the prompt.
        regex, choice, grammar, response_format: other forms of its answer, as in `AutoGLM.run`.
        adapter: name of an adapter that was loaded; None for the model alone.
        params: sampling parameters of this row, by name; the engine's where one is not named.
            With `n`, its answer has the `others`.
    """

    prompt: PromptInput
    id: object = None
    schema: Mapping[str, object] | None = None
    source: str | None = None
    regex: str | None = None
    choice: Sequence[str] | None = None
    grammar: str | None = None
    response_format: Mapping[str, object] | None = None
    adapter: str | None = None
    params: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@final
class Completing:
    """Carry rows through a backend, in whatever order they end.

    Args:
        build: makes the requests of a row, one for each of its `n` answers; it may raise what it
            likes.
        complete: checks and parses what came back for a request.
    """

    def __init__(
        self,
        *,
        build: Callable[[Row], Sequence[Request]],
        complete: Callable[[Request, Generation], Generation],
    ) -> None:
        self._build, self._complete = build, complete
        self._under_way: dict[int, tuple[_Asked, int]] = {}

    def run(self, backend: Backend, rows: Iterable[object]) -> Iterator[tuple[object, Generation]]:
        """Yield the id and the answer of each row; `rows` is read as the backend has room."""
        model = backend.describe().model
        for position, answer in backend.batch(self._requests(rows)):
            row, number = self._under_way.pop(position)
            row.answers[number] = self._answered(row.requests[number], answer, model)
            if len(row.answers) == len(row.requests):
                first, *others = (row.answers[i] for i in range(len(row.answers)))
                yield row.name, replace(first, others=tuple(others)) if others else first

    def _requests(self, rows: Iterable[object]) -> Iterator[Request]:
        positions = count()
        for row_number, given in enumerate(rows):
            row = given if isinstance(given, Row) else Row(prompt=given)  # type: ignore[arg-type] # `build` judges
            requests: Sequence[Request | OpenAutoGLMError]
            try:
                requests = self._build(row)
            except Exception as error:  # noqa: BLE001 - one bad row is no dead batch
                requests = (as_ours(error),)
            asked = _Asked(row_number if row.id is None else row.id, requests)
            for number, request in enumerate(requests):
                self._under_way[next(positions)] = asked, number
                yield request if isinstance(request, Request) else _never_run()

    def _answered(
        self, asked: Request | OpenAutoGLMError, answer: Generation, model: str
    ) -> Generation:
        if isinstance(asked, OpenAutoGLMError):
            return failed(asked, model=model)
        try:
            return self._complete(asked, answer)
        except OpenAutoGLMError as error:
            return failed(error, model=model)


@final
class _Asked:
    """A row that was read: what was asked for it, and the answers that are there."""

    def __init__(self, name: object, requests: Sequence[Request | OpenAutoGLMError]) -> None:
        self.name, self.requests = name, requests
        self.answers: dict[int, Generation] = {}


def _never_run() -> Request:
    """Return what keeps a bad row's place, so that bad rows too wait for room."""
    cancelled = threading.Event()
    cancelled.set()
    return Request(prompt="-", cancel=cancelled)


def check_rows(rows: object) -> None:
    """Refuse a single row where many are expected."""
    if isinstance(rows, (str, bytes, Row, Mapping)) or not isinstance(rows, Iterable):
        raise InvalidParameterError(
            "`rows` must be an iterable of rows",
            got=type(rows).__name__,
            fix="pass a list or a generator of `Row`, or call `run` for one",
        )
