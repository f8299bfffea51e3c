"""Calls of a program that Python makes, and the question which kernel a call goes to.

Owns the way around NumPy's lack of bf16: such values reach a kernel written in Python as
`uint16`, and a native one, where a preference sends every call through Python, as what they are.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm.engine.backends.native.weights.files import widened
from openautoglm.native.program import BFLOAT_CODE, Rows
from openautoglm.ops import dispatch
from openautoglm.ops.arrays import as_writable
from openautoglm.ops.choose import CallFacts
from openautoglm.ops.kernel import REFERENCE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.native.program import Operand
    from openautoglm.ops.registered import RegisteredOperator
    from openautoglm.ops.table import KernelTable

_DTYPE_CODE: Final = 20
"""Offset of the dtype's code in DLPack's DLTensor: data, device and ndim stand before it."""
_SHORT: Final = {
    "float32": "f32",
    "float16": "f16",
    "uint16": "bf16",
    "int8": "i8",
    "uint8": "u8",
    "int64": "i64",
}


def make(found: RegisteredOperator, operands: Sequence[Operand], numbers: Sequence[int]) -> None:
    """Make a call through its operator, on the rows that a play means.

    The result is copied into the output's buffer, which may be one of the inputs.

    Raises:
        NoKernelError: no kernel takes the call.
        KernelFailedError: the kernel raised.
    """
    values = _values(operands, numbers)
    if not any(isinstance(o, Rows) and o.is_bf16 for o in operands):
        values[-1][...] = found(*values[:-1])
        return
    facts = _facts(found.table, operands, values)
    choice = found.table.choose(facts)
    if choice.winner is None:
        raise dispatch.no_kernel(found.table, facts, choice)
    if choice.winner.is_native:
        found.table.count(choice.winner)
        choice.winner.function(*map(_handed, values, operands))
        return
    if choice.winner.name == REFERENCE_NAME:  # it computes with values, not with bits
        values = [_wide(v, o) for v, o in zip(values, operands, strict=True)]
    inputs = len(found.opdef.inputs)
    out = np.empty_like(values[-1])
    dispatch.run(found.table, choice.winner, values[:inputs], values[inputs:-1], (out,))
    values[-1][...] = out


def kernel_of(found: RegisteredOperator, operands: Sequence[Operand]) -> str:
    """Return the name of the kernel that a call of one row would go to now."""
    table = found.table
    values = _values(operands, (1, 1))
    winner = table.choose(_facts(table, operands, values)).winner
    return "none" if winner is None else winner.name


def _values(operands: Sequence[Operand], numbers: Sequence[int]) -> list[Any]:
    return [o.of(numbers) if isinstance(o, Rows) else o for o in operands]


def _handed(value: Any, operand: Operand) -> Any:  # noqa: ANN401 - an array or a constant
    """Return an operand as a native kernel takes it."""
    if not isinstance(operand, Rows):
        return value
    writable = as_writable(value)
    return _Bfloat(writable) if operand.is_bf16 else writable


@final
class _Bfloat:
    """An array of bf16's bits that says through DLPack what they are."""

    def __init__(self, array: Any) -> None:  # noqa: ANN401 - an array of 16-bit whole numbers
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._array.__dlpack_device__()
        return device

    def __dlpack__(self, *, stream: object = None, **_: object) -> object:
        del stream
        capsule = self._array.__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        tensor = pointer(capsule, b"dltensor")
        ctypes.c_uint8.from_address(tensor + _DTYPE_CODE).value = BFLOAT_CODE
        return capsule


def _wide(value: Any, operand: Operand) -> Any:  # noqa: ANN401 - an array or a constant
    is_bf16 = isinstance(operand, Rows) and operand.is_bf16
    return widened(value, is_bf16=True) if is_bf16 else value


def _facts(table: KernelTable, operands: Sequence[Operand], values: Sequence[object]) -> CallFacts:
    names = table.opdef.input_names
    inputs = operands[: len(names)]
    dtypes = tuple(_SHORT[o.array.dtype.name] if isinstance(o, Rows) else None for o in inputs)
    return CallFacts(
        device="cpu",
        inputs=names,
        dtypes=dtypes,
        arrays="numpy",
        arguments=tuple(values[:-1]),
    )
