"""What an adapter's own config says: its ranks, its scales, and which modules it changes.

Owns `AdapterConfig`: the `adapter_config.json` of PEFT's LoRA, and the refusal of what this backend
does not compute. Knows modules by their names alone. Its patterns are regular expressions and run
as they are: one that takes for ever is not guarded against.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from openautoglm.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

CONFIG: Final = "adapter_config.json"
MERGE: Final = "merge it into its base with peft's `merge_and_unload`, and load the merged model"
ALL_LINEAR: Final = "all-linear"
HEAD: Final = "lm_head"
REFUSED: Final = {
    "use_dora": "DoRA",
    "modules_to_save": "modules saved whole",
    "layer_replication": "replicated layers",
    "trainable_token_indices": "trained tokens",
    "target_parameters": "parameters that are no modules",
    "fan_in_fan_out": "weights that are stored transposed",
    "lora_bias": "biases of its own",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal matrices",
    "alora_invocation_tokens": "activation by tokens",
    "arrow_config": "routing between adapters",
}
"""What changes the result in a way that this backend does not compute, by the config's names."""
RESIDUAL: Final = ("pissa", "olora", "corda", "loftq")
"""Ways to begin training that change the base's weights too."""

Names: TypeAlias = list[str] | str
T = TypeVar("T")


class AdapterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An `adapter_config.json` of PEFT's LoRA; names and meaning are PEFT's.

    Attributes:
        r: rank of each pair of matrices.
        lora_alpha: scale is this over the rank, or over its root with `use_rslora`.
        target_modules: ends of modules' names, or a regular expression of whole names.
        rank_pattern: ranks of other modules, by regular expressions of the ends of their names.
        alpha_pattern: the same of `lora_alpha`.
        base_model_name_or_path: what it was trained on.
    """

    r: int = 8
    lora_alpha: float = 8
    use_rslora: bool = False
    target_modules: Names | None = None
    exclude_modules: Names | None = None
    layers_to_transform: list[int] | int | None = None
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    base_model_name_or_path: str | None = None
    auto_mapping: dict[str, Any] | None = None

    @property
    def base_class(self) -> str | None:
        """The class of the base, where it is named."""
        name = (self.auto_mapping or {}).get("base_model_class")
        return name if isinstance(name, str) else None

    def rank_of(self, module: str) -> int:
        """Return the rank of a module's pair."""
        return _by_pattern(self.rank_pattern, module, self.r)

    def scale_of(self, module: str) -> float:
        """Return by what the product of a module's pair is multiplied."""
        alpha = _by_pattern(self.alpha_pattern, module, self.lora_alpha)
        rank = self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    def targets(self, modules: Collection[str]) -> list[str]:
        """Return which of a base's modules it changes.

        Raises:
            AdapterError: it names modules that the base lacks, or none.
        """
        if self.target_modules == ALL_LINEAR:
            named = [module for module in modules if module != HEAD]
        else:
            named = [module for module in modules if _is_named(self.target_modules, module)]
        self._check_known(modules, named)
        left_out = self.exclude_modules or []
        return [m for m in named if not _is_named(left_out, m) and self._is_layer(m)]

    def _check_known(self, modules: Collection[str], named: Collection[str]) -> None:
        wanted = self.target_modules
        missing = wanted if isinstance(wanted, str) and not named else None
        if isinstance(wanted, list):
            lacking = [t for t in wanted if not any(_is_named([t], m) for m in modules)]
            missing = ", ".join(lacking)
        if missing or wanted is None:
            ends = sorted({module.rpartition(".")[2] for module in modules})
            raise AdapterError(
                "the adapter changes modules that this model does not have",
                got=f"target_modules: {missing}; it has {', '.join(ends)}",
                fix="load it with the base it was trained on",
            )

    def _is_layer(self, module: str) -> bool:
        given = self.layers_to_transform
        if given is None:
            return True
        wanted = given if isinstance(given, list) else [given]
        found = re.search(r"\.(\d+)\.", module)
        return found is not None and int(found[1]) in wanted


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read a folder's config.

    Raises:
        AdapterError: there is none, it is of another kind of adapter, or asks for what this backend
            does not compute.
    """
    file = folder / CONFIG
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise AdapterError(
            f"no {CONFIG}",
            got=folder,
            fix=f"point at the folder that peft's `save_pretrained` wrote, which holds {CONFIG}",
        ) from cause
    try:
        values = msgspec.json.decode(data, type=dict[str, Any])
        _check_kind(values)
        config = msgspec.convert(values, AdapterConfig)
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise AdapterError(
            f"{CONFIG} is not one of peft's", got=str(cause), fix="save it again"
        ) from cause
    _check_numbers(config)
    return config


def _check_kind(values: Mapping[str, Any]) -> None:
    kind = values.get("peft_type", "LORA")
    if kind != "LORA":
        raise AdapterError("only adapters of the kind LORA are taken", got=repr(kind), fix=MERGE)
    for problem, got in _refused(values):
        raise AdapterError(f"the adapter has {problem}", got=got, fix=MERGE)


def _refused(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, problem in REFUSED.items():
        if values.get(name):
            yield f"{problem}, which this backend does not compute", f"{name}={values[name]!r}"
    if values.get("bias", "none") != "none":
        yield "trained biases, which this backend does not compute", f"bias={values['bias']!r}"
    begun = values.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower().startswith(RESIDUAL):
        problem = "a base whose weights were changed before training"
        yield problem, f"init_lora_weights={begun!r}"


def _check_numbers(config: AdapterConfig) -> None:
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, name):
            _compiled(pattern, name)
    wanted = config.target_modules
    if isinstance(wanted, str) and wanted != ALL_LINEAR:
        _compiled(wanted, "target_modules")
    ranks = {"r": config.r, **config.rank_pattern}
    alphas = {"lora_alpha": config.lora_alpha, **config.alpha_pattern}
    bad: dict[str, float] = {name: rank for name, rank in ranks.items() if rank < 1}
    bad |= {name: alpha for name, alpha in alphas.items() if not math.isfinite(alpha)}
    for name, value in bad.items():
        raise AdapterError(
            f"{CONFIG} has a number that cannot be", got=f"{name}={value}", fix="save it again"
        )


def _compiled(pattern: str, name: str) -> None:
    try:
        re.compile(pattern)
    except re.error as cause:
        raise AdapterError(
            f"`{name}` of {CONFIG} holds no regular expression",
            got=f"{pattern!r}: {cause}",
            fix="correct it",
        ) from cause


def _is_named(targets: Names | None, module: str) -> bool:
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets or ())


def _by_pattern(patterns: Mapping[str, T], module: str, otherwise: T) -> T:
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise
