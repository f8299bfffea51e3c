"""The weights of a folder as arrays that lie in its mapped files.

Owns `Stored` and `read_weights`. Knows nothing of what a weight means. `.bin` files are read by
`bin_weights`. It does not guard against a file that another process cuts short while it is mapped.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.engine.model_folder import find_weights
from openautoglm.engine.pickle_scan import check_bin
from openautoglm.engine.safetensors_header import LENGTH_BYTES, read_header
from openautoglm.errors import ModelFolderError

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, np.dtype[Any]]

DTYPES: Final = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
"""The dtypes a weight may have, by safetensors' names; NumPy has none for bf16."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One weight as it is stored.

    Attributes:
        array: its values, read-only.
        is_bf16: they are bf16, in an array of 16-bit whole numbers.
        is_mapped: it lies in a file, so that other processes that map it share its memory.
    """

    array: Array
    is_bf16: bool = False
    is_mapped: bool = False


def read_weights(folder: Path) -> dict[str, Stored]:
    """Return a folder's weights by name; nothing is copied from safetensors files.

    Raises:
        ModelFolderError: no weights, a missing shard, one name twice, a dtype that is no float.
        WeightsCorruptError: a file is damaged.
        UnsafeWeightsError: a `.bin` file carries code.
    """
    weights: dict[str, Stored] = {}
    for file in find_weights(folder):
        for name, stored in read_file(file).items():
            if name in weights:
                raise ModelFolderError(
                    "two weights files hold one weight",
                    got=f"{name}, again in {file.name}",
                    fix="remove the files that do not belong to the model",
                )
            weights[name] = stored
    return weights


def read_file(file: Path) -> dict[str, Stored]:
    """Return the weights of one file by name; errors as `read_weights`."""
    return _read_bin(file) if file.suffix == ".bin" else _mapped(file)


def widened(array: Array, *, is_bf16: bool) -> Array:
    """Return values as f32, contiguous; a view where they are that already."""
    if is_bf16:
        wide: Array = (array.astype(np.uint32) << 16).view(np.float32)
        return wide
    return np.ascontiguousarray(array, np.float32)


def _mapped(file: Path) -> dict[str, Stored]:
    entries = read_header(file)
    with file.open("rb") as opened:
        start = LENGTH_BYTES + int.from_bytes(opened.read(LENGTH_BYTES), "little")
        memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    weights = {}
    for entry in entries:
        if entry.dtype not in DTYPES:
            raise ModelFolderError(
                f"`{file.name}` holds a weight whose dtype this backend does not read",
                got=f"{entry.name}: {entry.dtype}, known: {', '.join(DTYPES)}",
                fix='use backend="transformers"',
            )
        flat = np.frombuffer(memory, DTYPES[entry.dtype], entry.count, start + entry.start)
        is_bf16 = entry.dtype == "BF16"
        weights[entry.name] = Stored(flat.reshape(entry.shape), is_bf16=is_bf16, is_mapped=True)
    return weights


def _read_bin(file: Path) -> dict[str, Stored]:
    check_bin(file)
    from openautoglm.engine.backends.native.weights.bin import read_bin

    return {name: Stored(array, is_bf16=is_bf16) for name, array, is_bf16 in read_bin(file)}
