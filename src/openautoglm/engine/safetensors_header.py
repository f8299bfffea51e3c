"""The header of a safetensors file, read and checked against the file in pure Python.

Owns the layout rules of the format (https://github.com/huggingface/safetensors#format). Does not
guard against flipped bits inside a tensor: the format has no checksum. Knows nothing of torch.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openautoglm.errors import WeightsCorruptError

if TYPE_CHECKING:
    from pathlib import Path

MAX_HEADER_BYTES: Final = 100_000_000  # the limit of the format's reference implementation
LENGTH_BYTES: Final = 8  # the header's length, little-endian
MAX_DIMENSION: Final = 2**48
DTYPE_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
AGAIN: Final = "download or copy the file again"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor of a file: where it lies and what it holds.

    Attributes:
        name: its name.
        dtype: the format's name, e.g. "BF16".
        shape: its sizes.
        start: first byte, counted from the end of the header.
        end: one past the last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_header(path: Path) -> tuple[TensorEntry, ...]:
    """Read a file's header and check it against the file's size; tensors in order of position.

    Raises:
        WeightsCorruptError: truncated, overlapping or out-of-range tensors, a header that is not
            the JSON it should be.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
        if first == b"version ":
            raise WeightsCorruptError(
                "the weights were not downloaded: this is a Git LFS pointer",
                got=path,
                fix="run `git lfs pull` in the model folder",
            )
        length = int.from_bytes(first, "little")
        if len(first) < LENGTH_BYTES or length > min(size - LENGTH_BYTES, MAX_HEADER_BYTES):
            raise _corrupt(path, f"header of {length} bytes in a file of {size}", "is cut short")
        raw = file.read(length)
    entries = sorted(_parse(path, raw), key=lambda e: (e.start, e.end))
    _check_layout(path, entries, size - LENGTH_BYTES - length)
    return tuple(entries)


def _parse(path: Path, raw: bytes) -> list[TensorEntry]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as cause:
        raise _corrupt(path, str(cause)[:200], "has a header that is not JSON") from cause
    if not isinstance(header, dict):
        raise _corrupt(path, type(header).__name__, "has a header that is not an object")
    header.pop("__metadata__", None)
    return [_entry(path, name, value) for name, value in header.items()]


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice")
    return result


def _entry(path: Path, name: str, value: object) -> TensorEntry:
    if not isinstance(value, dict):
        raise _corrupt(path, f"{name}: {type(value).__name__}", "describes a tensor wrongly")
    dtype, shape, offsets = (value.get(k) for k in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _corrupt(path, f"{name}: dtype {dtype!r}", "holds a tensor of an unknown dtype")
    sizes, span = _sizes(shape), _sizes(offsets)
    if sizes is None or span is None or len(span) != len(("start", "end")):
        raise _corrupt(path, f"{name}: {shape!r}, {offsets!r}", "describes a tensor wrongly")
    entry = TensorEntry(name=name, dtype=dtype, shape=sizes, start=span[0], end=span[1])
    if entry.count * DTYPE_BITS[dtype] != (entry.end - entry.start) * 8:
        got = f"{name}: {dtype}{list(entry.shape)} in {entry.end - entry.start} bytes"
        raise _corrupt(path, got, "gives a tensor the wrong number of bytes")
    return entry


def _sizes(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    sizes = tuple(i for i in value if type(i) is int and 0 <= i <= MAX_DIMENSION)
    return sizes if len(sizes) == len(value) else None


def _check_layout(path: Path, entries: list[TensorEntry], data_bytes: int) -> None:
    """Every byte belongs to one tensor: no overlap, no hole, nothing past the end."""
    expected = 0
    for entry in entries:
        if entry.start != expected:
            problem = "holds tensors that overlap" if entry.start < expected else "has a hole"
            raise _corrupt(path, f"{entry.name} starts at {entry.start}, not {expected}", problem)
        expected = entry.end
    if expected != data_bytes:
        problem = "is cut short" if expected > data_bytes else "has bytes no tensor owns"
        raise _corrupt(path, f"{data_bytes} bytes of {expected}", problem)


def _corrupt(path: Path, got: str, problem: str) -> WeightsCorruptError:
    return WeightsCorruptError(f"the weights file `{path.name}` {problem}", got=got, fix=AGAIN)
