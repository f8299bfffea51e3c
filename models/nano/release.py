"""Put a trained model where the package looks for it, with its card.

    python models/nano/release.py --run runs/nano --report runs/nano/report.json

Owns the files of the weights folder: it writes them beside the old ones and swaps each in one step.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from card import card

_ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = _ROOT / "src" / "openautoglm" / "engine" / "weights" / "nano"
CHECKSUMS = "weights.sha256.json"  # the engine holds the weights to it at every load
FILES = (
    CHECKSUMS,
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
FIGURES = _ROOT / "benchmarks" / "results" / "nano.json"
LIMIT_BYTES = 16_000_000


def release(run: Path, report: Path | None, target: Path) -> None:
    """Copy the model of ``run`` to ``target``, write its card, and keep the figures behind it."""
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    AutoTokenizer.from_pretrained(run / "model").save_pretrained(part, save_jinja_files=False)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copyfile(run / "model" / name, part / name)
    digest = hashlib.sha256((part / "model.safetensors").read_bytes()).hexdigest()
    checksums = json.dumps({"model.safetensors": digest}, indent=2) + "\n"
    (part / CHECKSUMS).write_text(checksums, encoding="utf-8")
    scores = _figures(json.loads(report.read_text(encoding="utf-8"))) if report else {}
    facts = json.loads((run / "facts.json").read_text(encoding="utf-8"))
    (part / "MODEL_CARD.md").write_text(card(facts, scores), encoding="utf-8")
    if scores and target == WEIGHTS:
        kept = {"training": facts, "scores": scores}
        FIGURES.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in part.iterdir())
    if size > LIMIT_BYTES:
        msg = f"the weights folder stays under {LIMIT_BYTES} bytes / got: {size}"
        raise ValueError(msg)
    target.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, "MODEL_CARD.md"):
        (part / name).chmod(0o644)
        (part / name).replace(target / name)
    shutil.rmtree(part)


def _figures(scores: dict[str, Any]) -> dict[str, Any]:
    """Return a report without the texts that were answered wrong."""
    return {
        key: _figures(value) if isinstance(value, dict) else value for key, value in scores.items() if key != "wrong"
    }


def main() -> None:
    """Release from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--report", type=Path, help="the JSON that evaluate.py wrote")
    parser.add_argument("--target", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    release(args.run, args.report, args.target)


if __name__ == "__main__":
    main()
