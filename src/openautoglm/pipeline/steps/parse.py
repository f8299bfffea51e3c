"""`output.parse`: a model's answer to a value: JSON, a label, or text.

Knows nothing of how the answer was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, TypeAlias, final

from openautoglm.engine.generation import Generation
from openautoglm.errors import InvalidParameterError, OutputParseError
from openautoglm.pipeline.step import Step
from openautoglm.pipeline.steps.schema import check_schema, check_value
from openautoglm.pipeline.steps.segment import Segment
from openautoglm.registry import suggest

FENCED: Final = re.compile(r"\A\s*```\w*\n(?P<inside>.*?)\n?```\s*\Z", re.DOTALL)
Offsets: TypeAlias = Mapping[str, tuple[int, int]]


@final
class Parse(Step, frozen=True):
    """Read an answer.

    Attributes:
        kind: "json"; "label", one of `labels`; or "text", without the space around it.
        schema: for "json", the JSON schema the value must follow.
        labels: for "label", those there are; how they are written does not matter.
    """

    outputs: ClassVar[Mapping[str, str]] = {
        "value": "the JSON value, the label or the text",
        "offsets": "JSON pointer of each copied value to its (start, end) in the whole text",
    }

    kind: Literal["json", "label", "text"] = "json"
    schema: dict[str, Any] | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.schema is not None:
            check_schema(self.schema)
        if (self.kind == "label") != bool(self.labels):
            raise InvalidParameterError(
                "`labels` belongs to `kind: label`, which needs it",
                got=f"kind: {self.kind}, {len(self.labels)} labels",
                fix="set both or neither",
            )

    def run(self, *, generation: Generation | str, source: object = None) -> Mapping[str, object]:
        """Read one answer.

        Args:
            generation: the answer.
            source: the `Segment` the prompt was made of; its start is added to the offsets.

        Raises:
            OutputParseError: the answer is not what it should be.
        """
        answer = _generation(generation)
        start = source.start if isinstance(source, Segment) else 0
        return {
            "value": self._value(answer),
            "offsets": {at: (a + start, b + start) for at, (a, b) in answer.offsets.items()},
        }

    def _value(self, answer: Generation) -> object:
        match self.kind:
            case "text":
                return answer.text.strip()
            case "label":
                return _label(answer.text, self.labels)
            case "json":
                value = _json(answer) if answer.parsed is None else answer.parsed
                if self.schema is not None:
                    check_value(value, self.schema)
                return value


def _generation(answer: object) -> Generation:
    if isinstance(answer, str):
        return Generation(text=answer, finish_reason="stop")
    if isinstance(answer, Generation):
        return answer
    raise OutputParseError(
        "`generation` must be a generation or a text",
        got=type(answer).__name__,
        fix="name `generation` in `each` when it is a list",
    )


def _json(answer: Generation) -> object:
    fenced = FENCED.match(answer.text)
    text = fenced["inside"] if fenced else answer.text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as cause:
        cut = answer.finish_reason == "length"
        raise OutputParseError(
            "the answer was cut at `max_length`" if cut else "the answer is not JSON",
            got=repr(answer.text[:200]),
            fix="raise `max_length`" if cut else "set `schema` on the `model.generate` step",
        ) from cause


def _label(text: str, labels: tuple[str, ...]) -> str:
    said = text.strip().strip("\"'`.。").casefold()
    found = next((label for label in labels if label.casefold() == said), None)
    if found is None:
        raise OutputParseError(
            "the answer is none of the labels",
            got=f"{text[:80]!r}; labels: {', '.join(labels)}",
            fix=suggest(said, labels) or "ask for the label alone in the prompt",
        )
    return found
