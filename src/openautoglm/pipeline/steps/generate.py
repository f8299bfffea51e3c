"""`model.generate`: prompts to answers, as many at a time as there are.

Knows nothing of templates or of how answers are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast, final

from openautoglm.engine.sampling import SamplingParams, sampling_names
from openautoglm.engine.structured.form import FORM_KEYWORDS, read_form
from openautoglm.errors import InvalidPromptError
from openautoglm.pipeline.step import Step, StepContext
from openautoglm.pipeline.steps.schema import check_schema
from openautoglm.pipeline.steps.segment import Segment

if TYPE_CHECKING:
    from openautoglm.engine.generation import Generation

Outputs: TypeAlias = Mapping[str, object]


@final
class Generate(Step, frozen=True):
    """Answer a prompt, or each of a list of prompts.

    Attributes:
        schema: JSON schema the answer must follow. A text property with `x-extractive: true` is
            copied from `source`.
        regex: a regular expression the whole answer must match, in place of a schema.
        choice: texts of which the answer must be one.
        grammar: what the answer must follow, as Lark or GBNF.
        response_format: any of these as OpenAI writes it.
        max_length: most tokens to generate; like all below, the engine's own when left out.
        temperature: 0 is greedy.
        top_p: see `SamplingParams`, also the others.
        top_k: likeliest tokens to sample from.
        seed: makes sampling repeatable.
        stop: generation ends before the first of these.
        min_p: least chance of a token as a share of the likeliest one's.
        repetition_penalty: above 1 against tokens of the prompt and the answer.
        presence_penalty: against tokens of the answer.
        frequency_penalty: the same, as often as they are there.
        logit_bias: token ids and what is added to their logits.
        min_tokens: tokens before which the model may not end.
        n: answers to each prompt; all but the first are the generation's `others`.
        logprobs: likeliest tokens to name in each place.
    """

    outputs: ClassVar[Mapping[str, str]] = {
        "generation": "the `Generation`, or a list of them for a list of prompts",
        "text": "its text, or a list of texts",
    }

    schema: dict[str, Any] | None = None
    regex: str | None = None
    choice: tuple[str, ...] | None = None
    grammar: str | None = None
    response_format: dict[str, Any] | None = None
    max_length: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    min_tokens: int | None = None
    n: int | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        SamplingParams().override(self._overrides())
        if self.schema is not None:
            check_schema(self.schema)
        read_form({"schema": self.schema, **self._form()})

    def run(self, *, prompt: object, source: object = None, context: StepContext) -> Outputs:
        """Answer one prompt, or a list of them.

        Args:
            prompt: a text, chat messages, or a list of either.
            source: the text or `Segment` that copied values come from; default the prompt.
            context: the engine.
        """
        (answer,) = self.run_batch([{"prompt": prompt, "source": source}], context=context)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run_batch(
        self, calls: Sequence[Mapping[str, object]], *, context: StepContext
    ) -> Sequence[Outputs | Exception]:
        """Answer the prompts of all calls with one call of the engine."""
        lists = [_prompts(call["prompt"]) for call in calls]
        prompts = [prompt for prompts in lists for prompt in prompts]
        sources = [_text(c.get("source")) for c, ps in zip(calls, lists, strict=True) for _ in ps]
        answers = iter(
            context.engine.batch(
                prompts,
                schema=self.schema,
                source=sources if any(source is not None for source in sources) else None,
                on_error="keep",
                **self._form(),
                **self._overrides(),
            )
        )
        return [
            _answer([next(answers) for _ in prompts], many=_is_many(call["prompt"]))
            for call, prompts in zip(calls, lists, strict=True)
        ]

    def _form(self) -> dict[str, object]:
        values = ((name, getattr(self, name)) for name in FORM_KEYWORDS if name != "schema")
        return {name: value for name, value in values if value is not None}

    def _overrides(self) -> dict[str, object]:
        values = ((name, getattr(self, name)) for name in sampling_names())
        return {name: value for name, value in values if value is not None}


def _is_many(prompt: object) -> bool:
    """A chat is a list of mappings; a list of anything else is a list of prompts."""
    return isinstance(prompt, (list, tuple)) and not (prompt and isinstance(prompt[0], Mapping))


def _prompts(prompt: object) -> list[object]:
    return list(cast("Sequence[object]", prompt)) if _is_many(prompt) else [prompt]


def _text(source: object) -> str | None:
    if isinstance(source, Segment):
        return source.text
    if source is None or isinstance(source, str):
        return source
    raise InvalidPromptError(
        "`source` must be a text or a segment",
        got=type(source).__name__,
        fix="name `source` in `each` when it is a list",
    )


def _answer(generations: list[Generation], *, many: bool) -> Outputs | Exception:
    for generation in generations:
        if generation.error is not None:
            return generation.error
    if many:
        return {"generation": generations, "text": [g.text for g in generations]}
    return {"generation": generations[0], "text": generations[0].text}
