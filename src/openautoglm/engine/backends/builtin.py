"""The backends of the package as entries; each is imported when it is loaded, not before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from openautoglm.engine.backend import BackendEntry
from openautoglm.engine.sampling import BASIC, sampling_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backend import Backend, LoadSpec


def _later(module: str) -> Callable[[LoadSpec], Backend]:
    def load(spec: LoadSpec) -> Backend:
        home = import_module(f"openautoglm.engine.backends.{module}")
        return cast("Backend", home.load(spec))

    return load


TRANSFORMERS: Final = (
    *BASIC,
    *("min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("logit_bias", "min_tokens"),
)
"""What the decode loop of the `transformers` backend honours."""


def _cannot(name: str) -> Callable[[LoadSpec], str | None]:
    def why_not(spec: LoadSpec) -> str | None:
        home = import_module(f"openautoglm.engine.backends.{name}.suitability")
        return cast("str | None", home.why_not(spec))

    return why_not


BUILTIN: Final = {
    "native": BackendEntry(
        load=_later("native.loading"),
        summary="a model folder or hub name, decoded here by our own operators, without torch",
        options=(
            "mode",
            "slots",
            "context",
            "threads",
            "processes",
            "worker_timeout_s",
            "speculate",
            "deterministic",
            "truncate",
            "offline",
        ),
        extra="local",
        takes_adapters=True,
        why_not=_cannot("native"),
        sampling=sampling_names(),
    ),
    "transformers": BackendEntry(
        load=_later("transformers"),
        summary="a model folder or hub name, run here with torch",
        options=("batch_size", "kernels", "compile", "offline", "threads", "truncate"),
        extra="local",
        sampling=TRANSFORMERS,
    ),
    "gguf": BackendEntry(
        load=_later("gguf"),
        summary="a GGUF file, computed by llama.cpp, many sequences in one batch",
        options=("slots", "context", "threads", "cache", "speculate", "truncate"),
        extra="gguf",
        sampling=sampling_names(),
    ),
    "vllm": BackendEntry(
        load=_later("vllm"),
        summary="a model folder or hub name, run by vLLM in this process, on a GPU",
        options=("slots", "context", "memory_share", "adapter_rank", "truncate", "offline"),
        extra="vllm",
        why_not=_cannot("vllm"),
        sampling=sampling_names(),
        takes_adapters=True,
    ),
    "nano": BackendEntry(
        load=_later("nano"),
        summary="the small model that comes with the package",
        options=("batch_size", "threads", "processes", "worker_timeout_s", "mode", "truncate"),
        extra="local",
        takes_adapters=True,
        sampling=TRANSFORMERS,
    ),
    "openai": BackendEntry(
        load=_later("openai"),
        summary="any server that speaks OpenAI's protocol",
        options=("base_url", "api_key", "model", "timeout_s", "max_retries", "concurrency"),
        extra="openai",
        sampling=sampling_names(),
    ),
}
