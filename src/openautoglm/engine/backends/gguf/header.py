"""A GGUF file looked at without llama.cpp: what it says of its model.

Owns `GgufHeader`, `is_gguf` and `read_gguf`. Reads the keys and values in front of the tensors, in
versions 2 and 3 of the format; llama.cpp, which ends the process over some damage there, reads
the tensors, and reports what is wrong with those. Knows nothing of how a model is run.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import ModelFolderError, ModelNotFoundError, WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MOST_ENTRIES: Final = 1 << 20  # tensors or values; real files have thousands
MOST_LAYERS: Final = 512  # llama.cpp's own limit
MOST_WIDTH: Final = 1 << 24  # of a layer, and of a context
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS: Final = dict(zip((0, 1, 2, 3, 4, 5, 6, BOOL, 10, 11, 12), "BbHhIifBQqd", strict=True))
"""struct's letter for each type of a value that is neither a string nor an array."""
NEEDED: Final = {
    "context_length": MOST_WIDTH,
    "embedding_length": MOST_WIDTH,
    "block_count": MOST_LAYERS,
}
"""The numbers without which no model runs, and the most they may be."""
PART: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
"""What a file is called that is one of several: llama.cpp finds the others by their names."""
COUNTED: Final = {
    **NEEDED,
    "feed_forward_length": MOST_WIDTH,
    "attention.head_count": MOST_WIDTH,
    "attention.head_count_kv": MOST_WIDTH,
    "attention.key_length": MOST_WIDTH,
    "attention.value_length": MOST_WIDTH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a GGUF file says of its model.

    Attributes:
        path: the file.
        values: its values by key; of an array, a range as long as it.
        architecture: the family, e.g. "llama".
    """

    path: Path
    values: Mapping[str, object]
    architecture: str

    def count(self, name: str, default: int = 0) -> int:
        """Return a number of the family's own, such as `block_count`."""
        value = self.values.get(f"{self.architecture}.{name}", default)
        return value if isinstance(value, int) else default

    @property
    def file_bytes(self) -> int:
        """Size of the file, and of the others that are parts of the same model."""
        return sum(part.stat().st_size for part in _parts(self.path, self.values))

    @property
    def position_numbers(self) -> int:
        """Most numbers that the keys and values of one position are."""
        heads = self.count("attention.head_count", 1)
        each = self.count("embedding_length") // heads
        key_heads = self.count("attention.head_count_kv", heads)
        width = self.count("attention.key_length", each) + self.count(
            "attention.value_length", each
        )
        return self.count("block_count") * key_heads * width


def is_gguf(path: Path) -> bool:
    """Whether a path is a file that begins as GGUF files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_gguf(path: Path) -> GgufHeader:
    """Read what a GGUF file says of its model.

    Raises:
        ModelNotFoundError: no such file.
        ModelFolderError: it is no GGUF file, of a version or a byte order that is not read, or not
            the first of several that are one model, of which none may be missing.
        WeightsCorruptError: it is damaged before its tensors begin.
    """
    if not path.is_file():
        raise ModelNotFoundError(
            "the model is a folder, not a GGUF file" if path.exists() else "no such model file",
            got=path,
            fix="point at the .gguf file; leave backend out for a Hugging Face folder",
        )
    if not is_gguf(path):
        raise ModelFolderError(
            "the file is no GGUF file", got=path, fix="point at a file made for llama.cpp"
        )
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _header(path, _Reader(data))
        except (struct.error, UnicodeDecodeError, _Damage) as cause:
            raise WeightsCorruptError(
                "the GGUF file is truncated or damaged",
                got=f"{path.name}: {cause}",
                fix="download or copy it again",
            ) from cause


class _Damage(Exception):  # noqa: N818 - it leaves this module as an error of the project
    """What is wrong with a file."""


@final
class _Reader:
    """Where one is in a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = len(MAGIC)

    def number(self, letter: str) -> int | float:
        """Read one number, by struct's letter."""
        (value,) = struct.unpack_from(f"<{letter}", self.data, self.at)
        self.at += struct.calcsize(letter)
        return value if isinstance(value, float) else int(value)

    def count(self, letter: str, most: int, what: str) -> int:
        """Read a number that may not be above `most`."""
        value = int(self.number(letter))
        if value > most:
            raise _Damage(f"{value} {what} are not possible")
        return value

    def text(self) -> bytes:
        """Read a string."""
        size = self.count("Q", len(self.data) - self.at, "bytes of text")
        return self.data[self._skip(size) : self.at]

    def value(self) -> object:
        """Read a value of any type; of an array, a range as long as it."""
        kind = int(self.number("I"))
        if kind == STRING:
            return self.text().decode("utf-8", "replace")
        if kind != ARRAY:
            value = self.number(_letter(kind))
            return bool(value) if kind == BOOL else value
        kind = int(self.number("I"))
        count = self.count("Q", len(self.data) - self.at, "values of an array")
        if kind == STRING:
            for _ in range(count):
                self._skip(self.count("Q", len(self.data) - self.at, "bytes of text"))
        else:
            self._skip(count * struct.calcsize(_letter(kind)))
        return range(count)

    def _skip(self, size: int) -> int:
        """Go on, and return from where."""
        before = self.at
        self.at += size
        if self.at > len(self.data):
            raise _Damage(f"it ends before byte {self.at}")
        return before


def _letter(kind: int) -> str:
    letter = SCALARS.get(kind)
    if letter is None:
        raise _Damage(f"there is no type {kind} of values")
    return letter


def _header(path: Path, reader: _Reader) -> GgufHeader:
    version = reader.number("I")
    if version not in VERSIONS:
        raise ModelFolderError(
            "a GGUF file of this version, or of the other byte order, cannot be read",
            got=f"version {version}",
            fix="convert the model again with a recent llama.cpp",
        )
    reader.count("Q", MOST_ENTRIES, "tensors")
    values = dict(_values(reader, reader.count("Q", MOST_ENTRIES, "values")))
    _check_parts(path, values)
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise _Damage("it names no architecture")
    header = GgufHeader(path=path, values=values, architecture=architecture)
    _check_counts(header)
    return header


def _parts(path: Path, values: Mapping[str, object]) -> list[Path]:
    """Return the files that a model lies in, the first one first."""
    count = values.get("split.count", 0)
    if not isinstance(count, int) or count <= 1:
        return [path]
    named = PART.fullmatch(path.name)
    if named is None or int(named[3]) != count:
        raise ModelFolderError(
            f"the model lies in {count} files, which are found by their names",
            got=path.name,
            fix=f"give each its name back: NAME-00001-of-{count:05}.gguf, and so on",
        )
    return [path.with_name(f"{named[1]}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]


def _check_parts(path: Path, values: Mapping[str, object]) -> None:
    """Refuse one of several files that is not the first, and the first where others are missing."""
    parts = _parts(path, values)
    if values.get("split.no", 0) != 0:
        raise ModelFolderError(
            "the model lies in several files and this is not the first",
            got=path.name,
            fix=f"point at {parts[0]}: the others are found beside it",
        )
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ModelFolderError(
            "the model lies in several files, and some are missing",
            got=f"{len(missing)} of {len(parts)}: {', '.join(missing[:5])}",
            fix=f"download or copy them to {path.parent}",
        )


def _values(reader: _Reader, count: int) -> Iterator[tuple[str, object]]:
    for _ in range(count):
        key = reader.text().decode("utf-8")
        if not key:
            raise _Damage("a key is empty")
        yield key, reader.value()


def _check_counts(header: GgufHeader) -> None:
    """Refuse numbers that no model has: llama.cpp divides by some."""
    for name, most in COUNTED.items():
        key = f"{header.architecture}.{name}"
        value = header.values.get(key)
        if isinstance(value, range) or (value is None and name not in NEEDED):
            continue  # one for each layer, or a family that has no such thing
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise _Damage(f"`{key}` is {value!r}")
