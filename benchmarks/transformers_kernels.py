"""What operators inside a model of transformers save, and batches that are filled up again.

Decoders of about 20 million random weights, one thread. `kernels="off"`, `"auto"` and int8 take
turns on one stream, on 8 rows of one length, and on 24 rows whose prompts and answers are of many
lengths. In the last, `generate` of the library itself stands beside them: sorted by prompt, 8 rows
at a time, padded, each batch as long as its longest answer.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is there

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from openautoglm import AutoGLM, Row
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timing import Cell

ROUNDS = 3
WORDS = 8192
AT_ONCE = 8
INT8 = ["linear_int8", "rms_norm", "silu_gated"]
MODES: dict[str, str | list[str]] = {"off": "off", "auto": "auto", "int8": INT8}
GATED = {
    "vocab_size": WORDS,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
PLAIN = {"vocab_size": WORDS, "n_embd": 384, "n_layer": 8, "n_head": 6}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
CONFIGS: dict[str, transformers.PreTrainedConfig] = {
    "llama": transformers.LlamaConfig(**GATED),
    "gemma3": transformers.Gemma3TextConfig(**GATED),
    "gpt2": transformers.GPT2Config(**PLAIN, **NO_ENDS),
}
Work = list[tuple[int, int]]  # tokens of each prompt and of its answer


def works() -> dict[str, Work]:
    """Return what is generated: always the same lengths."""
    chance = random.Random(0)  # noqa: S311 - no secret
    mixed = [(chance.randint(8, 120), chance.choice((4, 8, 16, 32, 64))) for _ in range(24)]
    return {"1 row": [(32, 48)], "8 rows": [(32, 48)] * 8, "24 rows, mixed": mixed}


def save(family: str, folder: Path) -> None:
    """Write a model and a tokenizer whose tokens are words."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[family])
    model.save_pretrained(folder)
    made = Tokenizer(models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w0"))  # noqa: S106 - no password
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(folder)


def ours(engine: AutoGLM, work: Work) -> Callable[[], object]:
    """Return what generates the work with an engine."""
    chance = random.Random(1)  # noqa: S311 - no secret
    rows = [
        Row(id=str(i), prompt=text_of(chance, length), params={"max_length": answer})
        for i, (length, answer) in enumerate(work)
    ]

    def run() -> None:
        done = dict(engine.stream_batch(iter(rows)))
        got = sum(answer.completion_tokens for answer in done.values())
        if got != sum(answer for _, answer in work):
            raise SystemExit(f"{got} tokens were generated")

    return run


def text_of(chance: random.Random, length: int) -> str:
    """Return a prompt of that many tokens."""
    return " ".join(f"w{chance.randrange(1, WORDS)}" for _ in range(length))


def theirs(model: Any, work: Work) -> Callable[[], object]:  # noqa: ANN401 - transformers is not typed
    """Return what generates the work with the library's own `generate`."""
    ordered = sorted(work)

    def run() -> None:
        for at in range(0, len(ordered), AT_ONCE):
            generate(model, ordered[at : at + AT_ONCE])

    return run


def generate(model: Any, rows: Sequence[tuple[int, int]]) -> None:  # noqa: ANN401 - transformers is not typed
    """Generate one padded batch."""
    width = max(length for length, _ in rows)
    seen = torch.tensor([[0] * (width - length) + [1] * length for length, _ in rows])
    longest = max(answer for _, answer in rows)
    model.generate(
        input_ids=seen, attention_mask=seen, do_sample=False, max_new_tokens=longest, pad_token_id=0
    )


def tokens_per_cpu_s(cases: dict[str, Callable[[], object]], tokens: int) -> dict[str, float]:
    """Return the most tokens a second of processor time that each case reached, in turns."""
    best = dict.fromkeys(cases, 0.0)
    for turn in range(ROUNDS + 1):
        for name, case in cases.items():
            start = time.process_time()
            case()
            if turn:
                best[name] = max(best[name], tokens / (time.process_time() - start))
    return best


def measured(family: str, folder: Path) -> list[dict[str, Cell]]:
    """Return a row for each kind of work."""
    save(family, folder)
    own = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    engines = {
        name: AutoGLM(folder, backend="transformers", kernels=kernels, batch_size=AT_ONCE)
        for name, kernels in MODES.items()
    }
    rows: list[dict[str, Cell]] = []
    for name, work in works().items():
        cases = {mode: ours(engine, work) for mode, engine in engines.items()}
        found = tokens_per_cpu_s(
            {"generate": theirs(own, work), **cases}, sum(answer for _, answer in work)
        )
        row: dict[str, Cell] = {"model": family, "work": name}
        row |= {mode: round(value) for mode, value in found.items()}
        rows.append(row | {"auto / off": round(found["auto"] / found["off"], 2)})
    for engine in engines.values():
        engine.close()
    return rows


def main() -> None:
    """Measure every family."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    rows: list[dict[str, Cell]] = []
    with tempfile.TemporaryDirectory() as root:
        for family in CONFIGS:
            rows += measured(family, Path(root) / family)
    report(
        "Operators inside models of transformers",
        rows,
        notes=f"Tokens per second of processor time, best of {ROUNDS} in turns, one thread.",
    )


if __name__ == "__main__":
    main()
