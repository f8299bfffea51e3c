"""Arrays in memory with guard bytes around them, in any layout, of NumPy or torch.

Owns `Block`. Guards are bytes of 0xFF: a kernel that writes past an end changes them, one that
reads past an end of floats reads NaN. Far away writes are not seen: for these there is
AddressSanitizer. torch is used for dtypes NumPy lacks and for kernels that take its tensors only.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.ops.arrays import LONG_NAMES
from openautoglm.ops.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.check.sample import Layout

Bits = np.ndarray[Any, Any]
"""Elements as unsigned integers of their width."""

GUARD: Final = 256
"""Bytes before and behind every array."""
ALIGNMENT: Final = 64
_FILL: Final = 0xFF
has_guards: Final = ContextVar("openautoglm_check_guards", default=True)
"""Off under AddressSanitizer, whose own guards then stand next to every array."""
NUMPY_LACKS: Final = ("bf16", "f8_e4m3fn", "f8_e5m2")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """An array and the guarded memory it lies in.

    Attributes:
        array: of NumPy or torch, as the kernel takes it.
        memory: all bytes, guards among them; of NumPy, or of torch on a GPU.
        start: where the array's own memory begins.
        stop: behind its end.
    """

    array: Any
    memory: Any
    start: int
    stop: int

    def snapshot(self) -> bytes:
        """Return a copy of all bytes."""
        memory = self.memory
        on_cpu: Bits = memory if isinstance(memory, np.ndarray) else memory.cpu().numpy()
        return on_cpu.tobytes()

    def changed_guards(self, before: bytes) -> str:
        """Return where guard bytes changed since a snapshot, empty for nowhere."""
        now = self.snapshot()
        if now[: self.start] != before[: self.start]:
            return "before its first element"
        return "behind its last element" if now[self.stop :] != before[self.stop :] else ""

    def is_changed(self, before: bytes) -> bool:
        """Return whether the array's own bytes changed since a snapshot, gaps included."""
        return self.snapshot()[self.start : self.stop] != before[self.start : self.stop]


def place_dense(values: Bits, dtype: str, *, as_torch: bool = False) -> Block:
    """Put elements into guarded memory in order."""
    return _place(values, dtype, "dense", is_tensor=as_torch or dtype in NUMPY_LACKS)


def place(
    values: Bits, dtype: str, layout: Layout = "dense", *, as_torch: bool = False
) -> Block | None:
    """Put elements into guarded memory in a layout; None where the library has no such layout.

    Args:
        values: the elements as bits, in the shape of the array.
        dtype: what the bits are.
        layout: how the elements lie; `expanded` takes those with index 0 in the first dimension.
        as_torch: whether a tensor of torch is wanted.
    """
    is_tensor = as_torch or dtype in NUMPY_LACKS
    if is_tensor and layout == "negative":
        return None
    return _place(values, dtype, layout, is_tensor=is_tensor)


def _place(values: Bits, dtype: str, layout: Layout, *, is_tensor: bool) -> Block:
    shape = _base_shape(values.shape, layout)
    memory, start = _memory(prod(shape) * values.itemsize)
    stop = start + prod(shape) * values.itemsize
    base = memory[start:stop].view(values.dtype).reshape(shape)
    view = _laid_out(base, values.shape, layout)
    if layout == "expanded" and values.ndim:
        base[...] = values[:1]
    else:
        view[...] = values
    array = _tensor(base, view, dtype) if is_tensor else view.view(LONG_NAMES[dtype])
    return Block(array, memory, start, stop)


def on_device(block: Block, device: str) -> Block:
    """Return the same tensor in the same guarded memory on a device."""
    if device == "cpu":
        return block
    torch = sys.modules["torch"]
    guard = min(GUARD, block.start)
    memory = torch.from_numpy(block.memory[block.start - guard :]).to(device)
    stop = guard + block.stop - block.start
    tensor = block.array
    first = guard // tensor.element_size() + tensor.storage_offset()
    flat = memory[guard:stop].view(tensor.dtype)
    array = torch.as_strided(flat, tensor.shape, tensor.stride(), first)
    return Block(array, memory, guard, stop)


