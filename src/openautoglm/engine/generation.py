"""What a model answered: text, why it ended, what it cost.

Owns `Generation`, `TokenLogprob` and `Timings`. Knows nothing of who generates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.errors import OpenAutoGLMError

FinishReason: TypeAlias = Literal["stop", "length", "cancelled", "error"]
Json: TypeAlias = object  # null, bool, number, string, list of Json, dict of string to Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time of one generation went, in seconds of a monotonic clock.

    Attributes:
        queue_s: from the request to the start of the work, waiting for its batch or worker.
        first_token_s: from the start of the work to the first token; None when there was none.
        total_s: from the start of the work to the last token.
    """

    queue_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """How likely one token of an answer was, before temperature, penalties and filters.

    Attributes:
        token: its text.
        logprob: the natural logarithm of its probability.
        top: text and logprob of the likeliest tokens in its place, the likeliest first.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer. `str(generation)` is its text.

    Attributes:
        text: what was generated, without the prompt, the stop string and the end-of-text token.
        finish_reason: "stop" (the model ended, a stop string came, or the schema was complete),
            "length" (`max_length` tokens, or the context is full), "cancelled", "error".
        prompt_tokens: tokens the model read, chat template included.
        completion_tokens: tokens it generated, those of a stop string included and the
            end-of-text token not.
        timings: where the time went.
        parsed: the JSON value of the text when a schema was given and the text is whole.
        offsets: JSON pointer of each `x-extractive` value to its (start, end) in characters of
            the source text.
        model: name of the model.
        error: what went wrong when `finish_reason` is "error".
        logprobs: one for each token, where `SamplingParams.logprobs` asks for them.
        left_out: tokens of the prompt that the model did not read, because it was too long and the
            option `truncate` asked to shorten it.
        others: the other answers to the prompt, where `SamplingParams.n` is above 1.

    Example:
        >>> print(Generation(text="hello", finish_reason="stop", model="echo"))
        hello
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int = 0
    completion_tokens: int = 0
    timings: Timings = field(default_factory=Timings)
    parsed: Json = None
    offsets: Mapping[str, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    model: str = ""
    error: OpenAutoGLMError | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    left_out: int = 0
    others: tuple[Generation, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __getstate__(self) -> dict[str, object]:
        """Return what `pickle` and `copy.deepcopy` keep; a mapping that is read-only is none."""
        state = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**state, "offsets": dict(self.offsets)}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "offsets", MappingProxyType(self.offsets))
