"""What LoRA adapters cost a step of 32 rows that decode, one thread.

A decoder of about 20 million random weights. A step without adapters takes turns with steps in
which the rows have 8 adapters of rank 8 between them, all have the same one, or one row has one:
adapters of queries and values, of attention, or of every matrix of the layers.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is there

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
import transformers

from openautoglm.engine.backends.native.model.model import Model
from openautoglm.engine.backends.native.weights.convert import Mode
from openautoglm.testing.lora_adapter import save_adapter
from timing import medians_s, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from timing import Cell

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

ROUNDS = 60
ROWS = 32
RANK = 8
ADAPTERS = 8
READ = 20  # tokens of each row that were read before
TARGETS: dict[str, object] = {
    "queries and values": ["q_proj", "v_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "every matrix": "all-linear",
}


def save(folder: Path) -> None:
    """Write the decoder."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=8192,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def steps(model: Model) -> dict[str, Callable[[], object]]:
    """Return a step of all rows, by which of them have adapters."""
    ones, rows = np.ones(ROWS, np.int64), np.arange(ROWS)
    for position in range(READ):
        model.forward(ones, rows, ones * position, rows)
    given: dict[str, Numbers | None] = {
        "none": None,
        "8 adapters": rows % ADAPTERS + 1,
        "1 adapter": ones,
        "1 row": (rows == 0).astype(np.int64),
    }

    def step(numbers: Numbers | None) -> Callable[[], object]:
        return lambda: model.forward(ones, rows, ones * READ, rows, numbers)

    return {name: step(numbers) for name, numbers in given.items()}


def measured(base: Path, mode: Mode, targets: str) -> dict[str, Cell]:
    """Return a row of the table."""
    model = Model(base, mode, slots=ROWS, rows=64, context=256)
    with tempfile.TemporaryDirectory() as folder:
        config = {"r": RANK, "target_modules": TARGETS[targets]}
        kept = [
            model.load_adapter(n, save_adapter(base, Path(folder, f"{n}"), seed=n, config=config))
            for n in range(1, ADAPTERS + 1)
        ]
    found = medians_s(steps(model), rounds=ROUNDS)
    model.close()
    times: dict[str, Cell] = {f"{name}, ms": found[name] * 1e3 for name in found}
    of_eight = found["8 adapters"] / found["none"]
    return {"mode": mode, "adapters of": targets, **times, f"{len(kept)} adapters / none": of_eight}


def main() -> None:
    """Measure every mode with every kind of adapter."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        save(base)
        rows = [measured(base, mode, targets) for mode in get_args(Mode) for targets in TARGETS]
    report(
        f"LoRA adapters of rank {RANK} in a step of {ROWS} rows",
        rows,
        notes=f"Medians of {ROUNDS} steps each, in turn.",
    )


if __name__ == "__main__":
    main()
