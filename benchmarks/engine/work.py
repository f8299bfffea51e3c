"""What is asked of every method: prompts as tokens, and how many tokens each must get.

Owns `Work` and its kinds, made by a seed. Knows nothing of methods. Prompts are tokens, so that no
method pays for another's tokenizer, and those of random models are drawn at random.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from shapes import NANO, ROOT, SHAPES, folder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

AT_ONCE: Final = 32
LOWEST, HIGHEST = 8, 5000  # tokens every tokenizer here has
SHIFT: Final = 97
MOST_NEW: Final = 256
SCHEMA: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 24},
            "count": {"type": "integer", "minimum": 0, "maximum": 9999},
            "is_new": {"type": "boolean"},
        },
        "required": ["name", "count", "is_new"],
        "additionalProperties": False,
    },
    "minItems": 100,
}
"""Holds for longer than any answer here, so that each has as many tokens as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Rows to generate, greedily, each to its length.

    Attributes:
        name: of the kind.
        prompts: of each row.
        lengths: tokens each row must get, no more and no less.
        at_once: rows that may be computed together; 1 is one after another.
        shared: tokens all prompts begin with.
        copies: whether answers repeat parts of their prompts.
        schema: JSON schema that answers follow, None for none.
        jumps: with a schema: whether tokens that are the only ones possible may go undecoded.
        answers: what a model that cannot copy is made to say, row by row; empty for its own words.
    """

    name: str
    prompts: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]
    at_once: int = AT_ONCE
    shared: int = 0
    copies: bool = False
    schema: str | None = None
    jumps: bool = True
    answers: tuple[tuple[int, ...], ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(self.lengths)

    def part(self, index: int, parts: int) -> Work:
        """Return every so many-th row, for one of several processes."""
        if parts == 1:
            return self
        own = {
            "prompts": self.prompts[index::parts],
            "lengths": self.lengths[index::parts],
            "at_once": max(1, self.at_once // parts),
            "answers": self.answers[index::parts],
        }
        return Work(**{**asdict(self), **own})

    def shifted(self, turn: int) -> Work:
        """Return work as much with other prompts; texts that have a meaning stay."""
        if self.copies or not turn:
            return self
        span = HIGHEST - LOWEST
        prompts = tuple(
            tuple(LOWEST + (token - LOWEST + SHIFT * turn) % span for token in prompt)
            for prompt in self.prompts
        )
        return Work(**{**asdict(self), "prompts": prompts})

    def fault(self, answers: Sequence[Sequence[int]], vocabulary: int) -> str | None:
        """Say what is wrong with answers, None if nothing is."""
        counts = [len(answer) for answer in answers]
        if counts != list(self.lengths):
            wrong = [
                (i, c) for i, (c, n) in enumerate(zip(counts, self.lengths, strict=False)) if c != n
            ]
            return f"{len(counts)} rows of {len(self.lengths)}, wrong lengths: {wrong[:4]}"
        if any(not 0 <= token < vocabulary for answer in answers for token in answer):
            return "tokens outside the vocabulary"
        return None


def read(file: Path) -> Work:
    """Return what `write` wrote."""
    given = json.loads(file.read_text("utf-8"))
    given["prompts"] = tuple(map(tuple, given["prompts"]))
    given["lengths"] = tuple(given["lengths"])
    given["answers"] = tuple(map(tuple, given.get("answers", ())))
    return Work(**given)


def write(work: Work, file: Path) -> None:
    """Keep it for other processes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(work)), "utf-8")


def make(name: str, model: str, scale: float = 1.0) -> Work | None:
    """Return work for a model, None where it makes no sense.

    Args:
        name: its kind.
        model: who will do it.
        scale: part of the new tokens, for models that are slow; prompts stay as they are.
    """
    return KINDS[name](model, scale)


def uniform(_: str, scale: float) -> Work:
    """32 prompts, 64 tokens each."""
    return Work(name="uniform", prompts=_prompts(32, seed=1), lengths=(_part(64, scale),) * 32)


def variable(_: str, scale: float) -> Work:
    """128 prompts, exponentially many tokens: 48 in the mean, 4 to 256."""
    draw = random.Random(3)  # noqa: S311 - a seed, no secret
    drawn = [min(MOST_NEW, max(4, int(draw.expovariate(1 / 48)))) for _ in range(128)]
    count = max(AT_ONCE, int(128 * scale))
    return Work(
        name="variable",
        prompts=_prompts(count, seed=2),
        lengths=tuple(max(4, n) for n in drawn[:count]),
    )


