"""Rows whose id another row has: found in a source of any size, in eight bytes a row.

Owns `repeated_hashes` and `Seen`. Ids are compared as texts: the number 1 and the text "1" are one
id. Hashes only say where to look again; what is refused was compared exactly. Rows without an id,
and rows that cannot be read, are nobody's duplicates.
"""

from __future__ import annotations

import json
from array import array
from hashlib import blake2b
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.data.source import Record

FEW: Final = 200_000
"""So many hashes at a time are looked at in a set of Python's; it takes 20 MB."""


def id_of(record: Record, column: str) -> str | None:
    """Return the id of a row as text, None where it has none."""
    value = record.values.get(column)
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def repeated_hashes(ids: Iterable[str]) -> frozenset[int]:
    """Return the hashes that several ids have: of every id that is there twice, and hardly more.

    Example:
        >>> len(repeated_hashes(["a", "b", "a", "c"]))
        1
    """
    hashes = array("Q", map(hash_of, ids))
    if len(hashes) <= FEW:
        return frozenset(_repeated(hashes))
    if find_spec("numpy") is not None:
        return _by_sorting(hashes)
    return _in_slices(hashes, -(-len(hashes) // FEW))


def hash_of(text: str) -> int:
    """Return 64 bits of a text's hash, the same in every process."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@final
class Seen:
    """The ids that were met, of those worth looking at: the key of the first row of each."""

    def __init__(self, hashes: frozenset[int]) -> None:
        self._hashes = hashes
        self._keys: dict[str, str] = {}

    @property
    def is_looking(self) -> bool:
        """Whether any id is worth looking at."""
        return bool(self._hashes)

    def before(self, text: str | None, key: str) -> str | None:
        """Return the key of an earlier row with this id, or keep this one's and return None."""
        if text is None or hash_of(text) not in self._hashes:
            return None
        first = self._keys.setdefault(text, key)
        return None if first == key else first


def _repeated(hashes: Iterable[int]) -> Iterator[int]:
    met: set[int] = set()
    for one in hashes:
        if one in met:
            yield one
        met.add(one)


def _in_slices(hashes: array[int], slices: int) -> frozenset[int]:
    return frozenset(
        found
        for number in range(slices)
        for found in _repeated(one for one in hashes if one % slices == number)
    )


def _by_sorting(hashes: array[int]) -> frozenset[int]:
    import numpy as np

    ordered = np.frombuffer(hashes, dtype=np.uint64)
    ordered.sort()  # in the place of the array
    return frozenset(map(int, ordered[1:][ordered[1:] == ordered[:-1]]))
