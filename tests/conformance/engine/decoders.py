"""Tiny random decoders of every family and option, and what transformers makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]

VOCABULARY: Final = 203
CONTEXT: Final = 256
_THETA: Final = 10000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A decoder to make: the family, what its config says, how its weights are stored."""

    name: str
    family: str
    config: Mapping[str, object] = field(default_factory=dict)
    dtype: str = "float32"
    files: str = "safetensors"


def _rope(kind: str, **numbers: object) -> dict[str, object]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": _THETA, **numbers}}


_LLAMA3 = _rope(
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
_WINDOW = {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1}
_LAYERS = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
_MANY = {"num_attention_heads": 16, "num_key_value_heads": 1, "head_dim": 32}
_TIED = {"tie_word_embeddings": True}
_HALF = {"partial_rotary_factor": 0.5}
_YARN = _rope("yarn", factor=4.0, original_max_position_embeddings=64)
_YARN_FULL = _rope(
    "yarn",
    factor=4.0,
    original_max_position_embeddings=64,
    beta_fast=16.0,
    beta_slow=2.0,
    mscale=1.2,
    mscale_all_dim=0.8,
    truncate=False,
)
_YARN_HALF = _rope("yarn", factor=4.0, original_max_position_embeddings=64, **_HALF)
CASES: Final = (
    Case(name="llama", family="llama"),
    Case(name="llama-tied", family="llama", config=_TIED),
    Case(name="llama-no-gqa", family="llama", config={"num_key_value_heads": 4}),
    Case(name="llama-one-key-head", family="llama", config={"num_key_value_heads": 1}),
    Case(name="llama-many-heads", family="llama", config=_MANY),
    Case(name="llama-wide-heads", family="llama", config={"head_dim": 48}),
    Case(name="llama-narrow-heads", family="llama", config={"head_dim": 8}),
    Case(name="llama-biases", family="llama", config={"attention_bias": True, "mlp_bias": True}),
    Case(name="llama-theta", family="llama", config=_rope("default", rope_theta=500.0)),
    Case(name="llama-llama3", family="llama", config=_LLAMA3),
    Case(name="llama-linear", family="llama", config=_rope("linear", factor=4.0)),
    Case(name="llama-dynamic", family="llama", config=_rope("dynamic", factor=2.0)),
    Case(name="llama-yarn", family="llama", config=_YARN),
    Case(name="llama-yarn-full", family="llama", config=_YARN_FULL),
    Case(name="llama-bf16", family="llama", dtype="bfloat16"),
    Case(name="llama-f16", family="llama", dtype="float16"),
    Case(name="llama-bf16-tied", family="llama", config=_TIED, dtype="bfloat16"),
    Case(name="llama-shards", family="llama", files="shards"),
    Case(name="llama-bin", family="llama", files="bin"),
    Case(name="llama-legacy-bin", family="llama", files="legacy_bin"),
    Case(name="llama-bin-bf16", family="llama", files="bin", dtype="bfloat16"),
    Case(name="mistral", family="mistral", config={"sliding_window": None}),
    Case(name="mistral-window", family="mistral", config={"sliding_window": 12}),
    Case(name="qwen2", family="qwen2"),
    Case(name="qwen2-tied", family="qwen2", config=_TIED),
    Case(name="qwen2-window", family="qwen2", config=_WINDOW),
    Case(name="qwen2-layer-types", family="qwen2", config=_LAYERS),
    Case(name="qwen2-yarn", family="qwen2", config=_YARN),
    Case(name="qwen2-bf16-shards", family="qwen2", dtype="bfloat16", files="shards"),
    Case(name="qwen3", family="qwen3"),
    Case(name="qwen3-tied", family="qwen3", config=_TIED),
    Case(name="qwen3-biases", family="qwen3", config={"attention_bias": True}),
    Case(name="qwen3-window", family="qwen3", config=_WINDOW),
    Case(name="qwen3-wide-heads", family="qwen3", config={"head_dim": 32}),
    Case(name="glm", family="glm"),
    Case(name="glm-no-biases", family="glm", config={"attention_bias": False}),
    Case(name="glm-tied", family="glm", config=_TIED),
    Case(name="glm-whole-heads", family="glm", config=_rope("default", partial_rotary_factor=1.0)),
    Case(name="glm-linear", family="glm", config=_rope("linear", factor=2.0, **_HALF)),
    Case(name="glm-f16", family="glm", dtype="float16"),
    Case(name="glm4", family="glm4"),
    Case(name="glm4-no-biases", family="glm4", config={"attention_bias": False}),
    Case(name="glm4-yarn", family="glm4", config=_YARN_HALF),
    Case(name="glm4-bf16", family="glm4", dtype="bfloat16"),
    Case(name="glm4-shards", family="glm4", files="shards"),
)  # fmt: skip
CLASSES: Final = {
    "llama": "LlamaConfig",
    "mistral": "MistralConfig",
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
    "glm": "GlmConfig",
    "glm4": "Glm4Config",
}
SIZES: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


def save(case: Case, folder: Path) -> Path:
    """Make a decoder with random weights, livelier than fresh ones, and save it."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    config = getattr(transformers, CLASSES[case.family])(**{**SIZES, **case.config})
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(mean=float(parameter.ndim == 1), std=0.2)
    model = model.to(getattr(torch, case.dtype))
    model.save_pretrained(folder, max_shard_size="100KB" if case.files == "shards" else "1GB")
    if case.files.endswith("bin"):
        (folder / "model.safetensors").unlink()
        is_zip = case.files == "bin"
        path = folder / "pytorch_model.bin"
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    return folder


class Peer:
    """The same folder in transformers, in f32 on the CPU, eager attention."""

    def __init__(self, folder: Path) -> None:
        import torch
        import transformers

        self._torch = torch
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    def logits(self, tokens: Numbers) -> Floats:
        """Return the logits of every position, (len(tokens), vocabulary)."""
        with self._torch.inference_mode():
            given = self._torch.from_numpy(tokens)[None]
            logits: Floats = self._model(given, use_cache=False).logits[0].numpy()
        return logits

    def greedy(self, tokens: Numbers, count: int) -> list[int]:
        """Return the next tokens, each the likeliest."""
        with self._torch.inference_mode():
            made = self._model.generate(
                self._torch.from_numpy(tokens)[None],
                do_sample=False,
                max_new_tokens=count,
                min_new_tokens=count,
                eos_token_id=None,
                pad_token_id=0,
            )
        found: list[int] = made[0, len(tokens) :].tolist()
        return found
