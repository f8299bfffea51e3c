"""How tokens are chosen and when to stop: checked once, then trusted everywhere.

Owns `SamplingParams` and `Overrides`. Knows nothing of models, tokenizers or backends.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Rational, Real
from typing import Final, TypeAlias, TypedDict, cast

from openautoglm.errors import InvalidParameterError
from openautoglm.registry import suggest

Bias: TypeAlias = Mapping[int, float] | Sequence[tuple[int, float]]
Pairs: TypeAlias = Sequence[tuple[object, object]]

MAX_SEED = 2**63 - 1
MAX_FLOAT = sys.float_info.max
MAX_PENALTY: Final = 2.0
MOST: Final = {"temperature": 1e30, "repetition_penalty": 1e6}
"""Where they are above 0 they lie between this and one through this: logits are float32."""
MAX_BIAS: Final = 100.0
MAX_TOKEN: Final = 2**31
MAX_ANSWERS: Final = 128
MAX_LOGPROBS: Final = 20
MAX_STOPS: Final = 128
"""Each is looked for at every token of every row."""
BASIC: Final = ("max_length", "temperature", "top_p", "top_k", "seed", "stop")
"""What every backend honours."""
OTHER_NAMES = {  # what other libraries call ours
    "max_tokens": "max_length",
    "max_new_tokens": "max_length",
    "max_completion_tokens": "max_length",
    "max_output_tokens": "max_length",
    "n_predict": "max_length",
    "min_new_tokens": "min_tokens",
    "repeat_penalty": "repetition_penalty",
    "best_of": "n",
    "num_return_sequences": "n",
    "top_logprobs": "logprobs",
    "temp": "temperature",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "random_seed": "seed",
    "json_schema": "schema",
    "guided_json": "schema",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "choices": "choice",
    "ebnf": "grammar",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to generate.

    Attributes:
        max_length: most tokens to generate; the prompt does not count.
        temperature: 0 takes the likeliest token each time; higher is more varied.
        top_p: sample only from the likeliest tokens that hold this much probability; 1 is all.
        top_k: sample only from this many likeliest tokens; 0 is all.
        min_p: sample only from tokens at least this share as likely as the likeliest; 0 is all.
        repetition_penalty: above 1 makes tokens of the prompt and the answer less likely (a logit
            above 0 is divided by it, another multiplied); 1 is off.
        presence_penalty: taken off the logit of every token that is in the answer already.
        frequency_penalty: taken off it as often as the token is in the answer already.
        logit_bias: token ids and what is added to their logits. Kept as pairs, lowest id first.
        seed: makes sampling repeatable; None draws a fresh one. Every row of a batch starts from
            the same seed, so a row's answer does not depend on what else is in the batch.
        stop: generation ends before the first of these strings, 128 at most. One string is a list
            of one.
        min_tokens: the model may not end its answer before so many tokens.
        n: how many answers to a prompt.
        logprobs: say how likely each token was, and this many of the likeliest tokens in its
            place; None says nothing.

    Numbers of NumPy and the like are kept as Python's own; a bool is no number.

    `BASIC` are honoured by every backend, the others where `ModelInfo.sampling` names them; where
    it does not, they are refused.

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
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Bias = ()
    seed: int | None = None
    stop: Sequence[str] = ()
    min_tokens: int = 0
    n: int = 1
    logprobs: int | None = None

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            object.__setattr__(self, name, _plain(getattr(self, name)))
        _check_int("max_length", self.max_length, low=1, high=None)
        _check_factor("temperature", self.temperature, fix="use 0 to be greedy")
        _check_number("top_p", self.top_p, low=0.0, high=1.0)
        if self.top_p == 0:
            raise InvalidParameterError(
                "`top_p` must be above 0", got=self.top_p, fix="use temperature=0 to be greedy"
            )
        _check_int("top_k", self.top_k, low=0, high=None)
        self._check_penalties()
        self._check_counts()
        if self.seed is not None:
            _check_int("seed", self.seed, low=0, high=MAX_SEED)
        object.__setattr__(self, "stop", _stop_strings(self.stop))
        object.__setattr__(self, "logit_bias", _bias_pairs(self.logit_bias))

    @property
    def beyond_basic(self) -> tuple[str, ...]:
        """Names of what is asked for that not every backend honours.

        Example:
            >>> SamplingParams(temperature=0.5, min_p=0.1).beyond_basic
            ('min_p',)
        """
        more = (f for f in fields(self) if f.name not in BASIC)
        return tuple(f.name for f in more if getattr(self, f.name) != f.default)

    @property
    def bias_pairs(self) -> tuple[tuple[int, float], ...]:
        """`logit_bias` as it is kept: token ids, the lowest first, and what is added."""
        return cast("tuple[tuple[int, float], ...]", self.logit_bias)

    def _check_penalties(self) -> None:
        _check_number("min_p", self.min_p, low=0.0, high=1.0)
        _check_factor("repetition_penalty", self.repetition_penalty, fix="use 1.0 for no penalty")
        if self.repetition_penalty == 0:
            raise InvalidParameterError(
                "`repetition_penalty` must be above 0", got=0, fix="use 1.0 for no penalty"
            )
        for name in ("presence_penalty", "frequency_penalty"):
            _check_number(name, getattr(self, name), low=-MAX_PENALTY, high=MAX_PENALTY)

    def _check_counts(self) -> None:
        _check_int("min_tokens", self.min_tokens, low=0, high=None)
        if self.min_tokens > self.max_length:
            raise InvalidParameterError(
                "`min_tokens` must be at most `max_length`",
                got=f"min_tokens={self.min_tokens}, max_length={self.max_length}",
                fix=f"raise max_length, or pass min_tokens={self.max_length} or less",
            )
        _check_int("n", self.n, low=1, high=MAX_ANSWERS)
        if self.logprobs is not None:
            _check_int("logprobs", self.logprobs, low=0, high=MAX_LOGPROBS)

    def override(self, changes: Mapping[str, object]) -> SamplingParams:
        """Return a copy with some values changed; one that is None keeps what it was.

        Raises:
            InvalidParameterError: an unknown name, or a value that cannot be.
        """
        check_names(changes, sampling_names())
        given: dict[str, object] = {k: v for k, v in changes.items() if v is not None}
        return replace(self, **given)  # type: ignore[arg-type] # __post_init__ checks every value


_NUMBERS: Final = tuple(
    f.name for f in fields(SamplingParams) if f.name not in {"stop", "logit_bias"}
)


class Overrides(TypedDict, total=False):
    """What may differ from call to call; see `SamplingParams`. None keeps the engine's value."""

    max_length: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    seed: int | None
    stop: str | Sequence[str] | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    min_tokens: int | None
    n: int | None
    logprobs: int | None


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


