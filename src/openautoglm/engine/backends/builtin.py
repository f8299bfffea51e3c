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


def _native_cannot(spec: LoadSpec) -> str | None:
    home = import_module("openautoglm.engine.backends.native.suitability")
    return cast("str | None", home.why_not(spec))


BUILTIN: Final = {
    "native": BackendEntry(
        load=_later("native.loading"),
        summary="a model folder or hub name, decoded here by our own operators, without torch",
        options=(
            "mode",
            "slots",
            "context",
            "threads",
            "speculate",
            "deterministic",
            "truncate",
            "offline",
        ),
        extra="local",
        why_not=_native_cannot,
        sampling=sampling_names(),
    ),
    "transformers": BackendEntry(
        load=_later("transformers"),
        summary="a model folder or hub name, run here with torch",
        options=("batch_size", "offline", "threads"),
        extra="local",
        sampling=TRANSFORMERS,
    ),
    "nano": BackendEntry(
        load=_later("nano"),
        summary="the small model that comes with the package",
        options=("batch_size", "threads", "mode"),
        extra="local",
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
