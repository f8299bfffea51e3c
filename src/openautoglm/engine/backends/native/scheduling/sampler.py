"""Tokens chosen by the operator `sample`: a sampler as the scheduler wants it.

Owns `OperatorSampler` and what it reads from `SamplingParams`. A row costs what it asks for: a step
in which all are greedy hands over nothing but logits.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

import numpy as np

from openautoglm.engine.backends.native.scheduling.faces import Chosen
from openautoglm.engine.randomness import Stream
from openautoglm.errors import InvalidParameterError
from openautoglm.ops import catalog

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.scheduling.faces import Draw, Logits
    from openautoglm.engine.sampling import SamplingParams

    Array = np.ndarray[Any, np.dtype[Any]]

UNSEEN: Final = -1
"""The count of a token that is edited but was not seen."""
FLOATS: Final = {
    "temperature": ("temperature", 0.0),
    "top_p": ("top_p", 1.0),
    "min_p": ("min_p", 0.0),
    "repetition": ("repetition_penalty", 1.0),
    "presence": ("presence_penalty", 0.0),
    "frequency": ("frequency_penalty", 0.0),
}
"""The operator's name, that of `SamplingParams`, and what changes nothing."""


class ScoredToken(NamedTuple):
    """A token that was chosen, its logprob, and the likeliest in its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class _Notes:
    """What a row keeps from step to step: its random numbers, and how often it saw each token."""

    __slots__ = ("_counted", "_counts", "stream")

    def __init__(self, draw: Draw) -> None:
        self.stream = Stream(draw.seed) if draw.seed is not None else None
        self._counts: Counter[int] = Counter()
        self._counted = 0

    def counts(self, draw: Draw) -> dict[int, int]:
        """Return how often each token of the row is in its answer; 0 is in its prompt alone."""
        if not self._counted:
            self._counts.update(dict.fromkeys(draw.ids[: draw.prompt_tokens], 0))
            self._counted = draw.prompt_tokens
        for token in draw.ids[self._counted :]:
            self._counts[token] += 1
        self._counted = len(draw.ids)
        return self._counts


@final
class OperatorSampler:
    """Choose the tokens of all rows by one call of the operator."""

    def choose(self, logits: Logits, draws: Many[Draw]) -> Chosen:
        """Choose one token per row of logits.

        Raises:
            InvalidParameterError: a bias for a token that the model does not have.
        """
        sample: Any = catalog.get("sample")  # it may be replaced
        params = [cast("SamplingParams", draw.params) for draw in draws]
        is_masked = any(draw.mask is not None for draw in draws)
        if _are_plain(params, draws):
            given = {"mask": _masks(draws, logits.shape[1])} if is_masked else {}
            return Chosen(sample(logits, **given)[0])
        scored = any(one.logprobs is not None for one in params)
        given = _arrays(params, draws)
        edits = [
            _edits(one, draw, logits.shape[1]) for one, draw in zip(params, draws, strict=True)
        ]
        if any(edits):
            given |= _edit_arrays(edits, logits.shape[1])
        if is_masked:
            given["mask"] = _masks(draws, logits.shape[1])
        tokens, logprobs = sample(logits, **given, scored=scored)
        if not scored:
            return Chosen(tokens)
        return Chosen(
            tokens,
            [
                None if one.logprobs is None else _scored(row, int(token), float(logprob), one)
                for row, token, logprob, one in zip(logits, tokens, logprobs, params, strict=True)
            ],
        )

    def remembers(self, draw: Draw) -> bool:
        """Whether a token depends on those before: by chance, whose numbers go on, or penalties."""
        one = cast("SamplingParams", draw.params)
        is_penalized = one.presence_penalty or one.frequency_penalty
        return bool(one.temperature or one.repetition_penalty != 1 or is_penalized)

    def takes_largest(self, draw: Draw) -> bool:
        """Whether a row takes the largest logit that may come."""
        return _is_plain(cast("SamplingParams", draw.params)) and not draw.banned


def _are_plain(params: list[SamplingParams], draws: Many[Draw]) -> bool:
    """Return whether all rows take the largest of their logits as they are, masks apart."""
    different = {id(one): one for one in params}.values()  # a batch shares most of them
    is_plain = all(_is_plain(one) for one in different)
    return is_plain and not any(draw.banned for draw in draws)


def _is_plain(one: SamplingParams) -> bool:
    is_scored = one.logprobs is not None
    is_edited = one.presence_penalty or one.frequency_penalty or one.bias_pairs
    return not (one.temperature or one.repetition_penalty != 1 or is_edited or is_scored)


def _arrays(params: list[SamplingParams], draws: Many[Draw]) -> dict[str, Array]:
    """Return the operator's parameters, those alone that some row asks for."""
    if all(one.temperature == 0 for one in params):
        return _columns(params, ("repetition", "presence", "frequency"))
    given = _columns(params, tuple(FLOATS))
    if any(one.top_k for one in params):
        # more than any vocabulary is all
        given["top_k"] = np.array([min(one.top_k, 2**31) for one in params], np.int64)
    uniform = [
        _uniform(draw) if one.temperature else 0.0 for one, draw in zip(params, draws, strict=True)
    ]
    return {**given, "uniform": np.array(uniform, np.float32)}


