"""From what a caller wrote to a backend with vLLM's engine loaded.

Owns `load_backend`: options, the folder, and the memory vLLM may take. Knows nothing of decoding.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.engine.backend import ModelInfo
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.backends.vllm.backend import VllmBackend
from openautoglm.engine.backends.vllm.decoder import VllmDecoder, vllm
from openautoglm.engine.backends.vllm.lora import RANKS
from openautoglm.engine.backends.vllm.suitability import SHARE
from openautoglm.engine.sampling import sampling_names
from openautoglm.engine.shortening import read_part
from openautoglm.engine.source import find_folder
from openautoglm.errors import (
    BackendUnavailableError,
    InvalidParameterError,
    ModelTooLargeError,
)
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.backend import LoadSpec
    from openautoglm.engine.model_folder import ModelFolder

SLOTS: Final = 256
IN_PROCESS: Final = "VLLM_ENABLE_V1_MULTIPROCESSING"
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")


def load_backend(spec: LoadSpec) -> VllmBackend:
    """Load a model folder or a name on the hub; errors as `AutoGLM`.

    Options: `slots` (sequences at once), `context` (tokens of each), `memory_share` (the part of
    the GPU's memory that vLLM takes), `adapter_rank` (the highest rank of LoRA adapters; none are
    taken without it), `truncate` (shorten prompts that are too long instead of
    refusing them), `offline`.
    """
    _check_device(spec.device)
    arguments = _arguments(spec)
    gives_up = read_part(spec.options)
    vllm()  # what is missing is said before anything is fetched
    folder = find_folder(spec)
    tokens = Tokens(folder)
    model = LoadedEngine({**arguments, "model": os.fspath(folder.path)})
    try:
        info = _info(spec, folder, model, slots=arguments["max_num_seqs"])
        return VllmBackend(model, tokens, info, gives_up=gives_up)
    except BaseException:
        model.close()
        raise


@final
class LoadedEngine:
    """An engine of vLLM, in this process, with its weights loaded.

    Args:
        arguments: of `vllm.EngineArgs`.

    Raises:
        ModelTooLargeError: the GPU has no room for it.
        BackendUnavailableError: vLLM cannot run it here.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._decoder: VllmDecoder | None = None
        self.adapter_rank = int(arguments.get("max_lora_rank", 0))
        os.environ.setdefault(IN_PROCESS, "0")
        home = vllm()
        config = need("vllm.config", extra="vllm", why="running a model with vLLM")
        masks = config.StructuredOutputsConfig(backend="guidance")  # llguidance, as everywhere here
        try:
            given = home.EngineArgs(**arguments, structured_outputs_config=masks)
            self._engine: Any = home.LLMEngine.from_engine_args(given)
        except Exception as cause:
            raise _cannot_load(cause) from cause

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        return int(self._engine.model_config.max_model_len)

    @property
    def vocabulary(self) -> int:
        """Number of tokens the model can emit."""
        return int(self._engine.model_config.get_vocab_size())

    @property
    def dtype(self) -> str:
        """What the weights are kept as."""
        return str(self._engine.model_config.dtype).removeprefix("torch.")

    def decoder(self) -> VllmDecoder:
        """Return what decodes with it; what another one had under way ends."""
        if self._decoder is not None:
            self._decoder.drop()
        self._decoder = VllmDecoder(self._engine)
        return self._decoder

    def close(self) -> None:
        """Give its memory back. Closing twice is fine."""
        engine, self._engine, self._decoder = self._engine, None, None
        if engine is None:
            return
        engine.engine_core.shutdown()
        del engine
        gc.collect()
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _check_device(device: str) -> None:
    if device not in {"auto", "cuda", "cuda:0"}:
        is_other = device.startswith("cuda:")
        raise BackendUnavailableError(
            "vLLM computes on the first GPU it sees" if is_other else "vLLM computes on a GPU",
            got=f"device={device!r}",
            fix=f"set CUDA_VISIBLE_DEVICES={device.removeprefix('cuda:')} instead"
            if is_other
            else 'leave device out, or use backend="native" or backend="transformers"',
        )


def _arguments(spec: LoadSpec) -> dict[str, Any]:
    """Return arguments of `vllm.EngineArgs`, all but the model."""
    options = spec.options
    if spec.dtype not in DTYPES:
        raise InvalidParameterError(
            f"no dtype is called `{spec.dtype}`", got=spec.dtype, fix=f"use {', '.join(DTYPES)}"
        )
    share = options.get("memory_share", SHARE)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise InvalidParameterError(
            "`memory_share` is a part of the GPU's memory",
            got=repr(share),
            fix=f"memory_share={SHARE}, say",
        )
    rank = _count(options, "adapter_rank")
    if rank is not None and rank not in RANKS:
        raise InvalidParameterError(
            "vLLM has no such highest rank of adapters",
            got=f"adapter_rank={rank}",
            fix=f"use one of: {', '.join(map(str, RANKS))}",
        )
    lora = {} if rank is None else {"enable_lora": True, "max_lora_rank": rank}
    return {
        **lora,
        "dtype": spec.dtype,
        "max_num_seqs": _count(options, "slots") or SLOTS,
        "max_model_len": _count(options, "context"),
        "gpu_memory_utilization": float(share),
        "enable_prefix_caching": True,
        "trust_remote_code": False,
        "generation_config": "vllm",  # its sampling defaults are not used, as everywhere here
        "disable_log_stats": True,
    }


def _count(options: Mapping[str, object], name: str) -> int | None:
    value = options.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidParameterError(
            f"`{name}` must be a whole number, at least 1", got=repr(value), fix=f"{name}=1, say"
        )
    return value if isinstance(value, int) else None


def _info(spec: LoadSpec, folder: ModelFolder, model: LoadedEngine, *, slots: int) -> ModelInfo:
    return ModelInfo(
        backend="vllm",
        model=spec.model or "",
        architecture=folder.architecture,
        context_length=model.context,
        vocabulary=model.vocabulary,
        parameters=folder.parameters,
        weights_bytes=folder.weights_bytes,
        device="cuda",
        dtype=model.dtype,
        concurrency=slots,
        sampling=sampling_names(),
    )


def _cannot_load(cause: Exception) -> BackendUnavailableError | ModelTooLargeError:
    said = f"{type(cause).__name__}: {cause}"[:300]
    if "memory" in said.lower() or "KV cache" in said:
        return ModelTooLargeError(
            "vLLM has no room for the model on the GPU",
            got=said,
            fix="pass a shorter context, fewer slots or a greater memory_share; or end what else "
            "uses the GPU",
        )
    return BackendUnavailableError(
        "vLLM cannot run the model on this machine",
        got=said,
        fix='see the cause; backend="transformers" runs any architecture',
    )
