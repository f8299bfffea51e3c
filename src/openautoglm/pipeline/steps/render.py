"""`prompt.render`: values into a template, to the prompt that the model gets.

Knows nothing of models. What a template may hold is for `openautoglm.prompts` to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, final

from openautoglm.errors import InvalidParameterError, TemplateValueError
from openautoglm.pipeline.step import Step, StepContext
from openautoglm.pipeline.steps.segment import Segment


VARIABLE = re.compile(r"(?<!\{)\{([A-Za-z_]\w*)\}(?!\})")


@final
class Render(Step, frozen=True):
    """Fill a template. Set exactly one of the three.

    Its inputs are the template's variables; those of a stored prompt are known when it runs.

    Attributes:
        template: a text with `{variables}`.
        messages: chat messages, each with `role` and `content`, whose contents hold variables.
        prompt: a prompt of the store: `name`, `name@version` or `name@alias`.
    """

    outputs: ClassVar[Mapping[str, str]] = {"prompt": "the text or the chat messages"}

    template: str | None = None
    messages: tuple[dict[str, str], ...] | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("template", "messages", "prompt") if getattr(self, name)]
        if len(given) != 1:
            raise InvalidParameterError(
                "set exactly one of `template`, `messages` and `prompt`",
                got=", ".join(given) or "none of them",
            )

    def variable_inputs(self) -> tuple[str, ...] | None:
        """Return the template's variables; None for a stored prompt."""
        if self.prompt is not None:
            return None
        texts = (
            [self.template]
            if self.template
            else [m.get("content", "") for m in self.messages or ()]
        )
        names = [name for text in texts for name in VARIABLE.findall(text or "")]
        return tuple(dict.fromkeys(names))

    def run(self, *, context: StepContext, **values: object) -> Mapping[str, object]:
        """Fill the template; a `Segment` stands for its text."""
        del context
        plain = {name: _plain(name, value) for name, value in values.items()}
        return {"prompt": (self.template or "").format(**plain)}


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
