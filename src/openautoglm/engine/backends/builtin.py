"""The backends of the package as entries; each is imported when it is loaded, not before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from openautoglm.engine.backend import BackendEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backend import Backend, LoadSpec


def _later(module: str) -> Callable[[LoadSpec], Backend]:
    def load(spec: LoadSpec) -> Backend:
        home = import_module(f"openautoglm.engine.backends.{module}")
        return cast("Backend", home.load(spec))

    return load


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
    ),
    "transformers": BackendEntry(
        load=_later("transformers"),
        summary="a model folder or hub name, run here with torch",
        options=("batch_size", "offline", "threads"),
        extra="local",
    ),
    "nano": BackendEntry(
        load=_later("nano"),
        summary="the small model that comes with the package",
        options=("batch_size", "threads"),
        extra="local",
    ),
    "openai": BackendEntry(
        load=_later("openai"),
        summary="any server that speaks OpenAI's protocol",
        options=("base_url", "api_key", "model", "timeout_s", "max_retries", "concurrency"),
        extra="openai",
    ),
}
