"""A Hugging Face folder written as a GGUF file, for tests and measurements of what reads one.

Owns the format's few rules that are needed here, after ggml's docs/gguf.md: Llama and Qwen2 alone,
F32 and Q8_0 alone, byte-level BPE alone.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Array = np.ndarray[Any, np.dtype[Any]]
    Value = tuple[str, bytes]
    Tensor = tuple[str, tuple[int, ...], int, Array]

Kind = Literal["f32", "q8_0"]
VERSION: Final = 3
ALIGNMENT: Final = 32
BLOCK: Final = 32  # weights that share a scale in Q8_0
TYPES: Final = {"f32": 0, "q8_0": 8}
FILE_TYPES: Final = {"f32": 0, "q8_0": 7}
U16, U32, F32, BOOL, STRING, ARRAY, I32 = 2, 4, 6, 7, 8, 9, 5  # value types
NORMAL_TOKEN, CONTROL_TOKEN, UNUSED_TOKEN = 1, 3, 5
NAMES: Final = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER: Final = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def write(folder: Path, target: Path, kind: Kind) -> None:
    """Write a folder's model in one file.

    Args:
        folder: a Hugging Face folder, with one model.safetensors and a tokenizer.json.
        target: the file; it appears when it is whole.
        kind: how matrices are kept; everything else is F32.
    """
    values, tensors = _contents(folder, kind)
    _write(target, values, tensors)


def write_parts(folder: Path, target: Path, kind: Kind, parts: int) -> list[Path]:
    """Write a folder's model in several files, as llama.cpp's gguf-split does, and return them.

    Args:
        folder: as in `write`.
        target: beside which they lie; "model.gguf" becomes "model-00001-of-00002.gguf".
        kind: as in `write`.
        parts: how many.
    """
    values, tensors = _contents(folder, kind)
    files = [target.with_name(f"{target.stem}-{n + 1:05}-of-{parts:05}.gguf") for n in range(parts)]
    for number, file in enumerate(files):
        split = [
            ("split.no", _u16(number)),
            ("split.count", _u16(parts)),
            ("split.tensors.count", struct.pack("<Ii", I32, len(tensors))),
        ]
        _write(file, [*(values if number == 0 else []), *split], tensors[number::parts])
    return files


def _contents(folder: Path, kind: Kind) -> tuple[list[Value], list[Tensor]]:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    tensors = [
        (name, *_stored(value, kind)) for name, value in sorted(_tensors(folder, config).items())
    ]
    return [*_facts(config, kind), *_vocabulary(folder, config)], tensors


def _write(target: Path, values: list[Value], tensors: list[Tensor]) -> None:
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", VERSION, len(tensors), len(values)))
        for key, value in values:
            file.write(_text(key) + value)
        at = 0
        for name, shape, code, data in tensors:
            dims = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
            file.write(_text(name) + dims + struct.pack("<IQ", code, at))
            at += -(-data.nbytes // ALIGNMENT) * ALIGNMENT
        for *_, data in tensors:
            _align(file)
            file.write(data.tobytes())
        _align(file)
    part.rename(target)


def _align(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))


def _tensors(folder: Path, config: Mapping[str, Any]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, value in _weights(folder / "model.safetensors"):
        if name in OUTER:
            found[OUTER[name]] = value
            continue
        _, _, layer, rest = name.split(".", 3)
        part, _, end = rest.rpartition(".")
        reordered = value
        if config["model_type"] == "llama" and part.endswith(("q_proj", "k_proj")):
            heads = "num_attention_heads" if part.endswith("q_proj") else "num_key_value_heads"
            reordered = _interleaved(value, config[heads])
        found[f"blk.{layer}.{NAMES[part]}.{end}"] = reordered
    if config["tie_word_embeddings"]:
        found.pop("output.weight", None)
    return found


def _weights(file: Path) -> Iterator[tuple[str, Array]]:
    """Yield tensors of a safetensors file as f32."""
    raw = np.memmap(file, np.uint8, "r")
    size = int.from_bytes(raw[:8].tobytes(), "little")
    for name, about in json.loads(raw[8 : 8 + size].tobytes()).items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        data = raw[8 + size + begin : 8 + size + end]
        if about["dtype"] == "BF16":
            wide = data.view(np.uint16).astype(np.uint32) << 16
            yield name, wide.view(np.float32).reshape(about["shape"])
        else:
            yield name, data.view(np.float32).reshape(about["shape"])


def _interleaved(value: Array, heads: int) -> Array:
    """Return rows with rotary pairs side by side, as ggml's Llama wants them."""
    shape = (heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
    return value.reshape(shape).swapaxes(1, 2).reshape(value.shape)


def _stored(value: Array, kind: Kind) -> tuple[tuple[int, ...], int, Array]:
    if value.ndim == 1 or kind == "f32":
        return value.shape, TYPES["f32"], np.ascontiguousarray(value, np.float32)
    return value.shape, TYPES[kind], _q8_0(value)


def _q8_0(value: Array) -> Array:
    blocks = np.ascontiguousarray(value, np.float32).reshape(-1, BLOCK)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.empty((len(blocks), BLOCK + 2), np.uint8)
    out[:, :2] = scale.astype(np.float16).view(np.uint8)
    out[:, 2:] = np.rint(blocks * inverse).astype(np.int8).view(np.uint8)
    return out


def _facts(config: Mapping[str, Any], kind: Kind) -> list[tuple[str, bytes]]:
    family = config["model_type"]
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    numbers = {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": head,
        "vocab_size": config["vocab_size"],
    }
    return [
        ("general.architecture", _string(family)),
        ("general.name", _string("random")),
        ("general.file_type", _u32(FILE_TYPES[kind])),
        ("general.alignment", _u32(ALIGNMENT)),
        *((f"{family}.{name}", _u32(number)) for name, number in numbers.items()),
        (f"{family}.attention.layer_norm_rms_epsilon", _f32(config["rms_norm_eps"])),
        (f"{family}.rope.freq_base", _f32(theta)),
    ]


def _vocabulary(folder: Path, config: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    count = config["vocab_size"]
    tokens = [f"<unused_{i}>" for i in range(count)]
    kinds = [UNUSED_TOKEN] * count
    for token, number in tokenizer["model"]["vocab"].items():
        tokens[number], kinds[number] = token, NORMAL_TOKEN
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL_TOKEN
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    end = config["eos_token_id"]
    return [
        ("tokenizer.ggml.model", _string("gpt2")),
        ("tokenizer.ggml.pre", _string("gpt-2")),
        ("tokenizer.ggml.tokens", _array(STRING, [_text(t) for t in tokens])),
        ("tokenizer.ggml.token_type", _array(I32, [struct.pack("<i", k) for k in kinds])),
        ("tokenizer.ggml.merges", _array(STRING, [_text(m) for m in merges])),
        ("tokenizer.ggml.bos_token_id", _u32(config["bos_token_id"] or end)),
        ("tokenizer.ggml.eos_token_id", _u32(end)),
        ("tokenizer.ggml.padding_token_id", _u32(config["pad_token_id"])),
        ("tokenizer.ggml.add_bos_token", struct.pack("<I?", BOOL, False)),
        *_template(folder),
    ]


def _template(folder: Path) -> list[tuple[str, bytes]]:
    file = folder / "chat_template.jinja"
    if not file.is_file():
        return []
    return [("tokenizer.chat_template", _string(file.read_text("utf-8")))]


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _string(value: str) -> bytes:
    return struct.pack("<I", STRING) + _text(value)


def _u16(value: int) -> bytes:
    return struct.pack("<IH", U16, value)


def _u32(value: int) -> bytes:
    return struct.pack("<II", U32, value)


def _f32(value: float) -> bytes:
    return struct.pack("<If", F32, value)


def _array(kind: int, values: list[bytes]) -> bytes:
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(values)
