"""The names of dtypes and what they are in DLPack.

Owns the closed set of names; knows no array library.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class DLPackType:
    """A dtype of one lane as DLPack writes it: its type code and its width in bits."""

    code: int
    bits: int


DTYPES: Final[Mapping[str, DLPackType]] = MappingProxyType(
    {
        "f16": DLPackType(2, 16),
        "bf16": DLPackType(4, 16),
        "f32": DLPackType(2, 32),
        "f64": DLPackType(2, 64),
        "i8": DLPackType(0, 8),
        "i16": DLPackType(0, 16),
        "i32": DLPackType(0, 32),
        "i64": DLPackType(0, 64),
        "u8": DLPackType(1, 8),
        "u16": DLPackType(1, 16),
        "u32": DLPackType(1, 32),
        "u64": DLPackType(1, 64),
        "bool": DLPackType(6, 8),
        "f8_e4m3fn": DLPackType(10, 8),
        "f8_e5m2": DLPackType(12, 8),
    }
)
"""Every dtype name, with its DLPack code and bits."""

FLOATS: Final = ("f16", "bf16", "f32", "f64")
INTEGERS: Final = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
EVERY_DTYPE: Final = tuple(DTYPES)


def listed(names: Iterable[str], *, last: str = "and") -> str:
    """Return names as a person lists them.

    Example:
        >>> listed(["f16", "bf16", "f32"])
        'f16, bf16 and f32'
    """
    *most, end = list(names) or ["none"]
    return f"{', '.join(most)} {last} {end}" if most else end
