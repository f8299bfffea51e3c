"""How tokens are chosen and when to stop: checked once, then trusted everywhere.

Owns `SamplingParams`. Knows nothing of models or tokenizers.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from openautoglm.errors import InvalidParameterError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SEED = 2**63 - 1
MAX_FLOAT = sys.float_info.max
OTHER_NAMES = {  # what other libraries call ours
    "max_tokens": "max_length",
    "max_new_tokens": "max_length",
    "max_completion_tokens": "max_length",
    "max_output_tokens": "max_length",
    "n_predict": "max_length",
    "temp": "temperature",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "random_seed": "seed",
    "response_format": "schema",
    "json_schema": "schema",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to generate.

    Attributes:
        max_length: most tokens to generate; the prompt does not count.
        temperature: 0 takes the likeliest token each time; higher is more varied.
        top_p: sample only from the likeliest tokens that hold this much probability; 1 is all.
        top_k: sample only from this many likeliest tokens; 0 is all.
        seed: makes sampling repeatable; None draws a fresh one. Every row of a batch starts from
            the same seed, so a row's answer does not depend on what else is in the batch.
        stop: generation ends before the first of these strings. One string is a list of one.

    Raises:
        InvalidParameterError: a value is of a wrong type or outside its range.

    Example:
        >>> SamplingParams(max_length=8, stop="###").stop
        ('###',)
    """

    max_length: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_int("max_length", self.max_length, low=1, high=None)
        _check_number("temperature", self.temperature, low=0.0, high=None)
        _check_number("top_p", self.top_p, low=0.0, high=1.0)
        if self.top_p == 0:
            raise InvalidParameterError(
                "`top_p` must be above 0", got=self.top_p, fix="use temperature=0 to be greedy"
            )
        _check_int("top_k", self.top_k, low=0, high=None)
        if self.seed is not None:
            _check_int("seed", self.seed, low=0, high=MAX_SEED)
        object.__setattr__(self, "stop", _stop_strings(self.stop))

    def override(self, changes: Mapping[str, object]) -> SamplingParams:
        """Return a copy with some values changed; one that is None keeps what it was.

        Raises:
            InvalidParameterError: an unknown name, or a value that cannot be.
        """
        check_names(changes, sampling_names())
        given: dict[str, object] = {k: v for k, v in changes.items() if v is not None}
        return replace(self, **given)  # type: ignore[arg-type] # __post_init__ checks every value


def sampling_names() -> tuple[str, ...]:
    """Return the names of all sampling parameters."""
    return tuple(f.name for f in fields(SamplingParams))


def check_names(given: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Refuse a keyword that is not known, and say which one was meant."""
    for name in given:
        if name in known:
            continue
        ours = OTHER_NAMES.get(name)
        meant = f"did you mean `{ours}`?" if ours in known else suggest(name, known)
        raise InvalidParameterError(
            f"no parameter is called `{name}`",
            got=f"known: {', '.join(sorted(known))}",
            fix=meant or "remove it, or check its name",
        )


def _check_int(name: str, value: object, *, low: int, high: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidParameterError(
            f"`{name}` must be a whole number",
            got=f"{value!r} ({type(value).__name__})",
            fix=f"pass an int, for example {name}={max(low, 1)}",
        )
    if value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"between {low} and {high}"
        raise InvalidParameterError(
            f"`{name}` must be {limits}", got=value, fix=f"pass {name}={max(low, 1)}, for example"
        )


def _check_number(name: str, value: object, *, low: float, high: float | None) -> None:
    limits = f"{low:g} or more" if high is None else f"between {low:g} and {high:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidParameterError(
            f"`{name}` must be a number",
            got=f"{value!r} ({type(value).__name__})",
            fix=f"pass a finite number, {limits}",
        )
    is_finite = isinstance(value, int) or math.isfinite(value)
    if not is_finite or value < low or value > (MAX_FLOAT if high is None else high):
        raise InvalidParameterError(
            f"`{name}` must be a finite number, {limits}", got=value, fix=f"pass {name}=1.0"
        )


def _stop_strings(value: object) -> tuple[str, ...]:
    strings = (value,) if isinstance(value, str) else value
    if not isinstance(strings, (list, tuple)) or not all(isinstance(s, str) for s in strings):
        raise InvalidParameterError(
            "`stop` must be a string or a list of strings", got=repr(value), fix='stop=["\\n\\n"]'
        )
    if not all(strings):
        raise InvalidParameterError(
            "`stop` holds an empty string", got=repr(value), fix="remove it: it would stop at once"
        )
    return tuple(strings)
