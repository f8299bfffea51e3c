"""Whether this backend can run a model, found out without loading it or vLLM.

Owns `why_not`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.engine.model_folder import find_weights
from openautoglm.errors import OpenAutoGLMError
from openautoglm.ops.gpus import visible_gpus

if TYPE_CHECKING:
    from openautoglm.engine.backend import LoadSpec

OLDEST: Final = (7, 0)
"""The compute capability that vLLM's kernels begin with."""
SHARE: Final = 0.9
"""The part of the GPU's memory that vLLM takes where it is not told."""
GIB: Final = 2**30


def why_not(spec: LoadSpec) -> str | None:
    """Return why vLLM cannot run the model of a spec here, None if it can.

    Args:
        spec: its model is a folder.
    """
    if not spec.device.startswith(("auto", "cuda")):
        return "it computes on a GPU"
    gpus = visible_gpus()
    if not gpus:
        return "it computes on a GPU, and this machine has none"
    if gpus[0].capability < OLDEST:
        return "the GPU of this machine is older than its kernels"
    if find_spec("vllm") is None:
        return "vllm is not installed"
    return _too_large(Path(spec.model or "").expanduser(), gpus[0].memory_bytes)


def _too_large(folder: Path, memory_bytes: int) -> str | None:
    """Return why a folder's weights do not fit the first GPU, None where they do or nobody says."""
    try:
        weights = sum(file.stat().st_size for file in find_weights(folder))
    except (OpenAutoGLMError, OSError):
        return None  # whatever loads it says what is wrong
    if not memory_bytes or weights <= memory_bytes * SHARE:
        return None
    return f"its weights take {weights / GIB:.1f} GiB and the GPU has {memory_bytes / GIB:.1f} GiB"
