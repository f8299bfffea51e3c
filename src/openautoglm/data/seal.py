"""What a shard was made of, noted in its last position: `sealed`, `unsealed`.

A source that can tell cheaply what is in a shard puts a digest of it behind the shard's `stop`.
Whoever reads the shard, in whatever process, compares it with what is there then. Knows no source.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.data.source import Position

MARK: Final = "\t"
"""Stands before a seal; no source has it in its positions."""
SEALED: Final = re.compile(rf"(.*){MARK}([0-9a-f]{{16}})", re.ASCII | re.DOTALL)


def seal_of(parts: Iterable[str]) -> str:
    """Return a digest of texts, in their order.

    Example:
        >>> seal_of(["a", "b"]) == seal_of(["a", "b"]) != seal_of(["ab"])
        True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()


def sealed(position: Position, seal: str) -> Position:
    """Return a position that carries a seal."""
    return f"{position}{MARK}{seal}"


def unsealed(position: Position) -> tuple[Position, str]:
    """Return a position without its seal, and the seal; empty where it has none.

    Example:
        >>> unsealed(sealed("0:12:1", seal_of(["a"]))) == ("0:12:1", seal_of(["a"]))
        True
        >>> unsealed("0:12:1")
        ('0:12:1', '')
    """
    found = SEALED.fullmatch(position)
    return (position, "") if found is None else (found[1], found[2])
