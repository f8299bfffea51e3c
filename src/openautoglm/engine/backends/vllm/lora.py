"""LoRA adapters of requests, as vLLM takes them.

Owns `check_adapter` and `lora_request`. vLLM reads an adapter's weights itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from openautoglm.engine.model_folder import read_json
from openautoglm.errors import AdapterError, InvalidParameterError, ModelFolderError
from openautoglm.settings import need

if TYPE_CHECKING:
    from openautoglm.engine.adapter import Adapter

CONFIG: Final = "adapter_config.json"
RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The highest ranks that vLLM can be told."""


def check_adapter(adapter: Adapter, *, most: int) -> None:
    """Refuse an adapter that vLLM would not take.

    Args:
        adapter: of a request, or to be of one.
        most: the highest rank that the model was loaded for; 0 for none.

    Raises:
        InvalidParameterError: the model was loaded for no adapters, or for smaller ones.
        AdapterError: its folder has no config that can be read.
    """
    file = Path(adapter.path) / CONFIG
    try:
        rank = read_json(file).get("r")
    except (OSError, ModelFolderError) as cause:
        raise AdapterError(
            f"the config of the adapter `{adapter.name}` cannot be read",
            got=f"{file}: {cause}"[:300],
            fix="point at a folder that PEFT saved",
        ) from cause
    if not isinstance(rank, int) or rank < 1:
        raise AdapterError(
            f"the config of the adapter `{adapter.name}` says no rank",
            got=f"r: {rank!r}",
            fix="save it again with PEFT; vLLM takes LoRA adapters alone",
        )
    if rank > most:
        enough = next((r for r in RANKS if r >= rank), RANKS[-1])
        raise InvalidParameterError(
            "the model was loaded for adapters of a smaller rank"
            if most
            else "the model was loaded for no adapters",
            got=f"rank {rank} of `{adapter.name}`, adapter_rank={most}",
            fix=f"load the model with adapter_rank={enough}",
        )


def lora_request(adapter: object) -> Any:  # noqa: ANN401 - a vllm.lora.request.LoRARequest
    """Return what vLLM wants with a request that has an adapter, None for one that has none."""
    if adapter is None:
        return None
    given = cast("Adapter", adapter)
    home = need("vllm.lora.request", extra="vllm", why="running a model with vLLM")
    return home.LoRARequest(given.name, given.number, given.path)
