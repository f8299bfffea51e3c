"""LoRA adapters with random weights, saved as PEFT saves them, for tests of what loads them.

Owns `save_adapter` and `save_weights`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.engine.backends.native.adapters.weights import modules
from openautoglm.engine.backends.native.model.model import read_architecture

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    Floats = np.ndarray[Any, np.dtype[np.float32]]

RANK: Final = 8
ALPHA: Final = 16
TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
SIZE: Final = 0.05
"""Of the weights, which are normal; ten times that of what training makes shows in every answer."""


def save_adapter(
    base: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    size: float = SIZE,
    config: Mapping[str, object] | None = None,
) -> Path:
    """Write an adapter for a model folder, and return where.

    Args:
        base: a folder that the native backend can run.
        folder: to be; what is there is overwritten.
        seed: of the weights.
        size: of the weights.
        config: values of `adapter_config.json` that are not the default: an attention matrix each,
            rank 8, alpha 16. Weights are made for the `target_modules` it names.
    """
    told: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "bias": "none",
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": list(TARGETS),
        **(config or {}),
    }
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / "adapter_config.json").write_text(json.dumps(told), encoding="utf-8")
    draw = np.random.default_rng(seed).standard_normal
    weights: dict[str, Floats] = {}
    for name, module in modules(read_architecture(Path(base))).items():
        if not re.search(_targets(told["target_modules"]), name):
            continue
        ranks = (r for end, r in told.get("rank_pattern", {}).items() if name.endswith(end))
        rank = next(ranks, told["r"])
        for side, shape in (("A", (rank, module.depth)), ("B", (module.rows, rank))):
            values = (draw(shape) * size).astype(np.float32)
            weights[f"base_model.model.{name}.lora_{side}.weight"] = values
    save_weights(weights, path / "adapter_model.safetensors")
    return path


def save_weights(weights: Mapping[str, Floats], file: Path) -> None:
    """Write arrays to a safetensors file."""
    from safetensors.numpy import save_file

    save_file(dict(weights), file)


def _targets(given: list[str] | str) -> str:
    if given == "all-linear":
        return "_proj$"
    return f"^({given})$" if isinstance(given, str) else rf"(^|\.)({'|'.join(given)})$"
