"""Answer to every schema of the corpus under many seeds and temperatures.

Every answer that ends is read again with `jsonschema` alone; none may be wrong, none may hang.
`python tests/soak/structured.py` is the long form.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from table import at_least, at_most, finish, told  # type: ignore[import-not-found] # beside

from openautoglm import AutoGLM

sys.path.insert(0, str(Path(__file__).parents[1]))
answering = importlib.import_module("conformance.structured.answering")
corpus = importlib.import_module("conformance.structured.corpus")

CONTEXT: Final = 1024
SHARE_ACCEPTED: Final = 0.9


def save_model(folder: Path) -> None:
    """Write a model of random weights with the tokenizer of the one that comes along."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with as_file(files("openautoglm.engine") / "weights" / "nano") as nano:
        shutil.copytree(nano, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.sha256*"))
    config = AutoConfig.from_pretrained(folder)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 64, 128, 2
    config.head_dim, config.max_position_embeddings = 16, CONTEXT
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def run(backend: str, seeds: int, max_length: int) -> Any:  # noqa: ANN401 - a `Tally`, from a file that is found at run time
    """Return what became of the corpus."""
    tally = answering.Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        save_model(folder)
        schemas = answering.compiled(corpus.satisfiable(), tally)
        bias = answering.closing_tokens(folder)
        params = {"max_length": max_length, "logit_bias": bias}
        with AutoGLM(folder, backend=backend) as engine:
            answering.answer(engine, schemas, seeds=range(seeds), params=params, tally=tally)
    return tally


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--max-length", type=int, default=300)
    parser.add_argument("--backend", default="native")
    options = parser.parse_args()
    outcome = run(options.backend, options.seeds, options.max_length)
    known = len(corpus.satisfiable())
    rows = [
        at_least("schemas", known, 300),
        at_least("of them accepted", outcome.accepted, SHARE_ACCEPTED * known),
        told("with keywords that are checked afterwards", outcome.checked),
        told("answers that follow their schema", outcome.valid),
        told("answers cut by max_length", outcome.cut),
        told("errors of keywords that are checked afterwards", outcome.unlucky),
        at_most("answers that break their schema", len(outcome.invalid), 0),
        at_most("answers that failed", len(outcome.failed), 0),
        at_most("schemas or answers that took too long", len(outcome.slow), 0),
    ]
    finish("Structured output", outcome, rows)


if __name__ == "__main__":
    main()