def _columns(params: list[SamplingParams], names: tuple[str, ...]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name in names:
        field, otherwise = FLOATS[name]
        values = [getattr(one, field) for one in params]
        if any(value != otherwise for value in values):
            found[name] = np.array(values, np.float32)
    return found


def _uniform(draw: Draw) -> float:
    stream = _notes(draw).stream
    return 0.0 if stream is None else stream.at(len(draw.ids) - draw.prompt_tokens)


def _notes(draw: Draw) -> _Notes:
    if not isinstance(draw.notes, _Notes):
        draw.notes = _Notes(draw)
    return draw.notes


def _edits(params: SamplingParams, draw: Draw, vocabulary: int) -> list[tuple[int, int, float]]:
    """Return (token, count, bias) of what changes in a row's logits."""
    edits = [(token, UNSEEN, bias) for token, bias in params.bias_pairs]
    if edits and edits[-1][0] >= vocabulary:
        raise InvalidParameterError(
            "`logit_bias` names a token that the model does not have",
            got=f"{edits[-1][0]}; the model has {vocabulary}",
            fix=f"use ids below {vocabulary}",
        )
    penalized = params.presence_penalty or params.frequency_penalty
    if params.repetition_penalty != 1:
        edits += [(token, count, 0.0) for token, count in _notes(draw).counts(draw).items()]
    elif penalized:
        counts = _notes(draw).counts(draw).items()
        edits += [(token, count, 0.0) for token, count in counts if count]
    edits += [(token, UNSEEN, -np.inf) for token in draw.banned]
    return edits


def _edit_arrays(edits: list[list[tuple[int, int, float]]], vocabulary: int) -> dict[str, Array]:
    flat = [
        (row * vocabulary + token, count, bias)
        for row, ones in enumerate(edits)
        for token, count, bias in ones
        if token < vocabulary
    ]
    places, counts, biases = zip(*flat, strict=True) if flat else ((), (), ())
    return {
        "edited": np.array(places, np.int64),
        "count": np.array(counts, np.int64),
        "bias": np.array(biases, np.float32),
    }


def _masks(draws: Many[Draw], vocabulary: int) -> Array:
    size = -(-vocabulary // 32)
    if len(draws) == 1 and draws[0].mask is not None and len(draws[0].mask) >= size:
        only: Array = draws[0].mask.view(np.int32)[:size]
        return only[None]
    masks = np.full((len(draws), size), -1, np.int32)
    for row, draw in zip(masks, draws, strict=True):
        if draw.mask is not None:
            words = draw.mask.view(np.int32)[: len(row)]
            row[: len(words)] = words
            row[len(words) :] = 0
    return masks


def _scored(row: Logits, token: int, logprob: float, params: SamplingParams) -> ScoredToken:
    count = min(params.logprobs or 0, len(row))
    if not count or token < 0:
        return ScoredToken(token, logprob)
    likeliest = np.argpartition(-row, count - 1)[:count]
    likeliest = likeliest[np.lexsort((likeliest, -row[likeliest]))]
    top = row[likeliest] - row[token] + logprob
    return ScoredToken(token, logprob, tuple(zip(likeliest.tolist(), top.tolist(), strict=True)))
