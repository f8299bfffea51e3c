"""The families of decoders that the native backend reads, by `model_type`.

Owns `FAMILIES`. A family is a function from a config to an `Architecture`, in a file of its own: it
says which parts a layer has and what the config leaves unsaid. To add one, write that file, name it
in `_add_builtins`, and add its tiny decoders to `tests/conformance/engine/decoders.py`, where they
must equal transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from openautoglm.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backends.native.families.architecture import Architecture
    from openautoglm.engine.backends.native.families.config import Config

Family: TypeAlias = "Callable[[Config], Architecture]"


def _add_builtins(registry: Registry[Family]) -> None:
    from openautoglm.engine.backends.native.families import glm, glm4, llama, mistral, qwen2, qwen3

    for module in (glm, glm4, llama, mistral, qwen2, qwen3):
        registry.add(module.__name__.rpartition(".")[2], module.read)


FAMILIES: Final[Registry[Family]] = Registry("model family", builtins=_add_builtins)
"""By `model_type` of config.json."""
