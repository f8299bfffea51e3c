"""`prompt.render`: values into a template, to the prompt that the model gets.

Knows nothing of models. What a template may hold is for `openautoglm.prompts` to say.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, final

from openautoglm.errors import InvalidParameterError, TemplateValueError
from openautoglm.pipeline.step import Step
from openautoglm.pipeline.steps.segment import Segment
from openautoglm.prompts.syntax import parse
from openautoglm.prompts.template import PromptTemplate

if TYPE_CHECKING:
    from openautoglm.pipeline.step import StepContext


@final
class Render(Step, frozen=True):
    """Fill a template. Set exactly one of the three.

    Its inputs are the template's variables; those of a stored prompt are known when it runs.

    Attributes:
        template: a text with `{variables}`.
        messages: chat messages, each with `role` and `content`, whose contents hold variables.
        prompt: a prompt of the store: `name`, `name@version` or `name@alias`.

    Example:
        >>> Render(template="Summarise: {text}").variable_inputs()
        ('text',)
    """

    outputs: ClassVar[Mapping[str, str]] = {"prompt": "the text or the chat messages"}

    template: str | None = None
    messages: tuple[dict[str, str], ...] | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        names = ("template", "messages", "prompt")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidParameterError(
                "set exactly one of `template`, `messages` and `prompt`",
                got=", ".join(given) or "none of them",
                fix="remove the others" if given else "add `template: …`",
            )
        self._written()

    def variable_inputs(self) -> tuple[str, ...] | None:
        """Return the template's variables; None for a stored prompt."""
        template = self._written()
        return None if template is None else template.input_variables

    def run(self, *, context: StepContext, **values: object) -> Mapping[str, object]:
        """Fill the template; a `Segment` stands for its text.

        Raises:
            TemplateValueError: a value is missing, not expected, None or a list.
            PromptNotFoundError: the store holds no such prompt.
        """
        template = self._written() or context.stored_template(str(self.prompt))
        return {"prompt": template.format(**{n: _plain(n, v) for n, v in values.items()})}

    def _written(self) -> PromptTemplate | None:
        if self.template is not None:
            return _text_template(self.template)
        if self.messages is not None:
            return _chat_template(tuple(tuple(message.items()) for message in self.messages))
        return None


@lru_cache(maxsize=256)
def _text_template(text: str) -> PromptTemplate:
    return PromptTemplate(text, parse(text).names())


@lru_cache(maxsize=256)
def _chat_template(
    messages: tuple[tuple[tuple[str, str], ...], ...],
) -> PromptTemplate:
    chat = [dict(message) for message in messages]
    names = [name for m in chat for name in parse(m.get("content", "")).names()]
    return PromptTemplate(chat, tuple(dict.fromkeys(names)))


def _plain(name: str, value: object) -> object:
    if isinstance(value, Segment):
        return value.text
    if isinstance(value, (list, tuple)):
        raise TemplateValueError(
            f"the variable `{name}` got a list",
            got=f"{len(value)} items",
            fix=f"name `{name}` in `each` to render the template for every item",
        )
    return value
