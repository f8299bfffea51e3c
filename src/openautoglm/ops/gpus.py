"""The NVIDIA GPUs that this process may use, asked of the driver's management library.

Neither torch nor CUDA is initialised by the question, so a process that forks later can still use
them. `CUDA_VISIBLE_DEVICES` counts as it does for CUDA: indices or beginnings of UUIDs, up to the
first that is none.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARY: Final = "libnvidia-ml.so.1"
UUID_BYTES: Final = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU.

    Attributes:
        capability: CUDA's compute capability, (9, 0) for an H100.
        uuid: as `nvidia-smi -L` prints it.
        memory_bytes: all the memory it has; 0 where the driver does not say.
    """

    capability: tuple[int, int]
    uuid: str
    memory_bytes: int = 0


class _Memory(ctypes.Structure):
    """NVML's `nvmlMemory_t`, in bytes."""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


def compute_capabilities() -> tuple[tuple[int, int], ...]:
    """Return the compute capability of every CUDA device of this process, by index; () for none.

    Where GPUs of several kinds are together, indices are those of `CUDA_DEVICE_ORDER=PCI_BUS_ID`
    if that is set, and otherwise newer GPUs come first, as CUDA puts them.
    """
    return tuple(gpu.capability for gpu in visible_gpus())


def visible_gpus() -> list[Gpu]:
    """Return the GPUs of this process in the order that `compute_capabilities` tells of."""
    found = _driver_gpus()
    if os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        found = sorted(found, key=lambda gpu: gpu.capability, reverse=True)
    return select(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def select(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """Return the GPUs that a value of CUDA_VISIBLE_DEVICES leaves, in its order.

    Example:
        >>> one, two = (Gpu(capability=(9, 0), uuid=f"GPU-{n}") for n in "ab")
        >>> [gpu.uuid for gpu in select([one, two], "1,GPU-a,-1,0")]
        ['GPU-b', 'GPU-a']
    """
    if visible is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for word in (part.strip() for part in visible.split(",")):
        if word.isdecimal() and int(word) < len(gpus):
            chosen.append(gpus[int(word)])
            continue
        if word.startswith("MIG-") and gpus:  # a slice of a GPU computes as the whole one does
            chosen.append(gpus[0])
            continue
        named = [gpu for gpu in gpus if word.startswith("GPU-") and gpu.uuid.startswith(word)]
        if len(named) != 1:
            break
        chosen.append(named[0])
    return chosen


def _driver_gpus() -> list[Gpu]:
    """Return all GPUs in the order of their bus; none where no driver answers."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        return []
    if driver.nvmlInit_v2() != 0:
        return []
    try:
        count = c_uint()
        if driver.nvmlDeviceGetCount_v2(byref(count)) != 0:
            return []
        asked = [_gpu(driver, index) for index in range(count.value)]
        return [gpu for gpu in asked if gpu is not None]
    finally:
        driver.nvmlShutdown()


def _gpu(driver: ctypes.CDLL, index: int) -> Gpu | None:
    """Return one GPU, or None where the driver does not let this process ask."""
    handle, major, minor = c_void_p(), c_int(), c_int()
    uuid = ctypes.create_string_buffer(UUID_BYTES)
    if driver.nvmlDeviceGetHandleByIndex_v2(c_uint(index), byref(handle)) != 0:
        return None
    if driver.nvmlDeviceGetCudaComputeCapability(handle, byref(major), byref(minor)) != 0:
        return None
    if driver.nvmlDeviceGetUUID(handle, ctypes.cast(uuid, c_char_p), c_uint(UUID_BYTES)) != 0:
        return None
    memory = _Memory()
    has_told = driver.nvmlDeviceGetMemoryInfo(handle, byref(memory)) == 0
    return Gpu(
        capability=(major.value, minor.value),
        uuid=uuid.value.decode("ascii", "replace"),
        memory_bytes=memory.total if has_told else 0,
    )
