"""Whether this backend can run a model, found out without loading it or vLLM.

Owns `why_not`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from openautoglm.ops.gpus import compute_capabilities

if TYPE_CHECKING:
    from openautoglm.engine.backend import LoadSpec

OLDEST: Final = (7, 0)
"""The compute capability that vLLM's kernels begin with."""


def why_not(spec: LoadSpec) -> str | None:
    """Return why vLLM cannot run the model of a spec here, None if it can.

    Args:
        spec: its model is a folder.
    """
    if not spec.device.startswith(("auto", "cuda")):
        return "it computes on a GPU"
    capabilities = compute_capabilities()
    if not capabilities:
        return "it computes on a GPU, and this machine has none"
    if max(capabilities) < OLDEST:
        return "the GPU of this machine is older than its kernels"
    return None if find_spec("vllm") is not None else "vllm is not installed"
