"""Whether two results of torch are the same: dtype, shape, values within rounding."""

from __future__ import annotations

from typing import Any

import torch


class NotApplicableError(Exception):
    """A question that does not apply to an operator, with the reason."""


def tuple_of(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - one tensor or several
    """Return outputs as a tuple."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def difference(wanted: Any, got: Any) -> str:  # noqa: ANN401 - tensors
    """Return how results differ, in words; empty where they do not."""
    other_kind = difference_of_kind(wanted, got)
    if other_kind:
        return other_kind
    pairs = [p for p in zip(tuple_of(wanted), tuple_of(got), strict=True) if p[0] is not None]
    for place, (one, other) in enumerate(pairs):
        name = f"output {place}: " if len(pairs) > 1 else ""
        if not torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-5, equal_nan=True):
            worst = float((one.double() - other.double()).abs().max())
            return f"{name}values differ by up to {worst:.3g}"
    return ""


def difference_of_kind(wanted: Any, got: Any) -> str:  # noqa: ANN401 - tensors
    """Return how dtypes or shapes differ, in words; empty where they do not."""
    pairs = list(zip(tuple_of(wanted), tuple_of(got), strict=True))
    for place, (one, other) in enumerate(pairs):
        name = f"output {place}: " if len(pairs) > 1 else ""
        if _what(one) != _what(other):
            return f"{name}{_what(other)}, expected {_what(one)}"
    return ""


def _what(tensor: Any) -> str:  # noqa: ANN401 - a tensor or None
    if tensor is None:
        return "nothing"
    return f"{str(tensor.dtype).rpartition('.')[2]}{list(tensor.shape)}"
