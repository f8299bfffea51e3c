"""Run a Hugging Face model folder, or a name on the hub, with torch on this machine.

Owns the `transformers` backend. Importing this package imports neither torch nor transformers; its
modules do, and no other module of openautoglm may.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from openautoglm.settings import need

if TYPE_CHECKING:
    from openautoglm.engine.backend import Backend, LoadSpec


def load(spec: LoadSpec, *, name: str = "transformers") -> Backend:
    """Check the folder or fetch the name, then load it; errors as `AutoGLM`.

    The model called "nano" is small and computes with one thread, unless the caller says otherwise
    or the process had torch, and so a number of threads of its own, before.
    """
    from openautoglm.engine.source import find_folder

    folder = find_folder(spec)
    is_free = "torch" not in sys.modules and "OMP_NUM_THREADS" not in os.environ
    need("torch", extra="local", why="running a model here")
    need("transformers", extra="local", why="running a model here")
    from openautoglm.engine.backends.transformers.loading import load_backend
    from openautoglm.engine.backends.transformers.threads import use_threads

    use_threads(spec.options, default=1 if name == "nano" and is_free else None)
    label = name if spec.model is None or name != "transformers" else spec.model
    return load_backend(folder, spec, name=name, label=label)
