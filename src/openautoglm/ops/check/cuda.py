"""What a check has to know of GPUs: whether there is one, and whether CUDA still works.

CUDA cannot be used in the fork of a process that uses it: kernels are then called in the process
that asks.
"""

from __future__ import annotations

import os
import sys

from openautoglm.ops.machine import machine


def why_no_cuda() -> str:
    """Return why no kernel can be run on a GPU here; empty where one can."""
    if not machine().cuda:
        return "no GPU here"
    torch = sys.modules.get("torch")
    if torch is None:
        return "torch, which holds arrays on the GPU, is not asked"
    return "" if torch.version.cuda else "this torch is built without CUDA"


def is_cuda_started() -> bool:
    """Return whether this process has used CUDA by torch, so that a fork of it cannot."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def end_if_broken() -> None:
    """End this process if a kernel broke CUDA in it, saying how: no later call could be judged."""
    try:
        sys.modules["torch"].cuda.synchronize()
    except RuntimeError as broken:
        sys.stderr.write(f"ERROR: {str(broken).splitlines()[0]}\n")
        sys.stderr.flush()
        os._exit(1)
