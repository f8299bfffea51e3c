"""Rows that come back as they complete: each with an id, and with parameters of its own.

Owns `Row` and `Completing`. Knows nothing of models; a row that cannot be asked is a result too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
        build: makes the request of a row; it may raise what it likes.
        complete: checks and parses what came back for a request.
    """

    def __init__(
        self,
        *,
        build: Callable[[Row], Request],
        complete: Callable[[Request, Generation], Generation],
    ) -> None:
        self._build, self._complete = build, complete
        self._under_way: dict[int, tuple[object, Request | OpenAutoGLMError]] = {}

    def run(self, backend: Backend, rows: Iterable[object]) -> Iterator[tuple[object, Generation]]:
        """Yield the id and the answer of each row; `rows` is read as the backend has room."""
        model = backend.describe().model
        for position, answer in backend.batch(self._requests(rows)):
            name, asked = self._under_way.pop(position)
            yield name, self._answered(asked, answer, model)

    def _requests(self, rows: Iterable[object]) -> Iterator[Request]:
        for position, given in enumerate(rows):
            row = given if isinstance(given, Row) else Row(prompt=given)  # type: ignore[arg-type] # `build` judges
            asked: Request | OpenAutoGLMError
            try:
                asked = self._build(row)
            except Exception as error:  # noqa: BLE001 - one bad row is no dead batch
                asked = as_ours(error)
            self._under_way[position] = (position if row.id is None else row.id, asked)
            yield asked if isinstance(asked, Request) else _never_run()

    def _answered(
        self, asked: Request | OpenAutoGLMError, answer: Generation, model: str
    ) -> Generation:
        if isinstance(asked, OpenAutoGLMError):
            return failed(asked, model=model)
        try:
            return self._complete(asked, answer)
        except OpenAutoGLMError as error:
            return failed(error, model=model)


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
