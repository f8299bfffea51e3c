"""From what a caller wrote to a checked request.

Owns `Asking`: parameters over the engine's, prompts read, schemas compiled. Knows nothing of how
any backend generates, nor of the order in which answers come.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, final

from openautoglm.engine.answers import of_answer
from openautoglm.engine.backend import Request, check_honoured
from openautoglm.engine.keywords import ROW_KINDS, of_fields, split
from openautoglm.engine.prompt import read_prompt
from openautoglm.engine.rows import of_row
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from openautoglm.engine.adapters import Adapters
    from openautoglm.engine.backend import ModelInfo, Order
    from openautoglm.engine.row import Row
    from openautoglm.engine.sampling import SamplingParams


@final
class Asking:
    """Make requests for one model; used from several threads.

    Args:
        params: what counts where a call does not say otherwise.
        info: what the model honours.
        adapters: what may be loaded beside it.
    """

    def __init__(self, params: SamplingParams, info: ModelInfo, adapters: Adapters) -> None:
        self.params = params
        self._adapters = adapters
        self._info = info
        self._running: weakref.WeakSet[threading.Event] = weakref.WeakSet()
        self._lock = threading.Lock()

    def read(self, given: Mapping[str, object]) -> tuple[SamplingParams, Mapping[str, object]]:
        """Return the parameters of a call and its keywords beside them.

        Raises:
            InvalidParameterError: a name is not known, or a parameter cannot be.
        """
        sampling, rest = split(given)
        return self.params.override(sampling), rest

    def request(
        self,
        prompt: object,
        params: SamplingParams,
        rest: Mapping[str, object],
        *,
        cancel: threading.Event | None = None,
        order: Order = "given",
    ) -> Request:
        """Return the request of one answer.

        Args:
            prompt: what the caller passed as such.
            params: how to generate.
            rest: the keywords beside them, by name; see `Keywords`.
            cancel: ends it, and whatever else was made with the same one.
            order: see `Request`.

        Raises:
            OpenAutoGLMError: something in it cannot be; says what.
        """
        source = _text("source", rest.get("source"))
        check_honoured(params, self._info)
        request = Request(
            prompt=read_prompt(prompt),
            params=params,
            source=source,
            adapter=self._adapters.find(rest.get("adapter")),
            order=order,
            cancel=self._remembered(cancel or threading.Event()),
        )
        return request if all(v is None for v in rest.values()) else formed(request, rest)

    def of_row(self, row: Row, *, cancel: threading.Event, order: Order) -> Sequence[Request]:
        """Return the requests of a row with keywords of its own, one for each of its answers.

        Raises:
            OpenAutoGLMError: something in it cannot be; says what.
        """
        if not isinstance(row.params, Mapping):
            raise InvalidParameterError(
                "`params` of a row must map names of sampling parameters to values",
                got=type(row.params).__name__,
                fix='params={"temperature": 0.7}, or leave it out',
            )
        params, rest = self.read(row.params)
        given = of_fields(row) | dict(rest)
        first = self.request(row.prompt, of_answer(params, 0), given, cancel=cancel, order=order)
        return [replace(first, params=of_answer(params, number)) for number in range(params.n)]

    def cancel_all(self) -> None:
        """End everything that was asked and is under way."""
        with self._lock:
            running = list(self._running)
        for cancel in running:
            cancel.set()

    def _remembered(self, cancel: threading.Event) -> threading.Event:
        with self._lock:
            self._running.add(cancel)
        return cancel


def formed(request: Request, given: Mapping[str, object]) -> Request:
    """Return a request whose answer has the form that keywords ask for.

    Raises:
        OpenAutoGLMError: the form cannot be; says why.
    """
    from openautoglm.engine.structured import compile_form, read_form

    form = read_form(given)
    if form is None:
        return request
    grammar = compile_form(form, request.source_text)
    return replace(request, schema=form.schema, form=form, grammar=grammar)


def each(rest: Mapping[str, object], row: int) -> Mapping[str, object]:
    """Return the keywords of one row of a batch, which has one for all or a list with one each.

    Raises:
        InvalidParameterError: a list is too short, or holds what cannot be.
    """
    return {name: of_row(name, value, ROW_KINDS[name], row) for name, value in rest.items()}


def check_lists(rest: Mapping[str, object], prompts: object) -> None:
    """Refuse a list that has more or fewer entries than there are prompts.

    Args:
        rest: the keywords of a batch.
        prompts: they, or how many there were; of those not counted yet nothing is checked.

    Raises:
        InvalidParameterError: it names the list and both numbers.
    """
    count = len(prompts) if isinstance(prompts, Sequence) else prompts
    for name, value in rest.items():
        if not isinstance(value, Sequence) or isinstance(value, (ROW_KINDS[name], str)):
            continue
        if isinstance(count, int) and len(value) != count:
            raise InvalidParameterError(
                f"`{name}` has not one entry for each prompt",
                got=f"{len(value)} entries, {count} prompts",
                fix=f"pass one for all, or a list of {count}",
            )


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidParameterError(
        f"`{name}` must be a str", got=type(value).__name__, fix=f'{name}="…", or leave it out'
    )
