"""The model of a pipeline for its steps in workers: asked for on the bus, answered by the host.

Owns `LentEngine`, what such a step finds as `context.engine`, and `lender`, which answers with the
engine of that very run. Knows nothing of sockets and of who may ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast, final

import msgspec

from openautoglm import bus
from openautoglm.engine.asking import check_lists
from openautoglm.engine.backend import failed
from openautoglm.engine.prompt import read_prompt
from openautoglm.engine.rows import check_on_error, check_prompts, in_row, of_row
from openautoglm.engine.sampling import SamplingParams
from openautoglm.engine.structured.form import FORM_KEYWORDS, read_form
from openautoglm.engine.wire import generation_from, plain_generation
from openautoglm.errors import (
    BusDeniedError,
    MessageError,
    OpenAutoGLMError,
    RespondFailedError,
)
from openautoglm.plugins import loans
from openautoglm.plugins.host.serving import call_timeout_s

if TYPE_CHECKING:
    import threading

    from openautoglm.engine.generation import Generation
    from openautoglm.pipeline.step import Engine, StepContext

FORMS: Final = frozenset(FORM_KEYWORDS) - {"schema"}
ROWS: Final = 16
"""Prompts in one request at most."""

Schema = Mapping[str, object]


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One prompt of a request."""

    prompt: str | list[dict[str, str]]
    schema: dict[str, Any] | None = None
    source: str | None = None


class Asked(msgspec.Struct, forbid_unknown_fields=True, tag_field="method"):
    """What all requests say.

    Attributes:
        loan: which run's model.
    """

    loan: str


class Run(Asked, tag="run"):
    """One prompt; an error is the reply's."""

    row: Row
    overrides: dict[str, Any]


class Batch(Asked, tag="batch"):
    """Several prompts; an error is that of its row."""

    rows: Annotated[list[Row], msgspec.Meta(max_length=ROWS)]
    overrides: dict[str, Any]


class CountTokens(Asked, tag="count_tokens"):
    """A text; the reply is a number."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class LentEngine:
    """The model of the pipeline that a step in a worker belongs to, while its call runs.

    May be used from several threads of the call.

    Attributes:
        loan: the name under which the host lent it.
    """

    loan: str

    def run(
        self,
        prompt: object,
        *,
        schema: Schema | None = None,
        source: str | None = None,
        **overrides: object,
    ) -> Generation:
        """Answer one prompt; arguments and errors as `AutoGLM.run`.

        Raises:
            BusDeniedError: the plugin has no permission `call:model.generate`.
            DeadlineExceededError: no answer came in the time that the plugin's calls have.
            RespondFailedError: the call that the model was lent to is over.
        """
        _check(overrides)
        row = _row(prompt, schema, source)
        return _generation(_ask(Run(loan=self.loan, row=row, overrides=overrides)))

    def batch(
        self,
        prompts: Iterable[object],
        *,
        schema: Schema | Sequence[Schema | None] | None = None,
        source: str | Sequence[str | None] | None = None,
        on_error: Literal["raise", "keep"] = "raise",
        **overrides: object,
    ) -> Iterator[Generation]:
        """Answer many in order, reading them as needed; arguments and errors as `AutoGLM.batch`."""
        check_on_error(on_error)
        check_prompts(prompts)
        check_lists({"schema": schema, "source": source}, prompts)
        _check(overrides)
        rows = (_row_or_error(p, schema, source, row) for row, p in enumerate(prompts))
        return self._answers(rows, overrides, keeps_errors=on_error == "keep")

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` takes; errors as `run`."""
        return cast("int", _ask(CountTokens(loan=self.loan, text=text)))

    def _answers(
        self,
        rows: Iterator[Row | OpenAutoGLMError],
        overrides: dict[str, object],
        *,
        keeps_errors: bool,
    ) -> Iterator[Generation]:
        row = 0
        while window := list(islice(rows, ROWS)):
            sent = [each for each in window if isinstance(each, Row)]
            asked = Batch(loan=self.loan, rows=sent, overrides=overrides)
            answers = map(_generation, cast("list[object]", _ask(asked)) if sent else ())
            for each in window:
                answer = next(answers) if isinstance(each, Row) else failed(each, model="")
                if answer.error is not None and not keeps_errors:
                    raise in_row(answer.error, row) from answer.error
                yield answer
                row += 1