def place_output(spec: ArraySpec, *, as_torch: bool = False) -> Block:
    """Return a dense output whose every byte is the guard's, so that what is not written shows."""
    values = np.full(spec.shape, -1, dtype=np.int64).astype(bits_dtype(spec.dtype))
    return place_dense(values, spec.dtype, as_torch=as_torch)


def bits_dtype(dtype: str) -> str:
    """Return the unsigned integer of the width of a dtype, in NumPy's words."""
    return f"uint{DTYPES[dtype].bits}"


def to_bits(values: Bits, dtype: str) -> Bits:
    """Return values, rounded to a dtype, as bits."""
    if dtype not in NUMPY_LACKS:
        with np.errstate(all="ignore"):
            return np.asarray(values).astype(LONG_NAMES[dtype]).view(bits_dtype(dtype))
    torch = sys.modules["torch"]
    tensor = torch.from_numpy(np.asarray(values, dtype=np.float64)).to(_torch_dtype(dtype))
    whole = {8: torch.uint8, 16: torch.int16}[DTYPES[dtype].bits]
    bits: Bits = tensor.view(whole).numpy().view(bits_dtype(dtype))
    return bits


def read(array: Any) -> Bits:  # noqa: ANN401 - an array of NumPy or torch
    """Return the elements of an array: floats as f64, others as they are."""
    if not isinstance(array, np.ndarray):
        tensor = array.detach()
        ready: Bits = (tensor.double() if tensor.is_floating_point() else tensor).cpu().numpy()
        return ready
    return array.astype(np.float64) if array.dtype.kind == "f" else np.asarray(array, order="C")


def same_bytes(one: Sequence[Block], other: Sequence[Block]) -> bool:
    """Return whether arrays of the same dtypes and shapes have the same bytes."""
    pairs = zip(one, other, strict=True)
    return all(a.snapshot()[a.start : a.stop] == b.snapshot()[b.start : b.stop] for a, b in pairs)


def _base_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    if not shape:
        return shape
    if layout == "transposed":
        return shape[::-1]
    if layout == "sliced":
        return (*shape[:-1], shape[-1] * 2 + 1)
    return (min(shape[0], 1), *shape[1:]) if layout == "expanded" else shape


def _laid_out(base: Bits, shape: tuple[int, ...], layout: Layout) -> Bits:
    if not shape:
        return base
    if layout == "transposed":
        return base.T
    if layout == "sliced":
        return base[..., 1::2]
    if layout == "expanded":
        return np.broadcast_to(base, shape) if shape[0] else base
    return base[..., ::-1] if layout == "negative" else base


def _memory(size: int) -> tuple[Bits, int]:
    if not has_guards.get():
        return np.full(size, _FILL, dtype=np.uint8), 0
    memory = np.full(size + 2 * GUARD + ALIGNMENT, _FILL, dtype=np.uint8)
    return memory, GUARD + (-(memory.ctypes.data + GUARD)) % ALIGNMENT


def _tensor(base: Bits, view: Bits, dtype: str) -> Any:  # noqa: ANN401 - a tensor of torch
    torch = sys.modules["torch"]
    words = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
    flat = torch.from_numpy(base.reshape(-1).view(words[base.itemsize])).view(_torch_dtype(dtype))
    strides = [stride // view.itemsize for stride in view.strides]
    start = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    offset = start // view.itemsize if view.size else 0
    return torch.as_strided(flat, view.shape, strides, offset)


def _torch_dtype(dtype: str) -> Any:  # noqa: ANN401 - a dtype of torch
    return getattr(sys.modules["torch"], LONG_NAMES[dtype])
