"""A model folder looked at without torch: is it whole, is it safe, what is in it.

Owns `ModelFolder` and `inspect`. Knows the layout of Hugging Face folders and nothing of how a
model is run. Code that a folder brings along is never imported.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.engine.checksums import check_checksums
from openautoglm.engine.pickle_scan import check_bin
from openautoglm.engine.safetensors_header import DTYPE_BITS, read_header
from openautoglm.errors import ModelFolderError, ModelNotFoundError, UnknownArchitectureError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from openautoglm.engine.safetensors_header import TensorEntry

SAFETENSORS: Final = "model.safetensors"
BIN: Final = "pytorch_model.bin"
TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
)
CONTEXT_KEYS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
EMBEDDING: Final = "embed_tokens.weight"
MAX_NAMES: Final = 8  # in a message
FLOATS: Final = {"F64", "F32", "F16", "BF16"}
FLOAT_BYTES: Final = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """What a model folder holds.

    Attributes:
        path: the folder.
        config: its config.json.
        model_type: the family, e.g. "qwen2".
        architecture: the class the config names, or the family.
        weights: the weights files, in order.
        counts: how many numbers of each dtype the weights hold, by safetensors' names; empty for
            `.bin` files, which do not say without being unpickled.
        weights_bytes: size of the weights files.
        context_length: most tokens the model takes, or None.
        vocabulary: rows of the embedding, or None.
        has_tokenizer: whether a tokenizer's file is there.
        checksums: how many weights files were checked against a SHA-256.
    """

    path: Path
    config: Mapping[str, object]
    model_type: str
    architecture: str
    weights: tuple[Path, ...]
    counts: Mapping[str, int]
    weights_bytes: int
    context_length: int | None
    vocabulary: int | None
    has_tokenizer: bool
    checksums: int

    @property
    def parameters(self) -> int | None:
        """Number of weights, or None when the files do not say."""
        return sum(self.counts.values()) or None

    def bytes_as(self, float_bytes: int | None) -> int:
        """Return the memory the weights take when floats have `float_bytes`; None: as stored.

        Of `.bin` files it is taken from the dtype that config.json names.
        """
        if float_bytes is None:
            return self.weights_bytes
        if not self.counts:
            named = str(self.config.get("dtype") or self.config.get("torch_dtype"))
            return self.weights_bytes * float_bytes // FLOAT_BYTES.get(named, float_bytes)
        floats = {d: n for d, n in self.counts.items() if d in FLOATS}
        stored = sum(count * DTYPE_BITS[dtype] // 8 for dtype, count in floats.items())
        return max(self.weights_bytes - stored, 0) + sum(floats.values()) * float_bytes


def inspect(path: Path) -> ModelFolder:
    """Look at a model folder and check all that can be checked before loading.

    Raises:
        ModelNotFoundError: no such folder.
        ModelFolderError: no config, no weights, no tokenizer, a shard missing.
        WeightsCorruptError: a weights file is damaged.
        UnsafeWeightsError: a weights file carries code.
    """
    if not path.is_dir():
        raise ModelNotFoundError(
            "the model is a file, not a folder" if path.exists() else "no such model folder",
            got=path,
            fix="point at the folder that holds config.json",
        )
    config = read_config(path)
    model_type = str(config["model_type"])
    weights = find_weights(path)
    counts: Counter[str] = Counter()
    for file in weights:
        if file.suffix == ".bin":
            check_bin(file)
            continue
        for entry in read_header(file):
            counts[entry.dtype] += entry.count
            if entry.name.endswith(EMBEDDING):
                _check_vocabulary(config, entry)
    names = config.get("architectures")
    return ModelFolder(
        path=path,
        config=config,
        model_type=model_type,
        architecture=str(names[0]) if isinstance(names, list) and names else model_type,
        weights=weights,
        counts=counts,
        weights_bytes=sum(file.stat().st_size for file in weights),
        context_length=_first_int(config, CONTEXT_KEYS),
        vocabulary=_first_int(config, ("vocab_size",)),
        has_tokenizer=has_tokenizer(path),
        checksums=check_checksums(weights),
    )


def read_config(path: Path) -> Mapping[str, object]:
    """Read a folder's config.json; errors as `inspect`."""
    file = path / "config.json"
    if not file.is_file():
        raise ModelFolderError(
            "no config.json in the model folder",
            got=_contents(path),
            fix="point at the folder that holds config.json and the weights",
        )
    config = read_json(file)
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise ModelFolderError(
            "config.json names no `model_type`",
            got=f"keys: {', '.join(sorted(config)[:12]) or 'none'}",
            fix='add it, for example "model_type": "qwen2"',
        )
    return config


