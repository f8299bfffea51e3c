"""Which token comes next: the likeliest that is allowed, or one drawn by chance.

Owns `choose` and `sample`. Knows nothing of where logits come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from openautoglm.errors import WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.engine.backends.transformers.row import Row


def choose(
    logits: torch.Tensor, rows: Sequence[Row], eos: frozenset[int] = frozenset()
) -> list[int]:
    """Choose the next token of each row from its logits [rows, vocabulary]; changes them.

    A row whose logits are not numbers fails, and no other.
    """
    with torch.inference_mode():
        for index in torch.isnan(logits).any(dim=1).nonzero().flatten().tolist():
            rows[index].fail(_spoiled())
        for index, row in enumerate(rows):
            if row.reason is not None:
                continue
            if row.request.params.beyond_basic:
                logits[index] = row.adjusted(logits[index], eos)
            allowed = row.allowed()
            if allowed is not None:
                mask = torch.from_numpy(allowed).to(logits.device)
                logits[index].masked_fill_(~mask, -torch.inf)
        tokens: list[int] = logits.argmax(dim=-1).tolist()
        for index, row in enumerate(rows):
            if row.request.params.temperature > 0 and row.reason is None:
                tokens[index] = sample(logits[index], row)
    return tokens


def sample(logits: torch.Tensor, row: Row) -> int:
    """Draw a token from one row's logits [vocabulary] by temperature, top-k, top-p, then min-p."""
    params = row.request.params
    values, tokens = logits.sort(descending=True, stable=True)
    values = (values - values[0]) / params.temperature
    if params.top_k:
        values, tokens = values[: params.top_k], tokens[: params.top_k]
    chances = values.softmax(dim=-1)
    if params.top_p < 1:
        before = chances.cumsum(dim=-1) - chances
        chances = chances.masked_fill(before >= params.top_p, 0.0)
    chances = chances.masked_fill(chances < params.min_p * chances[0], 0.0)
    drawn = torch.multinomial(chances, 1, generator=row.generator(logits.device))
    return int(tokens[drawn])


def _spoiled() -> WeightsCorruptError:
    return WeightsCorruptError(
        "the model computes numbers that are not numbers (NaN)",
        fix='use dtype="float32"; if it stays so, the weights are damaged',
    )
