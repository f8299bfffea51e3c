"""What structured output costs: compiling a schema, starting a sequence, one mask.

A plain schema beside one whose four strings are copied from a source of 200, 2,000 and 20,000
characters. The tokenizer is a byte-level BPE of 8,192 tokens trained on this repository; the model
writes a fixed answer, so every case follows the same tokens.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from openautoglm.engine.structured import TokenizerView, compile_schema
from timing import report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.structured import Grammar

VOCABULARY = 8_192
ROUNDS = 15
NAMES = ("name", "product", "order_id", "issue")
FACTS = "客户 Li Wei 的订单 A1001-22: the kettle K-500 leaks since Monday. "
ANSWER = {"name": "Li Wei", "product": "kettle K-500", "order_id": "A1001-22", "issue": "leaks"}
FILLER = (
    "我们已经联系了物流公司，请耐心等待。",
    "Thank you for your patience, we will call back. ",
)


def tokenizer() -> Tokenizer:
    """Train the tokenizer; the same files give the same tokens."""
    root = Path(__file__).parents[1]
    texts = [p.read_text("utf-8") for p in sorted((root / "src").rglob("*.py"))]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        show_progress=False,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(texts, trainer)
    return made


def schema(*, copied: bool) -> dict[str, object]:
    """Return four strings, copied or free."""
    text: dict[str, object] = {"type": "string", **({"x-extractive": True} if copied else {})}
    return {"type": "object", "properties": dict.fromkeys(NAMES, text), "required": list(NAMES)}


def source(length: int) -> str:
    """Return a text of that many characters that says the answer in its middle."""
    lines: list[str] = []
    while sum(map(len, lines)) < length:
        lines.append(f"{len(lines)} {FILLER[len(lines) % 2]}")
    filler = "".join(lines)
    room = (length - len(FACTS)) // 2
    return filler[:room] + " " + FACTS + filler[room : 2 * room]


def masks_us(grammar: Grammar, view: TokenizerView, tokens: list[int]) -> list[float]:
    """Follow the answer once; return what each mask took."""
    constraint = grammar.constraint(view)
    taken = []
    for token in tokens:
        start = time.perf_counter()
        mask = constraint.mask()
        taken.append((time.perf_counter() - start) * 1e6)
        if not mask[token]:
            raise SystemExit(f"the answer is not allowed at token {token}")
        constraint.accept(token)
    return taken


def measure(length: int | None, view: TokenizerView, tokens: list[int]) -> Mapping[str, float]:
    """Return the medians of one case."""
    compiled, started, masks = [], [], []
    for turn in range(ROUNDS):
        text = None if length is None else f"{turn} " + source(length)
        given = {**schema(copied=length is not None), "title": f"round {turn}"}  # no cache helps
        start = time.perf_counter()
        grammar = compile_schema(given, text)
        compiled.append(time.perf_counter() - start)
        start = time.perf_counter()
        grammar.constraint(view)
        started.append(time.perf_counter() - start)
        masks.append(masks_us(grammar, view, tokens))
    steps = [statistics.median(step) for step in zip(*masks, strict=True)]
    return {
        "compile ms": statistics.median(compiled) * 1e3,
        "start ms": statistics.median(started) * 1e3,
        "mask us, usual": statistics.median(steps),
        "mask us, slowest step": max(steps),
    }


def main() -> None:
    """Measure all cases."""
    made = tokenizer()
    eos = made.token_to_id("<eos>")
    start = time.perf_counter()
    view = TokenizerView(made, vocabulary_size=VOCABULARY, eos_token_ids=[eos or 0])
    seconds = time.perf_counter() - start
    answer = json.dumps(ANSWER, ensure_ascii=False, separators=(",", ":"))
    tokens = made.encode(answer, add_special_tokens=False).ids
    cases = {"free strings": None, **{f"copied from {n:,}": n for n in (200, 2_000, 20_000)}}
    rows = [{"schema": name, **measure(n, view, tokens)} for name, n in cases.items()]
    notes = f"{VOCABULARY} tokens; the view of the tokenizer took {seconds * 1e3:.0f} ms, once."
    report("Structured output", rows, notes=notes)


if __name__ == "__main__":
    main()