def find_weights(path: Path) -> tuple[Path, ...]:
    """Return a folder's weights files: one, or all the shards of its index; errors as `inspect`."""
    for name in (SAFETENSORS, BIN):
        if (path / name).is_file():
            return (path / name,)
        index = path / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
    raise ModelFolderError(
        "no weights in the model folder",
        got=_contents(path),
        fix=f"add {SAFETENSORS} or {BIN}, or its shards and their index",
    )


def has_tokenizer(path: Path) -> bool:
    """Return whether a folder holds the files of a tokenizer."""
    return any((path / name).is_file() for name in TOKENIZER_FILES)


def end_tokens(folder: ModelFolder, tokenizer_eos: int | None) -> frozenset[int]:
    """Return the tokens that end a text, of generation_config.json, config.json and tokenizer.

    Raises:
        ModelFolderError: generation_config.json is damaged.
    """
    file = folder.path / "generation_config.json"
    settings = read_json(file) if file.is_file() else {}
    found: set[int] = set()
    for value in (
        settings.get("eos_token_id"),
        folder.config.get("eos_token_id"),
        tokenizer_eos,
    ):
        values = value if isinstance(value, list) else [value]
        found.update(v for v in values if isinstance(v, int))
    return frozenset(found)


def check_architecture(folder: ModelFolder, known: Collection[str]) -> None:
    """Refuse a model family that is not among `known`.

    Raises:
        UnknownArchitectureError: and the families that are spelled nearly so.
    """
    if folder.model_type in known:
        return
    if "auto_map" in folder.config:
        raise UnknownArchitectureError(
            "the model needs Python code of its own, which is never run",
            got=f"{folder.model_type} with auto_map",
            fix="use a model whose architecture is built into transformers",
        )
    raise UnknownArchitectureError(
        f"no backend can generate text with the architecture `{folder.model_type}`",
        got=folder.architecture,
        fix=suggest(folder.model_type, tuple(known)) or "check `model_type` in config.json",
    )


def _check_vocabulary(config: Mapping[str, object], embedding: TensorEntry) -> None:
    rows, size = next(iter(embedding.shape), None), config.get("vocab_size")
    if isinstance(size, int) and rows != size:
        raise ModelFolderError(
            "the vocabulary of the weights is not that of config.json",
            got=f"{embedding.name} has {rows} rows, `vocab_size` is {size}",
            fix="set `vocab_size` to the rows of the embedding, or take both from one model",
        )


def _shards(index: Path) -> tuple[Path, ...]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelFolderError(f"`{index.name}` has no `weight_map`", fix="download it again")
    names = sorted({str(name) for name in shards.values()})
    foreign = [name for name in names if Path(name).name != name or name in {".", ".."}]
    if foreign:
        raise ModelFolderError(
            f"`{index.name}` names files outside the folder", got=foreign[0], fix="do not trust it"
        )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise ModelFolderError(
            f"`{index.name}` names weights files that are missing",
            got=f"{len(missing)} of {len(names)}: {', '.join(missing[:5])}",
            fix="download or copy the missing files",
        )
    return tuple(index.parent / name for name in names)


def read_json(file: Path) -> Mapping[str, object]:
    """Read a JSON object; raises `ModelFolderError` when the file holds none."""
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise ModelFolderError(
            f"`{file.name}` is not JSON", got=str(cause), fix="download or copy it again"
        ) from cause
    if not isinstance(value, dict):
        raise ModelFolderError(
            f"`{file.name}` is not a JSON object", got=type(value).__name__, fix="download it again"
        )
    return value


def _first_int(config: Mapping[str, object], keys: tuple[str, ...]) -> int | None:
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, dict) else {}):
        for key in keys:
            value = place.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def _contents(path: Path) -> str:
    names = sorted(item.name for item in path.iterdir())
    more = max(len(names) - MAX_NAMES, 0)
    shown = ", ".join(names[:MAX_NAMES]) or "nothing"
    return f"{path} holds {shown}" + (f" and {more} more" if more else "")
