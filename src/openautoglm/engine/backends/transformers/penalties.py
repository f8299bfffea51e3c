"""What changes a row's logits before a token is chosen: bias, penalties, an end too soon.

Owns `adjust`. Repetition and bias are transformers' own processors; it has none for presence and
frequency, which are those of OpenAI's API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import RepetitionPenaltyLogitsProcessor, SequenceBiasLogitsProcessor

from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.engine.sampling import SamplingParams


def adjust(
    logits: torch.Tensor,
    params: SamplingParams,
    *,
    prompt: Sequence[int],
    answer: Sequence[int],
    eos: frozenset[int],
) -> torch.Tensor:
    """Return one row's logits [vocabulary] as the parameters change them.

    Args:
        logits: as the model gave them.
        params: the bias, the penalties, and how many tokens must come.
        prompt: tokens the model read.
        answer: tokens it generated so far.
        eos: tokens that end a text; they are forbidden before `min_tokens`.

    Raises:
        InvalidParameterError: a bias for a token that the model does not have.
    """
    scores = logits[None]
    ids = torch.tensor([[*prompt, *answer]], device=logits.device)
    if params.logit_bias:
        scores = _biased(scores, ids, params)
    if params.repetition_penalty != 1:
        scores = RepetitionPenaltyLogitsProcessor(float(params.repetition_penalty))(ids, scores)
    if answer and (params.presence_penalty or params.frequency_penalty):
        found = torch.tensor(answer, device=logits.device)
        counts = torch.bincount(found, minlength=scores.shape[-1])
        scores = scores - params.presence_penalty * (counts > 0) - params.frequency_penalty * counts
    if len(answer) < params.min_tokens and eos:
        scores = scores.clone()
        scores[:, list(eos)] = -torch.inf
    return scores[0]


def _biased(scores: torch.Tensor, ids: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    last = params.bias_pairs[-1][0]
    if last >= scores.shape[-1]:
        raise InvalidParameterError(
            "`logit_bias` names a token that the model does not have",
            got=f"{last}; the model has {scores.shape[-1]}",
            fix=f"use ids below {scores.shape[-1]}",
        )
    bias = [[[token], value] for token, value in params.bias_pairs]
    biased: torch.Tensor = SequenceBiasLogitsProcessor(bias)(ids, scores)
    return biased