def shared(_: str, scale: float) -> Work:
    """128 prompts with 200 tokens in common and 12 to 28 of their own, 16 tokens each."""
    draw = random.Random(4)  # noqa: S311 - a seed, no secret
    common = _draw(draw, 200)
    count = max(AT_ONCE, int(128 * scale))
    prompts = tuple(common + _draw(draw, draw.randint(12, 28)) for _ in range(count))
    return Work(name="shared", prompts=prompts, lengths=(16,) * count, shared=200)


def single(_: str, scale: float) -> Work:
    """4 prompts one after another, 64 tokens each."""
    prompts = _prompts(4, seed=5)
    return Work(name="single", prompts=prompts, lengths=(_part(64, scale),) * 4, at_once=1)


def json_schema(_: str, scale: float, *, jumps: bool = True) -> Work:
    """`uniform` under a schema."""
    plain = uniform("", scale)
    name = "json" if jumps else "json-steps"
    given = {**asdict(plain), "name": name, "schema": json.dumps(SCHEMA), "jumps": jumps}
    return Work(**given)


def json_steps(model: str, scale: float) -> Work:
    """`json` with every token decoded, for the price of a mask."""
    return json_schema(model, scale, jumps=False)


def copying(model: str, _: float) -> Work | None:
    """Facts out of 60 written messages as JSON; random weights copy nothing."""
    return None if model in SHAPES else _facts("copying", folder_of(model))


def _facts(name: str, folder: Path, *, is_said: bool = False) -> Work:
    rows = [
        json.loads(line)
        for line in (ROOT / "models/nano/handwritten.jsonl").read_text("utf-8").splitlines()
    ]
    texts = [json.dumps(r["facts"], ensure_ascii=False, separators=(",", ":")) for r in rows]
    tokens = _Texts(folder)
    answers = tuple(tokens.ids(text) for text in texts)
    return Work(
        name=name,
        prompts=tuple(tokens.chat(_instruction() + "\n" + row["text"]) for row in rows),
        lengths=tuple(map(len, answers)),
        copies=True,
        answers=answers if is_said else (),
    )


def copying_single(model: str, scale: float) -> Work | None:
    """The first 15 of `copying`, one after another."""
    return _one_by_one(copying(model, scale))


def copying_said(model: str, _: float) -> Work | None:
    """`copying` in `nano`'s tokens, where a random model is made to say the right answers.

    So a step costs what it costs a model of that size, and copies what a good one would.
    """
    return _facts("copying-said", NANO, is_said=True) if model in SHAPES else None


def copying_said_single(model: str, scale: float) -> Work | None:
    """The first 15 of `copying-said`, one after another."""
    return _one_by_one(copying_said(model, scale))


def _one_by_one(work: Work | None) -> Work | None:
    if work is None:
        return None
    first = {"prompts": work.prompts[:15], "lengths": work.lengths[:15]}
    own = {**first, "answers": work.answers[:15], "at_once": 1, "name": f"{work.name}-single"}
    return Work(**{**asdict(work), **own})


class _Texts:
    """A folder's tokenizer."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        from openautoglm.engine.backends.native.text.tokens import Tokens
        from openautoglm.engine.model_folder import inspect

        self._tokens = Tokens(inspect(folder))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def chat(self, text: str) -> tuple[int, ...]:
        from openautoglm.engine.prompt import Message

        return tuple(self._tokens.encode_prompt((Message(role="user", content=text),)))

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _instruction() -> str:
    text = (ROOT / "models/nano/data/instructions_en.txt").read_text("utf-8")
    lines = text.partition("[extract]")[2].splitlines()
    return next(line for line in lines if line.strip())


def _prompts(count: int, *, seed: int) -> tuple[tuple[int, ...], ...]:
    draw = random.Random(seed)  # noqa: S311 - a seed, no secret
    return tuple(_draw(draw, draw.randint(11, 121)) for _ in range(count))


def _draw(draw: random.Random, count: int) -> tuple[int, ...]:
    return tuple(draw.randrange(LOWEST, HIGHEST) for _ in range(count))


def _part(tokens: int, scale: float) -> int:
    return max(8, int(tokens * scale))


KINDS: Final[dict[str, Callable[[str, float], Work | None]]] = {
    "uniform": uniform,
    "variable": variable,
    "shared": shared,
    "single": single,
    "json": json_schema,
    "json-steps": json_steps,
    "copying": copying,
    "copying-single": copying_single,
    "copying-said": copying_said,
    "copying-said-single": copying_said_single,
}
VOCABULARIES: Final = {
    "nano": json.loads((NANO / "config.json").read_text("utf-8"))["vocab_size"]
} | {name: shape.vocabulary for name, shape in SHAPES.items()}
