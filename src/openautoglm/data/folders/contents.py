"""What a file of a folder is as a row: `TextContent` and `ImageContent`.

Knows no folder: it gets a file that is open, and how large it is.
"""

from __future__ import annotations

import base64
import codecs
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, final

from openautoglm.data.source import Column
from openautoglm.errors import BadRowError, DataUrlError

if TYPE_CHECKING:
    from openautoglm.data.source import Row

MOST_TEXT_BYTES: Final = 64 << 20
MOST_IMAGE_BYTES: Final = 20 << 20
IMAGE_ENDINGS: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
)
SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"BM", 0, "image/bmp"),
    (b"II*\x00", 0, "image/tiff"),
    (b"MM\x00*", 0, "image/tiff"),
    (b"ftypavif", 4, "image/avif"),
    (b"ftypheic", 4, "image/heic"),
)
"""How kinds of images begin: the bytes, where they stand, the media type."""


class Content(Protocol):
    """Makes a row of a file."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What its rows have, besides `path`."""
        ...

    @property
    def most_bytes(self) -> int:
        """A larger file is a bad row, and is not read."""
        ...

    def takes(self, ending: str) -> bool:
        """Whether a file with this ending, in lower case, is taken where no pattern is given."""
        ...

    def row(self, file: BinaryIO) -> Row:
        """Read a file.

        Raises:
            BadRowError: it is not what it should be; does not name it.
        """
        ...


@final
class TextContent:
    """Texts, whole.

    Args:
        encoding: of all of them.
        most_bytes: of one.

    Raises:
        DataUrlError: Python knows no such encoding.
    """

    columns = (Column(name="text", kind="text", nullable=False),)

    def __init__(self, encoding: str, most_bytes: int = MOST_TEXT_BYTES) -> None:
        self.most_bytes = most_bytes
        try:
            self._encoding = codecs.lookup(encoding).name
            "".encode(self._encoding)
        except (LookupError, UnicodeError) as cause:
            raise DataUrlError(
                f"there is no encoding of texts called `{encoding}`",
                fix="as in ?encoding=gb18030; the usual one, utf-8, need not be named",
            ) from cause

    def takes(self, ending: str) -> bool:
        """Take text files."""
        return ending == ".txt"

    def row(self, file: BinaryIO) -> Row:
        """Decode a file; a byte order mark is left out."""
        content = file.read()
        try:
            return {"text": content.decode(self._encoding).removeprefix("\ufeff")}
        except UnicodeDecodeError as cause:
            raise BadRowError(
                f"the file is not {self._encoding} at byte {cause.start}",
                got=content[cause.start : cause.start + 20].hex(" "),
                fix="name the encoding of the folder, as in ?encoding=gb18030, or correct the file",
            ) from cause


@final
class ImageContent:
    """Images, as they are, in Base64.

    Args:
        most_bytes: of one.
    """

    columns = (
        Column(name="media_type", kind="text", nullable=False),
        Column(name="size_bytes", kind="integer", nullable=False),
        Column(name="data", kind="text", nullable=False),
    )

    def __init__(self, most_bytes: int = MOST_IMAGE_BYTES) -> None:
        self.most_bytes = most_bytes

    def takes(self, ending: str) -> bool:
        """Take files with the endings of images."""
        return ending in IMAGE_ENDINGS

    def row(self, file: BinaryIO) -> Row:
        """Encode a file that begins as an image does."""
        content = file.read()
        for signature, at, media_type in SIGNATURES:
            if content[at : at + len(signature)] == signature:
                return {
                    "media_type": media_type,
                    "size_bytes": len(content),
                    "data": base64.b64encode(content).decode(),
                }
        raise BadRowError(
            "the file does not begin as an image does",
            got=content[:16].hex(" ") or "an empty file",
            fix="take it out of the folder, or narrow the pattern",
        )
