"""What a call should give: the reference computed in f64, and how far a kernel may be from it.

Owns the values of a sample, the tolerances and the comparison. Knows no kernel.
"""

from __future__ import annotations

import sys
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.check.memory import NUMPY_LACKS, Bits, to_bits
from openautoglm.ops.dtypes import FLOATS, INTEGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.opdef import OpDef

Tolerances: TypeAlias = "Mapping[str, float]"
"""By dtype: the largest error, relative to the expected value or, where that is larger, to the
largest finite value of the output (at least 1) times a tenth."""
Value: TypeAlias = "Bits | list[Bits] | None"

TOLERANCES: Final[Tolerances] = MappingProxyType(
    {"f64": 1e-10, "f32": 2e-5, "f16": 4e-3, "bf16": 3e-2, "f8_e4m3fn": 0.13, "f8_e5m2": 0.26}
)


def draw(opdef: OpDef, sample: Sample) -> list[Value]:
    """Return the values of every input as bits of its dtype; the same for the same sample."""
    drawn: list[Value] = []
    known: dict[ArraySpec, Bits] = {}
    for index, spec in enumerate(sample.specs(opdef)):
        if spec is None:
            drawn.append(None)
        elif isinstance(spec, tuple):
            ends = _index_end(opdef, sample, index)
            drawn.append(
                [_values(one, (sample.seed, index, n), ends) for n, one in enumerate(spec)]
            )
        elif sample.shared and spec in known:
            drawn.append(known[spec])
        else:
            bits = _values(spec, (sample.seed, index), _index_end(opdef, sample, index))
            known[spec] = bits
            drawn.append(_with_special(bits, spec, sample, index))
    return drawn


def expected(opdef: OpDef, inputs: Sequence[object], attrs: Sequence[object]) -> tuple[Bits, ...]:
    """Return what the reference gives for inputs in f64; it may be written for NumPy or torch.

    Raises:
        Exception: whatever the reference raises.
    """
    reference = reference_of(opdef)
    try:
        with np.errstate(all="ignore"):
            result = reference(*inputs, *attrs)
    except (TypeError, AttributeError):
        torch = sys.modules.get("torch")
        if torch is None:
            raise
        result = reference(*(_as_tensor(value) for value in inputs), *attrs)
    results = result if isinstance(result, tuple) else (result,)
    return tuple(np.asarray(one) for one in results)


def reference_of(opdef: OpDef) -> Callable[..., Any]:
    """Return the reference of an operator that has one.

    Raises:
        OperatorDefinitionError: it has none.
    """
    if opdef.reference is None:
        raise OperatorDefinitionError(
            f"operator `{opdef.name}` has no reference", fix="give it one to compare with"
        )
    return opdef.reference


def compare(got: Bits, wanted: Bits, dtype: str, tolerance: float) -> str:
    """Return where an output is not what it should be, in words; empty where it is."""
    if got.shape != wanted.shape:
        return f"shape {got.shape}, the reference gives {wanted.shape}"
    if dtype not in TOLERANCES:
        wrong = np.asarray(got != wanted)
    else:
        wrong = _differs(got, wanted.astype(np.float64), tolerance)
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = f"at {list(at)}" if at else "in its one element"
    more = f", and in {int(wrong.sum()) - 1} more of {wrong.size}" if wrong.sum() > 1 else ""
    return f"{got[at]:.8g} {where}, the reference gives {wanted[at]:.8g}{more}"


def _differs(got: Bits, wanted: Bits, tolerance: float) -> Bits:
    finite = np.isfinite(wanted)
    scale = max(1.0, float(np.abs(wanted[finite]).max(initial=0.0)))
    with np.errstate(all="ignore"):
        near = np.abs(got - wanted) <= tolerance * np.maximum(np.abs(wanted), scale / 10)
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.asarray(~np.where(finite, near, same))


def _values(spec: ArraySpec, seed: tuple[int, ...], end: int) -> Bits:
    rng = np.random.default_rng(seed)
    values: Bits
    if spec.dtype == "bool":
        values = rng.integers(0, 2, spec.shape)
    elif spec.dtype in INTEGERS:
        values = rng.integers(0, max(end, 1), spec.shape)
    else:
        values = np.asarray(rng.standard_normal(spec.shape))
    return to_bits(values, spec.dtype)


def _index_end(opdef: OpDef, sample: Sample, index: int) -> int:
    """Return where the integers of an input end.

    Integers beside floats are taken for indices into the sizes that the input does not have itself.
    """
    if opdef.inputs[0].dtypes[0] not in FLOATS or sample.dtypes[index] == sample.dtypes[0]:
        return 10
    own = opdef.inputs[index].shape or ()
    others = [size for symbol, size in sample.sizes if symbol not in own]
    return min(others, default=prod(sample.leading) or 1)


def _with_special(bits: Bits, spec: ArraySpec, sample: Sample, index: int) -> Bits:
    changed = bits.copy()
    for which, at, value in sample.special:
        if which == index and at < changed.size:
            changed.reshape(-1)[at] = to_bits(np.asarray(float(value)), spec.dtype)
    return changed


def _as_tensor(value: Any) -> Any:  # noqa: ANN401 - an argument
    torch = sys.modules["torch"]
    if isinstance(value, list):
        return [_as_tensor(one) for one in value]
    return value if value is None else torch.from_numpy(np.asarray(value, order="C"))


def needs_torch(dtypes: Sequence[str]) -> bool:
    """Return whether a dtype is among these that NumPy lacks."""
    return any(dtype in NUMPY_LACKS for dtype in dtypes)
