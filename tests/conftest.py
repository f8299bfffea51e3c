"""Tiny random models and servers of data, made once a session and shared by all tests."""

from __future__ import annotations

import os
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest

from .postgres_server import postgres_server, postgres_url  # noqa: F401 - fixtures
from .ray_cluster import ray_joined, ray_nodes  # noqa: F401 - fixtures
from .s3_server import s3_bucket, s3_endpoint  # noqa: F401 - fixtures
from .web_server import web_server  # noqa: F401 - a fixture

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub reads it
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch does: tiny models gain from no more

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

CONTEXT: Final = 128
VOCABULARY: Final = 328  # a few rows the tokenizer has no token for, as in real models
SENTENCES: Final = (
    "the quick brown fox jumps over the lazy dog",
    "请根据以下内容生成摘要:人工智能正在快速发展",
    "emoji 👋🏽 👩‍👩‍👧 🎉 and accents é ü ñ",
    '{"name":"Li Wei","label":"billing"}',
)
CHAT: Final = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 320 tokens, `<|end|>` ends a text."""
    return _tokenizer()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function (family="qwen2", weights="safetensors", chat=True) to a model folder.

    Families: qwen2, llama, glm. Weights: safetensors, shards, bin, legacy_bin. Do not write into
    the folder: copy it first.
    """
    root = tmp_path_factory.mktemp("tiny_models")

    @cache
    def make(family: str = "qwen2", weights: str = "safetensors", *, chat: bool = True) -> Path:
        folder = root / f"{family}-{weights}-{chat}"
        _save(folder, family, weights)
        tokenizer = deepcopy(_tokenizer())
        if not chat:
            tokenizer.chat_template = None
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_gguf(tiny_model: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function (family="qwen2", kind="f32", chat=True) to a model as a GGUF file.

    Families: qwen2, llama. Kinds: f32, q8_0. Do not write into the file: copy it first.
    """
    from openautoglm.testing import gguf_file

    @cache
    def make(family: str = "qwen2", kind: gguf_file.Kind = "f32", *, chat: bool = True) -> Path:
        folder = tiny_model(family, chat=chat)
        file = folder.with_name(f"{folder.name}-{kind}.gguf")  # the folder itself is others' too
        gguf_file.write(folder, file, kind)
        return file

    return make


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",  # noqa: S106 - no password
        pad_token="<|pad|>",  # noqa: S106 - no password
        chat_template=CHAT,
    )


def _save(folder: Path, family: str, weights: str) -> None:
    import torch
    import transformers

    configs = {
        "qwen2": transformers.Qwen2Config,
        "llama": transformers.LlamaConfig,
        "glm": transformers.GlmConfig,
    }
    config = configs[family](
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():  # livelier than fresh weights: varied text instead of a loop
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.2)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder, max_shard_size="100KB" if weights == "shards" else "1GB")
    if weights.endswith("bin"):
        (folder / "model.safetensors").unlink()
        torch.save(
            model.state_dict(),
            folder / "pytorch_model.bin",
            _use_new_zipfile_serialization=weights == "bin",
        )
