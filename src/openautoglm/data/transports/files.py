"""What a transport is, to whoever reads files and whoever puts them: `Files`, `Stored`, `Target`.

Owns what transports speak in, and the errors they share. Knows no transport and no format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

import msgspec

from openautoglm.errors import SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from openautoglm.data.sink import Receipt
    from openautoglm.errors import OpenAutoGLMError, OutputWriteError


@final
class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was when it was found.

    Attributes:
        path: what its transport opens.
        name: what people call it: its path below the folder or the pattern that was asked for.
        origin: the same for the same file from everywhere; may hold secrets.
        version: differs when what is in it does.
        size: in bytes, as it is stored; None where the transport cannot tell.
    """

    path: str
    name: str
    origin: str
    version: str
    size: int | None = None


class Files(Protocol):
    """Files that can be read. Methods may be called from any thread."""

    def find(self, path: str, endings: Sequence[str]) -> tuple[Stored, ...]:
        """Return the file of this path, or those of a folder with an ending, or of a pattern.

        Raises:
            InputNotFoundError: there is none, or it may not be read.
            DataUrlError: the transport has no folders or patterns.
        """
        ...

    def open(self, stored: Stored) -> BinaryIO:
        """Open a file to read and seek.

        Raises:
            SourceChangedError: it is not what was found.
            OSError: as `refusal` takes it.
        """
        ...

    def check(self, stored: Stored) -> None:
        """Look, when a file was read, whether it is what was found; where each read does not.

        Raises:
            SourceChangedError: it is not.
        """
        ...

    def refusal(self, path: str, cause: OSError) -> OpenAutoGLMError:
        """Return the error that `cause` means for whoever reads a file."""
        ...


class Target(Protocol):
    """The place of one file that is to be put there, all of it at once."""

    @property
    def url(self) -> str:
        """Where it will lie."""
        ...

    @property
    def folder(self) -> str | None:
        """A folder of this machine with room for what is on its way; None is the usual one."""
        ...

    def open(self) -> BinaryIO:
        """Return an empty file of this machine, to write and to read again.

        Raises:
            OSError: nothing can be put there; as `refusal` takes it.
        """
        ...

    def found(self, count: Callable[[BinaryIO], int]) -> Receipt | None:
        """Return what is there now; `count` tells the rows of a file."""
        ...

    def put(self, file: BinaryIO, receipt: Receipt) -> None:
        """Put the file that `open` returned, and close it.

        Raises:
            SinkConflictError: there is a file, and it is not to be replaced.
            OSError: as `refusal` takes it.
        """
        ...

    def discard(self, file: BinaryIO) -> None:
        """Close and forget the file that `open` returned; raise nothing."""
        ...

    def refusal(self, size: int, cause: OSError) -> OutputWriteError:
        """Return the error that `cause` means for whoever wrote `size` bytes."""
        ...


def changed(stored: Stored, now: str = "") -> SourceChangedError:
    """Return the error for a file that is not what it was when it was found."""
    return SourceChangedError(
        f"`{stored.name}` changed since the source was opened",
        got=f"was {stored.version}, is {now or 'another one'}",
        fix="open the source again and read from the beginning, or bring back the file",
    )
