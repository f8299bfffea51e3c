"""`sample`: one token for each row of logits, as its row's parameters ask.

The filters and their order are those of transformers' logits processors (repetition, temperature,
top-k, top-p, min-p); presence and frequency are those of OpenAI's API and come after repetition, as
in vLLM. What a row gives depends on that row and its uniform number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.arrays import is_torch
from openautoglm.ops.library.terms import namespace, quiet
from openautoglm.ops.opdef import OpDef
from openautoglm.settings import need

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

COLDEST: Final = 1e-30
HOTTEST: Final = 1e30
"""Temperatures beyond these are taken as these."""
LARGEST_UNIFORM: Final = 1 - 2.0**-24
"""The largest f32 below one."""
_WORD: Final = 32
_PARAMETERS: Final = {
    "temperature": 0.0,
    "uniform": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition": 1.0,
    "presence": 0.0,
    "frequency": 0.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What of a row's distribution is kept.

    Attributes:
        temperature: divides the logits; above 0.
        top_k: tokens kept, and those as likely as the last of them; 0 and below is all.
        top_p: the likeliest tokens that hold this much are kept, of equals the lower ones; 1 and
            above is all. One is always kept.
        min_p: the least chance of a token as a share of the likeliest one's.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def probabilities(logits: Array, filters: Filters) -> Array:
    """Return the chance of each token of one row, 0 for those that are filtered out.

    Args:
        logits: (vocabulary,), finite or -inf, at least one finite.
        filters: what is kept.
    """
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    scaled = (logits - logits.max()) / min(max(filters.temperature, COLDEST), HOTTEST)
    chances = numpy.exp(scaled)
    if 0 < filters.top_k < len(logits):
        chances[logits < numpy.sort(logits)[-filters.top_k]] = 0
    if filters.top_p < 1:
        order = numpy.argsort(-logits, kind="stable")
        sums = numpy.cumsum(chances[order])
        is_over = sums - chances[order] >= filters.top_p * sums[-1]
        chances[order[1:][is_over[1:]]] = 0
    if filters.min_p > 1:
        chances[numpy.arange(len(logits)) != logits.argmax()] = 0
    elif filters.min_p > 0:
        chances[chances < filters.min_p] = 0
    kept: Array = chances / chances.sum()
    return kept


def _draw(logits: Array, row: dict[str, Any]) -> int:
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    if numpy.isnan([*map(float, row.values())]).any() or not (logits < numpy.inf).all():
        return -1
    if not (logits > -numpy.inf).any():
        return -1
    if not row["temperature"] > 0:
        return int(logits.argmax())
    names = ("temperature", "top_k", "top_p", "min_p")
    chances = probabilities(logits, Filters(**{name: row[name] for name in names}))
    sums = numpy.cumsum(chances)
    uniform = min(max(row["uniform"], 0.0), LARGEST_UNIFORM)
    above = numpy.flatnonzero((sums > uniform * sums[-1]) & (chances > 0))
    return int(above[0])


def _edit(logits: Array, edits: list[tuple[int, int, float]], row: dict[str, Any]) -> None:
    for token, count, bias in edits:
        value = logits[token] + bias
        if count >= 0:
            repetition = row["repetition"]
            value = value * repetition if value < 0 else value / repetition
        if count > 0:
            value = value - (row["presence"] + count * row["frequency"])
        logits[token] = value


def _logprob(logits: Array, token: int) -> float:
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    if token < 0 or not (logits < numpy.inf).all():
        return float("nan")
    shifted = logits - logits.max()
    return float(shifted[token] - numpy.log(numpy.exp(shifted).sum()))


def _edits_by_row(shape: tuple[int, int], edits: Any) -> list[list[tuple[int, int, float]]]:  # noqa: ANN401 - arrays or None
    rows, vocabulary = shape
    found: list[list[tuple[int, int, float]]] = [[] for _ in range(rows)]
    edited, count, bias = edits
    if edited is None:
        return found
    for index, place in enumerate(edited.tolist()):
        if 0 <= place < rows * vocabulary:
            seen = -1 if count is None else int(count[index])
            added = 0.0 if bias is None else bias[index]
            found[place // vocabulary].append((place % vocabulary, seen, added))
    return found


def _allowed(mask: Array, vocabulary: int) -> Array:
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    tokens = numpy.arange(vocabulary)
    words = numpy.zeros(max(-(-vocabulary // _WORD), len(mask)), "int64")
    words[: len(mask)] = mask
    allowed: Array = (words[tokens // _WORD] >> (tokens % _WORD)) & 1 == 1
    return allowed


def _reference(  # noqa: PLR0913, PLR0917 - the operator's own arguments
    logits: Any,  # noqa: ANN401 - arrays, as below
    temperature: Any,  # noqa: ANN401 - arrays
    uniform: Any,  # noqa: ANN401 - arrays
    top_k: Any,  # noqa: ANN401 - arrays
    top_p: Any,  # noqa: ANN401 - arrays
    min_p: Any,  # noqa: ANN401 - arrays
    repetition: Any,  # noqa: ANN401 - arrays
    presence: Any,  # noqa: ANN401 - arrays
    frequency: Any,  # noqa: ANN401 - arrays
    edited: Any,  # noqa: ANN401 - arrays
    count: Any,  # noqa: ANN401 - arrays
    bias: Any,  # noqa: ANN401 - arrays
    mask: Any,  # noqa: ANN401 - arrays
    scored: bool,  # noqa: FBT001 - an attribute of the operator
) -> Any:  # noqa: ANN401 - arrays
    given = (temperature, uniform, top_k, top_p, min_p, repetition, presence, frequency)
    values = dict(zip(_PARAMETERS, map(_host, given), strict=True))
    if uniform is None:
        values["temperature"] = None
    numbers = _host(logits)
    with quiet(numbers):
        edits = _edits_by_row(numbers.shape, (_host(edited), _host(count), _host(bias)))
        tokens, logprobs = [], []
        for index, original in enumerate(numbers):
            row = {
                name: otherwise if values[name] is None else values[name][index]
                for name, otherwise in _PARAMETERS.items()
            }
            changed = original.copy()
            _edit(changed, edits[index], row)
            if mask is not None:
                changed[~_allowed(_host(mask)[index], len(changed))] = -float("inf")
            tokens.append(_draw(changed, row))
            logprobs.append(_logprob(original, tokens[-1]) if scored else 0.0)
    return _like(tokens, "int64", logits), _like(logprobs, "float32", logits)


def _host(array: Any) -> Any:  # noqa: ANN401 - an array or None
    """Return an array of NumPy with the same values, floats in f64."""
    if array is None:
        return None
    host = array.detach().cpu().numpy() if is_torch(array) else array
    return host.astype("float64") if host.dtype.kind == "f" else host


def _like(values: list[Any], dtype: str, like: Any) -> Any:  # noqa: ANN401 - arrays
    xp = namespace(like)
    if xp.__name__ == "torch":
        return xp.tensor(values, dtype=getattr(xp, dtype), device=like.device)
    return xp.array(values, dtype=dtype)


def _row(name: str, dtype: str = "f32") -> In:
    return In(name, dtypes=(dtype,), shape=("n",), optional=True)


SAMPLE: Final = OpDef(
    "sample",
    inputs=[
        In("logits", dtypes=("f32",), shape=("n", "v")),
        _row("temperature"),
        _row("uniform"),
        _row("top_k", "i64"),
        *map(_row, ("top_p", "min_p", "repetition", "presence", "frequency")),
        In("edited", dtypes=("i64",), shape=("m",), optional=True),
        In("count", dtypes=("i64",), shape=("m",), optional=True),
        In("bias", dtypes=("f32",), shape=("m",), optional=True),
        In("mask", dtypes=("i32",), shape=("n", "w"), optional=True),
    ],
    attrs=[Attr("scored", bool, default=False)],
    outputs=[
        Out("token", shape=("n",), dtype="i64"),
        Out("logprob", shape=("n",), dtype="f32"),
    ],
    reference=_reference,
    amp="keep",
    doc="Choose a token for each row of logits, and say its log-probability.\n\n"
    "First, logits are edited where the list `edited` says, each place being row * v + token: "
    "`bias` is added; where `count` is not negative the token was seen in the row's prompt or "
    "answer, and its logit is multiplied by the repetition penalty if below 0, else divided; "
    "where it is above 0, that often in the answer, presence + count * frequency is taken "
    "off. Edits of one place are made in order; those outside are left out. Then `mask` has a "
    "bit for each token that may be taken, 32 to a word, lowest first; tokens beyond its "
    "words may not.\n\n"
    "temperature 0 (or below, or no `uniform`) takes the largest logit, of equals the lowest "
    "token. Else tokens are filtered by top_k (0 is off), top_p (1 is off) and min_p (0 is "
    "off), in this order, and the first token is taken at which the sum of chances, in the "
    "order of tokens, exceeds `uniform`, in [0, 1).\n\n"
    "A row where no token is left, a parameter or an allowed logit is NaN, or one is +inf, "
    "gives token -1 and NaN. With `scored`, logprob is that of the logits as they were given, "
    "before temperature, edits, mask and filters; else 0.",
)
"""One token for each row."""
