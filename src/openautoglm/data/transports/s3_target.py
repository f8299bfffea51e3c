"""The place of one object of S3, put with one call or none.

Owns `S3Target`. Large files go up in pieces that nobody sees before the last call. Pieces of a
process that died stay at the service, unseen, until a lifecycle rule of the bucket removes them.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Final, cast, final

from openautoglm.data.sink import Receipt
from openautoglm.data.transports.local import taken
from openautoglm.data.transports.s3 import (
    BUSY,
    LOGIN,
    UNMET,
    code_of,
    has_bucket,
    said,
    split,
    told,
)
from openautoglm.errors import OutputWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.data.transports.s3 import Objects

PIECE: Final = 64 << 20
"""Bytes of a call; larger files take several."""
TRIES: Final = 4
ROWS: Final = "oag-rows"
DIGEST: Final = "oag-sha256"
TOKEN: Final = "oag-token"  # noqa: S105 - names a piece of metadata
OLD: Final = frozenset({"NotImplemented", "501"})


@final
class S3Target:
    """An object to be.

    Args:
        objects: the connection.
        path: bucket and key.
        is_part: it is made once and never replaced.
    """

    def __init__(self, objects: Objects, path: str, *, is_part: bool) -> None:
        self._objects = objects
        self._path = path
        self._is_part = is_part
        self._token = secrets.token_hex(8)

    @property
    def url(self) -> str:
        """The object's URL."""
        return f"s3://{self._path}"

    @property
    def folder(self) -> str | None:
        """The usual place of temporary files."""
        return None

    def open(self) -> BinaryIO:
        """Open a file that vanishes with this process; the object is put from it."""
        if not has_bucket(self._objects, self._path):
            raise FileNotFoundError("no such bucket")
        return cast("BinaryIO", tempfile.TemporaryFile("w+b"))

    def found(self, count: Callable[[BinaryIO], int]) -> Receipt | None:
        """Read what was noted of the object when it was put."""
        try:
            head = self._head()
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise self.refusal(0, cause) from cause
        noted = cast("Mapping[str, str]", head["Metadata"])
        size = int(cast("int", head["ContentLength"]))
        rows = int(noted[ROWS]) if ROWS in noted else self._counted(count)
        return Receipt(url=self.url, rows=rows, size_bytes=size, digest=noted.get(DIGEST, ""))

    def put(self, file: BinaryIO, receipt: Receipt) -> None:
        """Upload the file; of a part, on the condition that there is none."""
        notes = {ROWS: str(receipt.rows), DIGEST: receipt.digest, TOKEN: self._token}
        for tries in range(1, TRIES + 1):
            try:
                with told():
                    self._upload(file, receipt.size_bytes, notes)
                break
            except OSError as cause:
                if self._is_part and code_of(cause) in UNMET | BUSY and self._is_there(cause):
                    break  # an answer was lost, and the call made again
                if code_of(cause) not in BUSY or tries == TRIES:
                    raise
        file.close()

    def discard(self, file: BinaryIO) -> None:
        """Close the file, which removes it."""
        with contextlib.suppress(OSError):
            file.close()

    def refusal(self, size: int, cause: OSError) -> OutputWriteError:
        """Say what the service said."""
        if isinstance(cause, FileNotFoundError):
            return OutputWriteError("no such bucket", got=self.url, fix="create the bucket first")
        if isinstance(cause, PermissionError):
            return OutputWriteError(
                f"writing is not allowed here: {said(cause)}", got=self.url, fix=LOGIN
            )
        if code_of(cause) in OLD:
            return OutputWriteError(
                "this service knows no conditional writes, so parts would not be exactly once",
                got=self.url,
                fix="use a service that knows If-None-Match, or write to a disk",
            )
        return OutputWriteError(
            f"{size} bytes cannot be put: {said(cause)}",
            got=self.url,
            fix="check the endpoint, the region and the room; nothing is visible",
        )

    def _is_there(self, cause: OSError) -> bool:
        """Whether the object is ours; another one's is a conflict, none is nothing."""
        try:
            noted = cast("Mapping[str, str]", self._head()["Metadata"])
        except FileNotFoundError:
            return False
        if noted.get(TOKEN) == self._token:
            return True
        raise taken(self.url) from cause

    def _head(self) -> dict[str, object]:
        with told():
            return self._objects.call("head_object", **split(self._path))

    def _counted(self, count: Callable[[BinaryIO], int]) -> int:
        """Count the rows of an object that somebody else put."""
        with tempfile.TemporaryFile("w+b") as file, told():
            file.write(self._objects.body(self._objects.call("get_object", **split(self._path))))
            file.seek(0)
            return count(cast("BinaryIO", file))

    def _upload(self, file: BinaryIO, size: int, notes: Mapping[str, str]) -> None:
        condition = {"IfNoneMatch": "*"} if self._is_part else {}
        file.seek(0)
        if size <= PIECE:
            self._call("put_object", Body=file.read(), Metadata=notes, **condition)
            return
        upload = {"UploadId": self._call("create_multipart_upload", Metadata=notes)["UploadId"]}
        try:
            pieces: list[dict[str, object]] = []
            while piece := file.read(PIECE):
                number = {"PartNumber": len(pieces) + 1}
                tag = self._call("upload_part", Body=piece, **number, **upload)["ETag"]
                pieces.append({"ETag": tag, **number})
            whole = {"MultipartUpload": {"Parts": pieces}}
            self._call("complete_multipart_upload", **whole, **upload, **condition)
        except BaseException:
            with contextlib.suppress(OSError):
                self._call("abort_multipart_upload", **upload)
            raise

    def _call(self, method: str, **arguments: object) -> dict[str, object]:
        return self._objects.call(method, **split(self._path), **arguments)
