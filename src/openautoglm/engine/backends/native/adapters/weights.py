"""An adapter's weights as a decoder wants them: checked against its base, scaled, in its order.

Owns `Pair` and `read_adapter`: folders that PEFT wrote. Knows nothing of how they are computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.engine.backends.native.adapters.config import HEAD, MERGE, read_adapter_config
from openautoglm.engine.backends.native.weights.convert import linears
from openautoglm.engine.backends.native.weights.files import read_file
from openautoglm.engine.backends.native.weights.matrix import Part, pair_order, row_order
from openautoglm.engine.model_folder import read_config
from openautoglm.errors import AdapterError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.engine.backends.native.adapters.config import AdapterConfig
    from openautoglm.engine.backends.native.families.architecture import Architecture
    from openautoglm.engine.backends.native.weights.files import Stored

    Array = np.ndarray[Any, np.dtype[Any]]

FILES: Final = ("adapter_model.safetensors", "adapter_model.bin")
BASE_KEYS: Final = (
    *("model_type", "hidden_size", "num_hidden_layers", "intermediate_size"),
    *("num_attention_heads", "num_key_value_heads"),
)
"""What a base's config must say as the model's does."""
_NAME: Final = re.compile(
    r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight"
)
_SHOWN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A matrix of the base as adapters know it, and where its outputs lie in a packed one.

    Attributes:
        linear: name of the packed matrix.
        begin: its first output there.
        rows: its outputs.
        depth: its inputs.
        heads: how many heads' rotary pairs are reordered; 0 for none.
    """

    linear: str
    begin: int
    rows: int
    depth: int
    heads: int


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """What an adapter adds to one module: x times a.T times b, the scale already in b.

    Attributes:
        module: which.
        a: (rank, depth), f32.
        b: (rank, rows), f32, outputs in the order of the packed matrix.
    """

    module: Module
    a: Array
    b: Array

    @property
    def rank(self) -> int:
        """Its rank."""
        return len(self.a)


def modules(architecture: Architecture) -> dict[str, Module]:
    """Return the matrices of a decoder that adapters may change, by the names PEFT gives them."""
    found = {}
    for linear in linears(architecture):
        begins = accumulate(linear.rows, initial=0)
        for source, begin, rows, heads in zip(
            linear.sources, begins, linear.rows, linear.heads, strict=False
        ):
            name = HEAD if linear.name == "head" else source
            found[name] = Module(
                linear=linear.name, begin=begin, rows=rows, depth=linear.depth, heads=heads
            )
    return found


def read_adapter(
    folder: Path, architecture: Architecture, base: Mapping[str, object]
) -> list[Pair]:
    """Read a folder that PEFT wrote.

    Args:
        folder: with `adapter_config.json` and `adapter_model.safetensors` or `.bin`.
        architecture: of the base.
        base: the base's config.json.

    Raises:
        AdapterError: it is not whole, not for this base, or of a kind that is not computed.
        WeightsCorruptError: its file is damaged, or holds values that are not finite.
        UnsafeWeightsError: its `.bin` file carries code.
    """
    config = read_adapter_config(folder)
    _check_base(config, base)
    known = modules(architecture)
    stored = _by_module(_read(folder))
    targets = config.targets(known)
    _check_names(stored, targets, known)
    order = pair_order(architecture)
    return [_pair(name, known[name], stored[name], config, order) for name in targets]


def _read(folder: Path) -> Mapping[str, Stored]:
    for name in FILES:
        if (folder / name).is_file():
            return read_file(folder / name)
    raise AdapterError(
        "the adapter's folder has no weights", got=folder, fix=f"put {' or '.join(FILES)} there"
    )


def _by_module(stored: Mapping[str, Stored]) -> dict[str, dict[str, Stored]]:
    found: dict[str, dict[str, Stored]] = {}
    for name, one in stored.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise AdapterError(
                "the adapter holds a weight that is none of LoRA's two of a linear module",
                got=name,
                fix=MERGE,
            )
        found.setdefault(match["module"], {})[match["side"]] = one
    return found


def _check_names(
    stored: Mapping[str, Mapping[str, Stored]], targets: Sequence[str], known: Mapping[str, Module]
) -> None:
    strange = [name for name in stored if name not in known]
    lacking = [name for name in targets if set(stored.get(name, ())) != {"A", "B"}]
    spare = [name for name in stored if name not in targets]
    for problem, names in (
        ("changes modules that this model does not have", strange),
        ("lacks weights of modules that its config names", lacking),
        ("holds weights of modules that its config does not name", spare),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise AdapterError(
                f"the adapter {problem}",
                got=", ".join(names[:_SHOWN]) + more,
                fix="load it with the base it was trained on, or save it again",
            )


def _pair(
    name: str,
    module: Module,
    stored: Mapping[str, Stored],
    config: AdapterConfig,
    order: Array | None,
) -> Pair:
    rank = config.rank_of(name)
    shapes = {"A": (rank, module.depth), "B": (module.rows, rank)}
    for side, shape in shapes.items():
        if stored[side].array.shape != shape:
            raise AdapterError(
                "the adapter does not fit this model",
                got=f"lora_{side} of {name} is {list(stored[side].array.shape)}, not {list(shape)}",
                fix="load it with the base it was trained on",
            )
    heads = row_order(module.heads, order) if module.heads else None
    a = Part(f"lora_A of {name}", stored["A"]).rows(0, rank)
    b = Part(f"lora_B of {name}", stored["B"], heads).rows(0, module.rows)
    scale = np.float32(config.scale_of(name))
    return Pair(module, a, np.ascontiguousarray(b.T) * scale)


def _check_base(config: AdapterConfig, base: Mapping[str, object]) -> None:
    for of, ours, theirs in _differences(config, base):
        raise AdapterError(
            "the adapter was trained on another base",
            got=f"{of}: {theirs}, this model: {ours}",
            fix="load it with the base it was trained on; if it fits all the same, correct "
            "adapter_config.json",
        )


def _differences(
    config: AdapterConfig, base: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    """Yield what is known to differ: what it is of, the model's value, the adapter's."""
    classes = base.get("architectures")
    if config.base_class and isinstance(classes, list) and config.base_class not in classes:
        yield "base_model_class", classes, config.base_class
    path = config.base_model_name_or_path
    if not path:
        return
    ours = base.get("_name_or_path")
    if _is_hub_name(path) and isinstance(ours, str) and _is_hub_name(ours):
        if path.lower().split("/")[1] != ours.lower().split("/")[1]:  # the owner may be another
            yield "base_model_name_or_path", ours, path
        return
    try:
        theirs = read_config(Path(path).expanduser())
    except (OpenAutoGLMError, OSError, RuntimeError, ValueError):
        return  # a name, or a folder of another machine: the shapes decide
    for key in BASE_KEYS:
        if theirs.get(key) != base.get(key):
            yield f"{key} of {path}", base.get(key), theirs.get(key)


def _is_hub_name(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not Path(name).exists()
