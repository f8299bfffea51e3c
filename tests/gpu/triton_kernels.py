"""A kernel in Triton, which reads the source of a module."""

# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def divide(x_ptr, out_ptr, count, by, BLOCK: tl.constexpr):  # noqa: ANN001, ANN201, N803 - Triton's own language
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(x_ptr + at, mask=inside)
    tl.store(out_ptr + at, x / by, mask=inside)
