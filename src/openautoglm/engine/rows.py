"""The rows of a batch: prompts in, generations out in the same order, one bad row on its own.

Owns `Rows`. Knows nothing of models, schemas or progress bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from openautoglm.engine.backend import failed
from openautoglm.errors import InvalidParameterError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.engine.backend import Backend, Request
    from openautoglm.engine.generation import Generation


@final
class Rows:
    """Carry a batch through a backend.

    Args:
        build: makes the request of a row from its number and its prompt.
        complete: checks and parses what came back for a request.
        keep_errors: a row that fails becomes a generation with "error"; otherwise its error is
            raised when its turn comes, after all rows before it were given out.
        answers: how many rows in a run are of one prompt, which errors name by its place.
        ended: told the number of prompts once all are answered; it may raise what it likes.
    """

    def __init__(
        self,
        *,
        build: Callable[[int, object], Request],
        complete: Callable[[Request, Generation], Generation],
        keep_errors: bool,
        answers: int = 1,
        ended: Callable[[int], None] | None = None,
    ) -> None:
        self._answers = answers
        self._build = build
        self._complete = complete
        self._keep_errors = keep_errors
        self._waiting: dict[int, tuple[int, Request]] = {}  # position in the backend to row
        self._ready: dict[int, Generation] = {}
        self._next_row = 0
        self._ended = ended

    def run(self, backend: Backend, prompts: Iterable[object]) -> Iterator[Generation]:
        """Yield the generation of every prompt, in order; `prompts` is read as it is needed."""
        model = backend.describe().model
        for position, generation in backend.batch(self._requests(prompts, model)):
            row, request = self._waiting.pop(position)
            self._ready[row] = self._checked(request, generation)
            yield from self._in_order()
        yield from self._in_order()
        if self._ended is not None:
            self._ended(self._next_row // self._answers)

    def _requests(self, prompts: Iterable[object], model: str) -> Iterator[Request]:
        position = 0
        for row, prompt in enumerate(prompts):
            try:
                request = self._build(row, prompt)
            except Exception as error:  # noqa: BLE001 - one bad row is no dead batch
                self._ready[row] = failed(as_ours(error), model=model)
                if self._keep_errors:
                    continue
                return
            self._waiting[position] = (row, request)
            position += 1
            yield request

    def _checked(self, request: Request, generation: Generation) -> Generation:
        try:
            return self._complete(request, generation)
        except OpenAutoGLMError as error:
            return failed(error, model=generation.model)

    def _in_order(self) -> Iterator[Generation]:
        while self._next_row in self._ready:
            generation = self._ready.pop(self._next_row)
            if (error := generation.error) is not None and not self._keep_errors:
                raise in_row(error, self._next_row // self._answers) from error
            self._next_row += 1
            yield generation


def in_row(error: OpenAutoGLMError, row: int) -> OpenAutoGLMError:
    """Return an error that names the row it is of."""
    return type(error)(f"prompts[{row}]: {error.problem}", got=error.got, fix=error.fix)


def as_ours(error: Exception) -> OpenAutoGLMError:
    """Return what reading a row raised as one of our errors."""
    if isinstance(error, OpenAutoGLMError):
        return error
    ours = InvalidParameterError(
        "a row holds what cannot be read",
        got=f"{type(error).__name__}: {error}"[:300],
        fix="check the types of its prompt, schema and params; its cause says where it failed",
    )
    ours.__cause__ = error
    return ours


def check_prompts(prompts: object) -> None:
    """Refuse a single prompt where many are expected."""
    if isinstance(prompts, (str, bytes, Mapping)) or not isinstance(prompts, Iterable):
        raise InvalidParameterError(
            "`prompts` must be an iterable of prompts",
            got=type(prompts).__name__,
            fix="pass a list, or call `run` for a single prompt",
        )


def check_on_error(on_error: object) -> None:
    """Refuse what says neither of the two things that can be done about a row that fails."""
    if on_error not in {"raise", "keep"}:
        raise InvalidParameterError(
            '`on_error` must be "raise" or "keep"', got=repr(on_error), fix='on_error="keep"'
        )


def check_order(order: object) -> None:
    """Refuse what says neither of the two orders in which rows may be computed."""
    if order not in {"given", "free"}:
        raise InvalidParameterError(
            '`order` must be "given" or "free"', got=repr(order), fix='order="free"'
        )


def of_row(name: str, value: object, one: type, row: int) -> object:
    """Return the value for a row: `value` itself, or its item when there is one for each."""
    if value is None or isinstance(value, one):
        return value
    if not isinstance(value, Sequence):
        raise InvalidParameterError(
            f"`{name}` must be a {one.__name__}, or a list with one for each prompt",
            got=type(value).__name__,
            fix=f"{name}=… for all rows, or {name}=[…, …]",
        )
    if row >= len(value):
        raise InvalidParameterError(
            f"`{name}` has fewer entries than there are prompts",
            got=f"{len(value)} entries",
            fix="pass one for all, or one for each prompt",
        )
    item = value[row]
    if item is None or isinstance(item, one):
        return item
    raise InvalidParameterError(
        f"`{name}[{row}]` is not a {one.__name__}", got=repr(item), fix="check it"
    )
