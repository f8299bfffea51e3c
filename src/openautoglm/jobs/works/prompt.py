"""Rows through a prompt: a template is filled and a model answers, as text or as JSON.

Owns `PromptWork`. Knows nothing of pipelines.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import JobSpecError, OutputParseError
from openautoglm.jobs.work import Answer
from openautoglm.jobs.works.digest import of_model, of_prompts, of_value
from openautoglm.jobs.works.models import load_engine, tokens_of
from openautoglm.jobs.works.providers import of_backend
from openautoglm.prompts.syntax import parse
from openautoglm.prompts.template import PromptTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.data.source import Row
    from openautoglm.jobs.spec import JobSpec

OUTPUT: Final = "output"


@final
class PromptIntent:
    """What a template wants of a row: its variables.

    Raises:
        TemplateSyntaxError: the template cannot be read.
        JobSpecError: it is empty.
        InvalidParameterError: a sampling parameter cannot be.
        SchemaError: the schema is none.
    """

    def __init__(self, spec: JobSpec) -> None:
        SamplingParams().override(spec.sampling)
        if spec.schema is not None:
            from openautoglm.pipeline.steps.schema import check_schema

            check_schema(spec.schema)
        self.spec = spec
        self.template = read_template(spec.template or "")
        if not any(text.strip() for text in _texts(spec.template or "")):
            raise JobSpecError("the template is empty", fix='write one, such as "Sum up: {text}"')

    def inputs(self) -> tuple[str, ...]:
        """Return the variables that no setting fills."""
        return tuple(n for n in self.template.input_variables if n not in self.spec.settings)

    def takes(self) -> tuple[str, ...]:
        """Return the variables."""
        return self.template.input_variables

    def outputs(self) -> tuple[str, ...]:
        """Return the one name there is."""
        return (OUTPUT,)

    def fingerprint(self) -> Mapping[str, str]:
        """Return the digests of what is asked, how, and whom."""
        return {
            "template": of_value(self.spec.template),
            "schema": of_value(self.spec.schema),
            "sampling": of_value(self.spec.sampling),
            "options": of_value(self.spec.options),
            "model": of_model(self.spec),
            **of_prompts(self.spec),
            **of_backend(self.spec.backend),
        }

    def open(self) -> PromptWork:
        """Load the model; errors as `AutoGLM`."""
        return PromptWork(self)


@final
class PromptWork:
    """Ask a model once for each row."""

    def __init__(self, intent: PromptIntent) -> None:
        self._intent = intent
        self._template = intent.template
        self._names = frozenset(intent.template.input_variables)
        self._settings = intent.spec.settings
        self._schema = intent.spec.schema
        self._engine = load_engine(intent.spec)

    def inputs(self) -> tuple[str, ...]:
        """See `PromptIntent.inputs`."""
        return self._intent.inputs()

    def fingerprint(self) -> Mapping[str, str]:
        """See `PromptIntent.fingerprint`."""
        return self._intent.fingerprint()

    def answer(self, values: Row) -> Answer:
        """Fill the template and ask.

        Raises:
            TemplateValueError: a value is missing or null.
            OutputParseError: there was a schema and the answer ended before it was whole.
            OpenAutoGLMError: as `AutoGLM.run`.
        """
        given = {**self._settings, **values}
        shown = {name: _shown(given[name]) for name in self._names if name in given}
        prompt = self._template.format(**shown)
        generation = self._engine.run(cast("str", prompt), schema=self._schema)
        tokens = tokens_of(generation)
        if self._schema is None:
            return Answer(outputs={OUTPUT: generation.text}, tokens=tokens)
        if generation.finish_reason != "stop":
            raise OutputParseError(
                "the answer ended before its JSON was whole",
                got=f"{generation.finish_reason}: …{generation.text[-80:]}",
                fix="raise max_length, or ask for less",
            )
        return Answer(outputs={OUTPUT: generation.parsed}, tokens=tokens)

    def close(self) -> None:
        """Give back the model."""
        self._engine.close()


def read_template(template: str | tuple[Mapping[str, str], ...]) -> PromptTemplate:
    """Return a text, or the messages of a chat, as a template; errors as `PromptTemplate`."""
    if isinstance(template, str):
        return cast("PromptTemplate", PromptTemplate(template, parse(template).names()))
    messages = [dict(message) for message in template]
    names = [name for m in messages for name in parse(str(m.get("content", ""))).names()]
    return cast("PromptTemplate", PromptTemplate(messages, tuple(dict.fromkeys(names))))


def _texts(template: str | tuple[Mapping[str, str], ...]) -> list[str]:
    if isinstance(template, str):
        return [template]
    return [str(message.get("content", "")) for message in template]


def _shown(value: object) -> object:
    """Return lists, objects and truth values as the JSON they came from."""
    if isinstance(value, (list, dict, bool)):
        return json.dumps(value, ensure_ascii=False)
    return value
