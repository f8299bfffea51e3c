"""Make the models that are measured, with random weights, and the copies that peers read.

Owns the folders in the cache. A speed does not depend on what weights say, so none are downloaded;
the small model that comes with the package is measured as it is.

    python benchmarks/engine/models.py 20m 0.5b
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from shapes import MODELS, NANO, ROOT, SHAPES, Shape, folder_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from openautoglm.testing import gguf_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Array = np.ndarray[Any, np.dtype[Any]]

SEED: Final = 0
TOKENS: Final = 8192  # of the tokenizer; ids above stay unused
CONTEXT: Final = 4096
DEVIATION: Final = 0.02
SPECIAL: Final = ["<pad>", "<s>", "</s>"]


def make(model: str) -> Path:
    """Return a model's folder, made where it is not there yet."""
    folder = folder_of(model)
    if (folder / "model.safetensors").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if model == "nano":
        for file in NANO.iterdir():
            shutil.copyfile(file, folder / file.name)
        return folder
    shape = SHAPES[model]
    _config(shape, folder)
    _tokenizer(folder)
    _weights(shape, folder / "model.safetensors")
    return folder


def gguf(model: str, kind: gguf_file.Kind) -> Path:
    """Return a model as GGUF."""
    file = make(model) / f"model.{kind}.gguf"
    if not file.is_file():
        gguf_file.write(file.parent, file, kind)
    return file


def ctranslate2(model: str, kind: str) -> Path:
    """Return a model as CTranslate2 reads it."""
    folder = make(model) / f"ctranslate2-{kind}"
    if not folder.is_dir():
        converters: Any = import_module("ctranslate2.converters")
        converters.TransformersConverter(str(folder.parent)).convert(str(folder), quantization=kind)
        config = folder / "config.json"  # it does not load a model that has no first token
        values = json.loads(config.read_text("utf-8"))
        _write(config, {**values, "bos_token": values["bos_token"] or values["eos_token"]})
    return folder


def _config(shape: Shape, folder: Path) -> None:
    names = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
    config = {
        "architectures": [names[shape.family]],
        "model_type": shape.family,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "intermediate_size": shape.inner,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": shape.is_tied,
        "rope_theta": shape.theta,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "bfloat16",
    }
    _write(folder / "config.json", config)
    _write(folder / "generation_config.json", {"eos_token_id": 2, "pad_token_id": 0})


def _tokenizer(folder: Path) -> None:
    """Train a small one on the repository's own texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    files = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md")])
    tokenizer.train([str(file) for file in files], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "padding_side": "left",
    }
    _write(folder / "tokenizer_config.json", settings)


def _weights(shape: Shape, file: Path) -> None:
    """Write bf16 weights as safetensors."""
    tensors = dict(_tensors(shape))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, size in tensors.items():
        count = 2 * int(np.prod(size))
        header[name] = {"dtype": "BF16", "shape": size, "data_offsets": [at, at + count]}
        at += count
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    numbers = np.random.default_rng(SEED)
    part = file.with_suffix(".part")
    with part.open("wb") as out:
        out.write(len(head).to_bytes(8, "little") + head)
        for name, size in tensors.items():
            out.write(_values(name, size, numbers).tobytes())
    part.rename(file)


def _values(name: str, size: list[int], numbers: np.random.Generator) -> Array:
    if name.endswith("norm.weight"):
        values = np.ones(size, np.float32)
    else:
        values = numbers.standard_normal(size, np.float32) * np.float32(DEVIATION)
    bits: Array = values.view(np.uint32)
    return ((bits + 0x8000) >> 16).astype(np.uint16)


def _tensors(shape: Shape) -> Iterator[tuple[str, list[int]]]:
    wide, keys = 64 * shape.heads, 64 * shape.key_heads
    yield "model.embed_tokens.weight", [shape.vocabulary, shape.hidden]
    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", [shape.hidden]
        for name, rows in (("q", wide), ("k", keys), ("v", keys)):
            yield at + f"self_attn.{name}_proj.weight", [rows, shape.hidden]
            if shape.is_biased:
                yield at + f"self_attn.{name}_proj.bias", [rows]
        yield at + "self_attn.o_proj.weight", [shape.hidden, wide]
        yield at + "post_attention_layernorm.weight", [shape.hidden]
        yield at + "mlp.gate_proj.weight", [shape.inner, shape.hidden]
        yield at + "mlp.up_proj.weight", [shape.inner, shape.hidden]
        yield at + "mlp.down_proj.weight", [shape.hidden, shape.inner]
    yield "model.norm.weight", [shape.hidden]
    if not shape.is_tied:
        yield "lm_head.weight", [shape.vocabulary, shape.hidden]


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def main() -> None:
    """Make the models that are named, all by default."""
    for model in sys.argv[1:] or MODELS:
        print(make(model))


if __name__ == "__main__":
    main()
