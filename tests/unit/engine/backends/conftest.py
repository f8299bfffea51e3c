"""Tiny random models of many families, as modules: no folder, no tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from transformers import PreTrainedModel

VOCABULARY: Final = 328
OWN: Final[dict[str, object]] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
GROUPED: Final = OWN | {"num_key_value_heads": 1, "head_dim": 16}
OLD: Final[dict[str, object]] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "gpt2": ("GPT2Config", OLD | {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "gemma2": ("Gemma2Config", GROUPED | {"sliding_window": 8}),
    "gemma3": ("Gemma3TextConfig", GROUPED | {"sliding_window": 8}),
    "gemma3_wide": ("Gemma3TextConfig", GROUPED | {"sliding_window": 24}),
    "phi": ("PhiConfig", OWN),
    "phi3": ("Phi3Config", OWN),
    "opt": ("OPTConfig", OWN | {"ffn_dim": 56, "word_embed_proj_dim": 32}),
    "falcon": ("FalconConfig", OWN),
    "bloom": ("BloomConfig", OLD | {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "mixtral": ("MixtralConfig", GROUPED | {"num_local_experts": 4}),
    "olmo2": ("Olmo2Config", OWN),
    "mamba": ("MambaConfig", OLD | {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "bart": (
        "BartConfig",
        OLD
        | {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 2}
        | {"decoder_ffn_dim": 56, "max_position_embeddings": 64, "is_encoder_decoder": False},
    ),
    "llama": ("LlamaConfig", GROUPED),
}


@pytest.fixture(scope="session")
def random_model() -> Callable[..., PreTrainedModel]:
    """Return a function (family, dtype=torch.float32) to a new model with lively weights."""

    def make(family: str, dtype: torch.dtype | None = None) -> PreTrainedModel:
        import torch
        import transformers

        name, settings = CONFIGS[family]
        with torch.random.fork_rng():
            torch.manual_seed(7)
            config = getattr(transformers, name)(**settings)
            model = transformers.AutoModelForCausalLM.from_config(
                config, dtype=dtype or torch.float32
            )
            for parameter in model.parameters():
                parameter.requires_grad_(requires_grad=False)
                if parameter.ndim > 1:
                    parameter.normal_(std=0.3)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.3)
        return cast("PreTrainedModel", model.eval())

    return make