def _plain(value: object) -> object:
    """Return a number of another library, such as NumPy, as Python's own; all else as it is."""
    if type(value) in {int, float, bool, type(None)}:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Rational):  # a fraction may be too large
        return float(value)
    return value


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


def _check_factor(name: str, value: float, *, fix: str) -> None:
    _check_number(name, value, low=0.0, high=None)
    most = MOST[name]
    if value and not 1 / most <= value <= most:
        raise InvalidParameterError(
            f"`{name}` must be between {1 / most:g} and {most:g}", got=f"{value:g}", fix=fix
        )


def _check_number(
    name: str, value: object, *, low: float, high: float | None, example: str = ""
) -> None:
    limits = f"{low:g} or more" if high is None else f"between {low:g} and {high:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidParameterError(
            f"`{name}` must be a number",
            got=f"{value!r} ({type(value).__name__})",
            fix=f"pass a finite number, {limits}{example and f': {example}'}",
        )
    is_finite = isinstance(value, int) or math.isfinite(value)
    if not is_finite or value < low or value > (MAX_FLOAT if high is None else high):
        raise InvalidParameterError(
            f"`{name}` must be a finite number, {limits}",
            got=str(value)[:40],
            fix=f"pass {example or f'{name}=1.0'}",
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
    if len(strings) > MAX_STOPS:
        raise InvalidParameterError(
            "`stop` holds too many strings",
            got=f"{len(strings)}, at most {MAX_STOPS}",
            fix="pass the few that end an answer, or say what it may be with `regex` or `schema`",
        )
    return tuple(strings)


def _bias_pairs(value: object) -> tuple[tuple[int, float], ...]:
    pairs: object = list(value.items()) if isinstance(value, Mapping) else value
    is_pairs = isinstance(pairs, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2  # noqa: PLR2004 - a pair
        for pair in pairs
    )
    if not is_pairs:
        raise InvalidParameterError(
            "`logit_bias` must map token ids to numbers", got=repr(value), fix="logit_bias={42: -5}"
        )
    checked = {_token(token): _bias(bias) for token, bias in cast("Pairs", pairs)}
    return tuple(sorted(checked.items()))


def _token(token: object) -> int:
    if isinstance(token, str) and token.isascii() and token.isdigit():
        token = int(token)  # JSON has no other keys
    token = _plain(token)
    if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < MAX_TOKEN:
        raise InvalidParameterError(
            "`logit_bias` must have token ids as keys, whole numbers of at least 0",
            got=repr(token),
            fix="logit_bias={42: -5}",
        )
    return token


def _bias(bias: object) -> float:
    bias = _plain(bias)
    _check_number("logit_bias", bias, low=-MAX_BIAS, high=MAX_BIAS, example="logit_bias={42: -5}")
    return float(bias)  # type: ignore[arg-type]  # a number, as just checked
