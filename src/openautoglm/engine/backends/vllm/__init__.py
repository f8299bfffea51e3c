"""Run a Hugging Face folder, or a name on the hub, with vLLM in this process, on a GPU.

Owns the `vllm` backend: token ids go in and come out, texts and stopping are the native engine's.
Importing this package imports neither vLLM nor torch; its modules do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.engine.backend import Backend, LoadSpec


def load(spec: LoadSpec) -> Backend:
    """Check the folder or fetch the name, then load it; errors as `AutoGLM`."""
    from openautoglm.engine.backends.vllm.loading import load_backend

    return load_backend(spec)
