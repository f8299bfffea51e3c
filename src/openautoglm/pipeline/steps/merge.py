"""`output.merge`: the values of a text's segments to one value for the whole text.

Knows nothing of how the values were made.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeAlias, final

from openautoglm.errors import InvalidParameterError, OutputParseError
from openautoglm.pipeline.step import Step, StepContext
from openautoglm.pipeline.steps.render import Render

Strategy: TypeAlias = Literal["first_non_null", "vote", "join", "resummarize"]
Offsets: TypeAlias = Mapping[str, tuple[int, int]]
NO_OFFSETS: Final[Offsets] = MappingProxyType({})


@final
class Merge(Step, frozen=True):
    """Make one value of many; a single one stays as it is.

    Attributes:
        strategy: "first_non_null", for objects field by field; "vote", the value most segments
            agree on, of equals the first; "join", texts with `separator` between; "resummarize",
            texts joined and put through `template` again until one is left.
        separator: for "join" and "resummarize".
        template: for "resummarize", a prompt with the variable `{text}`.
        max_tokens: for "resummarize", most tokens of texts that are joined for one prompt.
        max_length: for "resummarize", most tokens to generate; the engine's own when left out.
    """

    outputs: ClassVar[Mapping[str, str]] = {
        "value": "the value for the whole text",
        "offsets": "JSON pointer of each copied value to its (start, end) in the whole text",
    }

    strategy: Strategy = "first_non_null"
    separator: str = "\n"
    template: str | None = None
    max_tokens: int = 512
    max_length: int | None = None

    def __post_init__(self) -> None:
        if (self.strategy == "resummarize") != (self.template is not None):
            raise InvalidParameterError(
                "`template` belongs to `strategy: resummarize`, which needs it",
                got=f"strategy: {self.strategy}",
                fix="set both or neither",
            )
        if self.template is not None:
            variables = Render(template=self.template).variable_inputs()
            if variables != ("text",):
                raise InvalidParameterError(
                    "`template` must have the variable `{text}` and no other",
                    got=", ".join(variables or ()) or "no variables",
                    fix="write {text} where the joined texts go",
                )
        for name in ("max_tokens", "max_length"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidParameterError(
                    f"`{name}` must be at least 1", got=value, fix=f"{name}: 512"
                )

    def run(
        self,
        *,
        values: Sequence[object],
        offsets: Sequence[Offsets] = (),
        context: StepContext,
    ) -> Mapping[str, object]:
        """Merge the values of the segments, in their order.

        Raises:
            OutputParseError: there are none, or they are not of the kind the strategy merges.
        """
        if isinstance(values, (str, Mapping)) or not isinstance(values, Sequence):
            raise OutputParseError(
                "`values` must be a list", got=type(values).__name__, fix="connect a list"
            )
        if not values:
            raise OutputParseError(
                "the text is empty: no segment came of it, so there is nothing to merge",
                got="no values",
                fix="pass a text that says something, also once its markup is gone",
            )
        places = [*offsets, *[NO_OFFSETS] * (len(values) - len(offsets))]
        if len(values) == 1:
            return {"value": values[0], "offsets": places[0]}
        value, found = self._merge(values, places, context)
        return {"value": value, "offsets": found}

    def _merge(
        self, values: Sequence[object], places: Sequence[Offsets], context: StepContext
    ) -> tuple[object, Offsets]:
        match self.strategy:
            case "first_non_null":
                return _first_non_null(values, places)
            case "vote":
                return _vote(values, places)
            case "join":
                return self.separator.join(_texts(values)), NO_OFFSETS
            case "resummarize":
                return self._resummarize(_texts(values), context), NO_OFFSETS

    def _resummarize(self, texts: list[str], context: StepContext) -> str:
        """Summarise summaries in groups that fit; each round leaves at most half as many."""
        prompt = Render(template=self.template)
        while len(texts) > 1:
            groups = _groups(texts, self.max_tokens, context.count_tokens)
            joined = [self.separator.join(group) for group in groups]
            prompts = [prompt.run(text=text, context=context)["prompt"] for text in joined]
            answers = context.engine.batch(prompts, max_length=self.max_length)
            texts = [answer.text.strip() for answer in answers]
        return texts[0]


def _first_non_null(values: Sequence[object], places: Sequence[Offsets]) -> tuple[object, Offsets]:
    objects = [value for value in values if isinstance(value, Mapping)]
    if len(objects) < len(values):
        index = next((i for i, value in enumerate(values) if value is not None), 0)
        return values[index], places[index]
    merged: dict[str, object] = {}
    found: dict[str, tuple[int, int]] = {}
    for value, offsets in zip(objects, places, strict=True):
        for field, inner in value.items():
            if merged.get(field) is None:
                merged[field] = inner
                found.update(_below(field, offsets))
    return merged, found


def _below(field: str, offsets: Offsets) -> dict[str, tuple[int, int]]:
    """Return the offsets of a field and of what is inside it (JSON pointers, RFC 6901)."""
    pointer = "/" + field.replace("~", "~0").replace("/", "~1")
    return {at: span for at, span in offsets.items() if (at + "/").startswith(pointer + "/")}


def _vote(values: Sequence[object], places: Sequence[Offsets]) -> tuple[object, Offsets]:
    ballots = [json.dumps(value, sort_keys=True, ensure_ascii=False) for value in values]
    winner = ballots.index(Counter(ballots).most_common(1)[0][0])
    return values[winner], places[winner]


def _texts(values: Sequence[object]) -> list[str]:
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values):
        raise OutputParseError(
            "only texts can be joined",
            got=", ".join(sorted({type(value).__name__ for value in values})),
            fix="use `strategy: first_non_null` or `vote`",
        )
    return texts


def _groups(
    texts: Sequence[str], max_tokens: int, count_tokens: Callable[[str], int]
) -> list[list[str]]:
    """Put neighbours together up to `max_tokens`, but never fewer than two."""
    groups: list[list[str]] = []
    used = 0
    for text in texts:
        tokens = count_tokens(text)
        if groups and (len(groups[-1]) < 2 or used + tokens <= max_tokens):  # noqa: PLR2004 - a pair
            groups[-1].append(text)
            used += tokens
        else:
            groups.append([text])
            used = tokens
    if len(groups) > 1 and len(groups[-1]) == 1:
        alone = groups.pop()
        groups[-1] += alone
    return groups
