"""Images and sounds of a dataset: which columns have them, and whether they are there.

Owns `media_of` and `absent_media`. `datasets` keeps such a value as an object of `bytes` and
`path`; without the bytes it is a file of the machine that the dataset was made on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.formats.arrow import Arrow
    from openautoglm.data.source import Row

NOTE: Final = b"huggingface"
"""In a schema's metadata: what `datasets` says of the columns."""
KINDS: Final = frozenset({"Audio", "Image", "Nifti", "Pdf", "Video"})


class _Feature(msgspec.Struct):
    kind: str = msgspec.field(name="_type", default="")


class _Info(msgspec.Struct):
    features: dict[str, object] = {}


class _Note(msgspec.Struct):
    info: _Info = msgspec.field(default_factory=_Info)


def media_of(schema: Arrow) -> tuple[str, ...]:
    """Return the columns that hold images, sounds or documents; of an unreadable note, none."""
    try:
        note = msgspec.json.decode((schema.metadata or {}).get(NOTE, b"{}"), type=_Note)
    except msgspec.DecodeError:
        return ()
    return tuple(name for name, said in note.info.features.items() if _kind(said) in KINDS)


def absent_media(row: Row, columns: Sequence[str]) -> str | None:
    """Return why a row is not whole: it has the path of something, and not the thing itself."""
    for name in columns:
        value = row.get(name)
        if isinstance(value, dict) and value.get("bytes") is None and value.get("path"):
            return f"`{name}` is not in the dataset, only its path: {value['path']}"
    return None


def _kind(said: object) -> str:
    try:
        return msgspec.convert(said, _Feature).kind
    except msgspec.ValidationError:
        return ""  # a list or an object of features, which is not looked into