def lender(context: StepContext) -> loans.Lender:
    """Return what answers requests with the engine that a step of this process would get.

    What it answers while the call ends is cancelled where the engine can be, at its next token.
    """

    def answer(payload: Mapping[str, object], over: threading.Event) -> object:
        try:
            asked: Run | Batch | CountTokens = msgspec.convert(payload, Run | Batch | CountTokens)
        except msgspec.ValidationError as cause:
            raise MessageError(
                "a request is none that a pipeline's model answers",
                got=str(cause),
                fix="use `context.engine` of a pipeline's step",
            ) from cause
        if not isinstance(asked, CountTokens):  # who asks need not be a `LentEngine`
            _check(asked.overrides)
        engine = context.engine
        match asked:
            case Run():
                return plain_generation(_run(engine, asked, over))
            case Batch():
                return [plain_generation(each) for each in _batch(engine, asked, over)]
            case CountTokens():
                return engine.count_tokens(asked.text)

    return answer


def _check(overrides: Mapping[str, object]) -> None:
    """Refuse what no model would take; a form is one for all prompts."""
    form = {name: value for name, value in overrides.items() if name in FORMS}
    SamplingParams().override({k: v for k, v in overrides.items() if k not in form})
    read_form(form)


def _run(engine: Engine, asked: Run, over: threading.Event) -> Generation:
    row = asked.row
    options = {"schema": row.schema, "source": row.source, **asked.overrides}
    stream = getattr(engine, "stream", None)
    if stream is None:
        return engine.run(row.prompt, **options)
    pieces = stream(row.prompt, **options)
    for _ in pieces:
        if over.is_set():
            pieces.cancel()
    return cast("Generation", pieces.generation)


def _batch(engine: Engine, asked: Batch, over: threading.Event) -> Iterator[Generation]:
    schemas = [row.schema for row in asked.rows]
    sources = [row.source for row in asked.rows]
    answers = engine.batch(
        [row.prompt for row in asked.rows],
        schema=schemas if any(schema is not None for schema in schemas) else None,
        source=sources if any(source is not None for source in sources) else None,
        on_error="keep",
        **asked.overrides,
    )
    for answer in answers:
        if over.is_set():
            raise RespondFailedError("the call that the model was lent to is over")
        yield answer


def _ask(asked: Run | Batch | CountTokens) -> object:
    payload = cast("dict[str, object]", msgspec.to_builtins(asked))
    if loans.is_here(asked.loan):
        return loans.answered(payload)
    try:
        return bus.request(loans.MODEL, payload, deadline_s=call_timeout_s()).payload
    except BusDeniedError as cause:
        raise BusDeniedError(
            f"a step in a worker gets the model only with the permission `call:{loans.MODEL}`",
            got=cause.problem,
            fix=f'write permissions = ["call:{loans.MODEL}"] under [tool.openautoglm.plugin] in '
            "its pyproject.toml; the host needs a bus: PluginHost(bus=...)",
        ) from cause


def _row_or_error(
    prompt: object, schema: object, source: object, row: int
) -> Row | OpenAutoGLMError:
    try:
        return _row(
            prompt, of_row("schema", schema, Mapping, row), of_row("source", source, str, row)
        )
    except OpenAutoGLMError as error:
        return error


def _row(prompt: object, schema: object, source: object) -> Row:
    read = read_prompt(prompt)
    return Row(
        prompt=read if isinstance(read, str) else [message._asdict() for message in read],
        schema=None if schema is None else dict(cast("Schema", schema)),
        source=cast("str | None", source),
    )


def _generation(plain: object) -> Generation:
    return generation_from(cast("Mapping[str, object]", plain))
