"""Run a GGUF file with llama.cpp, many sequences in one batch.

Owns the `gguf` backend: llama.cpp computes, the native engine does everything else. Importing this
package imports neither; its modules do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.engine.backend import Backend, LoadSpec


def load(spec: LoadSpec) -> Backend:
    """Check the file, then load it; errors as `AutoGLM`."""
    from openautoglm.engine.backends.gguf.loading import load_backend

    return load_backend(spec)
