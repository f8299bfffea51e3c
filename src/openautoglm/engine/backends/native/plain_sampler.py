"""Tokens chosen by NumPy, until the operator does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

import numpy as np

from openautoglm.engine.backends.native.faces import FAILED, Chosen

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.faces import Draw, Logits
    from openautoglm.engine.sampling import SamplingParams


@final
class PlainSampler:
    """Greedy, or by temperature, top-k and top-p."""

    def choose(self, logits: Logits, draws: Many[Draw]) -> Chosen:
        """Choose one token per row."""
        return Chosen(
            np.array([_choose(row, draw) for row, draw in zip(logits, draws, strict=True)])
        )


def _choose(row: Logits, draw: Draw) -> int:
    if np.isnan(row).any():
        return FAILED
    if draw.mask is not None:
        bits = np.unpackbits(draw.mask.view(np.uint8), count=len(row), bitorder="little")
        row = np.where(bits.view(np.bool_), row, -np.inf).astype(np.float32)
    params = cast("SamplingParams", draw.params)
    if params.temperature == 0:
        return int(row.argmax())
    order = np.argsort(-row, kind="stable")
    values = (row[order] - row[order[0]]) / params.temperature
    if params.top_k:
        values = values[: params.top_k]
    chances = np.exp(values)
    chances /= chances.sum()
    if params.top_p < 1:
        chances[np.cumsum(chances) - chances >= params.top_p] = 0
    number = len(draw.ids) - draw.prompt_tokens
    uniform = np.random.default_rng([draw.seed or 0, number]).random()
    sums = np.cumsum(chances)
    return int(order[int(np.searchsorted(sums, uniform * sums[-1], side="right"))])
