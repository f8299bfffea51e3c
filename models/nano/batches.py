"""Turn chats into padded batches of token ids with a target and a weight for every answer token.

Owns the rendering of chats to ids (it matches the chat template) and the weights of the loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from banks import LABELS
from generate import Case, Chat, Turn, stream
from template import FIELDS
from tokenizer import CHUNKS

_FORM, _INNER, _PLAIN, _CLOSE, _NULL, _START, _LABEL = 0.1, 1.9, 1.9, 2.0, 3.0, 6.0, 8.0
DECISION = _CLOSE
NO_TAG, OUTSIDE = -100, 0
TAGS = ("outside", *FIELDS[:4], *LABELS, "lead", *(f"start of {field}" for field in FIELDS))
Row = tuple[list[int], list[float], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Inputs, next-token targets and their weights (0 where nothing is learned), and the tag of every input."""

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    tags: torch.Tensor


def _spans(case: Case) -> list[tuple[int, int, str]]:
    """Return the tagged spans of a text; where they overlap, the later one counts."""
    facts = {field: value for field, value in case.facts.as_dict().items() if value is not None}
    at = {field: case.text.index(value) for field, value in facts.items()}
    spans = [(0, len(case.text), "outside")]
    for field in ("issue", *FIELDS[:4]):
        if field in facts:
            name = str(case.label) if field == "issue" else field
            spans.append((at[field], at[field] + len(facts[field]), name))
    if case.lead is not None:
        spans.append((0, len(case.lead), "lead"))
    return spans


class Encoder:
    """Encode chats to ids and weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        ids = tokenizer.get_vocab()
        self._encode = tokenizer.backend_tokenizer.encode
        self._roles = {role: ids[f"<|{role}|>"] for role in ("system", "user", "assistant")}
        self._end = ids["<|end|>"]
        self._quote = ids['"']
        self._shape = {ids[c] for c in CHUNKS if c != "null"} | {ids["}"]}

    def _ids(self, text: str) -> list[int]:
        return list(self._encode(text, add_special_tokens=False).ids)

    def _weigh(self, turn: Turn, ids: list[int]) -> list[float]:
        """Weigh decisions (null or value, where a value starts and ends, the label) above copying."""
        if turn.task == "classify":
            return [_LABEL] * len(ids)
        if turn.task == "classify_json":
            return [_FORM, _FORM, *[_LABEL] * (len(ids) - 4), _FORM, _FORM]
        if turn.task != "extract":
            return [_PLAIN] * len(ids)
        return self._weigh_record(ids)

    def _weigh_record(self, ids: list[int]) -> list[float]:
        weights, before = [], -1
        is_open = False
        for token in ids:
            weight = _START if before == self._quote else _INNER
            if token in self._shape:
                weight = _FORM
            elif before in self._shape:
                weight, is_open = _NULL, token == self._quote
            elif token == self._quote and is_open:
                weight, is_open = _CLOSE, False
            weights.append(weight)
            before = token
        return weights

    def _tag(self, chat: Chat) -> list[int]:
        """Return for each token of the first request which fact it is part of or begins.

        The issue is tagged by its label.
        """
        user, case = chat.turns[0].user, chat.case
        found = self._encode(user, add_special_tokens=False)
        tags = [NO_TAG] * len(found.ids)
        if case is None or case.text not in user:
            return tags
        start = user.index(case.text)
        for left, right, tag in _spans(case):
            for i, (a, b) in enumerate(found.offsets):
                if start + left <= a < b <= start + right:
                    tags[i] = TAGS.index(tag)
        place = {a: i for i, (a, _) in reversed(list(enumerate(found.offsets)))}
        for field, value in case.facts.as_dict().items():
            if value is not None and start + case.text.index(value) in place:
                tags[place[start + case.text.index(value)]] = TAGS.index(f"start of {field}")
        return tags

    def encode(self, chat: Chat) -> tuple[list[int], list[float]]:
        """Return the ids of a chat and the weight of each id as a target."""
        ids, weights, _ = self.encode_tagged(chat)
        return ids, weights

    def encode_tagged(self, chat: Chat) -> Row:
        """Return the ids of a chat, the weight of each as a target, and the tag of each as an input."""
        ids: list[int] = []
        weights: list[float] = []
        tags: list[int] = []
        if chat.system:
            ids += [self._roles["system"], *self._ids(chat.system)]
            weights += [0.0] * len(ids)
        for turn in chat.turns:
            user = [self._roles["user"], *self._ids(turn.user), self._roles["assistant"]]
            answer = self._ids(turn.answer)
            ids += [*user, *answer, self._end]
            weights += [0.0] * len(user) + self._weigh(turn, answer) + [_FORM]
            if not tags:
                tags = [NO_TAG] * (len(ids) - len(user) - len(answer)) + self._tag(chat)
        return ids, weights, tags + [NO_TAG] * (len(ids) - len(tags))


def collate(rows: list[Row], pad: int, width: int) -> Batch:
    """Pad rows to the right and shift them into inputs and targets of ``width``."""
    ids_table = torch.full((len(rows), width + 1), pad, dtype=torch.long)
    weight_table = torch.zeros(len(rows), width + 1)
    tag_table = torch.full((len(rows), width + 1), NO_TAG)
    for i, (ids, weights, tags) in enumerate(rows):
        ids_table[i, : len(ids)] = torch.tensor(ids)
        weight_table[i, : len(ids)] = torch.tensor(weights)
        tag_table[i, : len(ids)] = torch.tensor(tags)
    return Batch(
        inputs=ids_table[:, :-1],
        targets=ids_table[:, 1:],
        weights=weight_table[:, 1:],
        tags=tag_table[:, :-1],
    )


def batches(tokenizer: PreTrainedTokenizerFast, *, seed: int, tokens: int, longest: int = 416) -> Iterator[Batch]:
    """Yield batches of about ``tokens`` tokens, rows of like length together.

    Widths are multiples of 16 and a width always has as many rows: matrix kernels are made once for each shape.
    """
    encoder, chats = Encoder(tokenizer), stream(seed)
    pad = tokenizer.get_vocab()["<|pad|>"]
    waiting: dict[int, list[Row]] = {}
    for chat in chats:
        row = encoder.encode_tagged(chat)
        width = -(-(len(row[0]) - 1) // 16) * 16
        if width > longest:
            continue
        group = waiting.setdefault(width, [])
        group.append(row)
        if len(group) == max(1, tokens // width):
            yield collate(waiting.pop(width), pad, width)
