"""Objects of S3, and of whatever speaks its protocol: found, read in ranges, put on a condition.

Owns `S3Files`, `S3Target` and the one connection a process has to an endpoint. Credentials come
from where all programs find them: the environment, `~/.aws`, the machine. A part is put with
`If-None-Match: *`, so that the first attempt stays; a stand-in that does not know this condition
does not give the guarantee.
"""

from __future__ import annotations

import errno
import glob
import os
import posixpath
import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias, cast, final

from openautoglm.data.transports.files import Stored, changed
from openautoglm.data.transports.ranged import buffered
from openautoglm.errors import DataUrlError, InputNotFoundError, OpenAutoGLMError, PlatformError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openautoglm.data.location import Location

OPTIONS: Final = ("anonymous", "endpoint", "region")
ENDPOINT: Final = re.compile(r"https?://[^/?#\s]+", re.IGNORECASE)
TRUE: Final = frozenset({"1", "true", "yes", "True"})
TIMEOUT_S: Final = 60
UNMET: Final = frozenset({"PreconditionFailed", "412"})
BUSY: Final = frozenset({"ConditionalRequestConflict", "409"})
LOGIN: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, and check its rights"
)
TRIES: Final = 3
"""Of a piece whose bytes do not all come."""
ASKED: Final = 2
"""Of one request; `s3fs` makes five of each that may succeed later."""
PASSING: Final = frozenset(
    {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "503"}
)
_NO_LOGIN: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})


Entry: TypeAlias = "Mapping[str, object]"
"""What the service says of one object or folder: name, type, size, ETag."""


class _Stream(Protocol):
    async def read(self) -> bytes: ...


@final
class Objects:
    """What is used of `s3fs`, from any thread; made once in a process for an endpoint."""

    def __init__(self, endpoint: str, region: str, *, is_anonymous: bool) -> None:
        s3fs = need("s3fs", extra="s3", why="reading and writing s3://")
        self._asyn = need("fsspec.asyn", extra="s3", why="reading and writing s3://")
        if endpoint and not ENDPOINT.match(endpoint):
            raise DataUrlError(
                "the endpoint is no address", got=endpoint, fix="as in ?endpoint=https://host:9000"
            )
        self._files = s3fs.S3FileSystem(
            anon=is_anonymous,
            endpoint_url=endpoint or None,
            client_kwargs={"region_name": region} if region else {},
            config_kwargs={
                "connect_timeout": TIMEOUT_S,
                "read_timeout": TIMEOUT_S,
                "retries": {"mode": "standard", "total_max_attempts": ASKED},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def inside(self, folder: str) -> list[Entry]:
        """Return what lies in a folder."""
        return cast("list[Entry]", self._files.ls(folder, detail=True, refresh=True))

    def matching(self, pattern: str) -> list[Entry]:
        """Return what has a name like this."""
        return list(cast("dict[str, Entry]", self._files.glob(pattern, detail=True)).values())

    def one(self, path: str) -> Entry:
        """Return an object or a folder."""
        return cast("Entry", self._files.info(path))

    def call(self, method: str, **arguments: object) -> dict[str, object]:
        """Make one call of the protocol."""
        return cast("dict[str, object]", self._files.call_s3(method, **arguments))

    def body(self, reply: Mapping[str, object]) -> bytes:
        """Read what came with a reply."""
        stream = cast("_Stream", reply["Body"])
        return cast("bytes", self._asyn.sync(self._files.loop, stream.read))


@final
class S3Files:
    """Find and read objects."""

    def __init__(self, objects: Objects, endpoint: str) -> None:
        self._objects = objects
        self._endpoint = endpoint

    def find(self, path: str, endings: Sequence[str]) -> tuple[Stored, ...]:
        """Return the objects of a path, sorted; hidden ones of a folder are not."""
        try:
            with told():
                root, listed = self._listed(path, tuple(endings))
        except OSError as cause:
            raise self.refusal(path, cause) from cause
        if not listed:
            raise self.refusal(path, FileNotFoundError(errno.ENOENT, "no object", path))
        return tuple(self._stored(entry, root) for entry in listed)

    def open(self, stored: Stored) -> BinaryIO:
        """Open an object; each piece that is fetched is of the version that was found."""
        return buffered(stored.size or 0, lambda start, stop: self._piece(stored, start, stop))

    def check(self, stored: Stored) -> None:
        """Do nothing: each piece was of the version that was found."""

    def refusal(self, path: str, cause: OSError) -> OpenAutoGLMError:
        """Say what the service said."""
        shown = f"s3://{path}"
        if isinstance(cause, FileNotFoundError):
            if not has_bucket(self._objects, path):
                return InputNotFoundError("no such bucket", got=shown, fix="check its name")
            return InputNotFoundError(
                "no such object",
                got=shown,
                fix="check its name; for subfolders write a pattern: **/*"
                if path.endswith("/")
                else "check its name; end the name of a folder in /",
            )
        if isinstance(cause, PermissionError):
            return InputNotFoundError(
                f"the object may not be read: {said(cause)}", got=shown, fix=LOGIN
            )
        return PlatformError(
            f"the object cannot be read: {said(cause)}",
            got=shown,
            fix="try again later"
            if code_of(cause) in PASSING
            else "check the endpoint and the region",
        )

    def _listed(self, path: str, endings: tuple[str, ...]) -> tuple[str, list[Entry]]:
        """Return the folder that names are below of, and what the service says of the objects."""
        if glob.has_magic(path):
            found = self._objects.matching(path)
            root = posixpath.dirname(path[: next(i for i, c in enumerate(path) if c in "*?[")])
            return root, _sorted(found)
        if not path.endswith("/"):
            entry = self._objects.one(path)
            if entry["type"] != "directory":
                return posixpath.dirname(path), [entry]
        folder = path.rstrip("/")
        inside = self._objects.inside(folder)
        return folder, _sorted(
            entry
            for entry in inside
            if str(entry["name"]).endswith(endings) and not _base(entry).startswith(".")
        )

    def _stored(self, entry: Entry, root: str) -> Stored:
        path = str(entry["name"])
        size = int(cast("int", entry["size"]))
        return Stored(
            path=path,
            name=posixpath.relpath(path, root) if root else path,
            origin=f"s3://{path} at {self._endpoint}",
            version=f"etag={str(entry['ETag']).strip(chr(34))} size={size}",
            size=size,
        )

    def _piece(self, stored: Stored, start: int, stop: int) -> bytes:
        for tries_left in reversed(range(TRIES)):
            try:
                with told():
                    return self._fetched(stored, start, stop)
            except OSError as cause:
                if code_of(cause) in UNMET or isinstance(cause, FileNotFoundError):
                    raise changed(stored) from cause
                if isinstance(cause, PermissionError) or code_of(cause) or not tries_left:
                    raise  # what was answered, was asked again before
        raise AssertionError("the last try returns or raises")

    def _fetched(self, stored: Stored, start: int, stop: int) -> bytes:
        tag = stored.version.removeprefix("etag=").partition(" ")[0]
        piece = {"Range": f"bytes={start}-{stop - 1}", "IfMatch": f'"{tag}"'}
        return self._objects.body(self._objects.call("get_object", **split(stored.path), **piece))


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    return sorted((e for e in entries if e["type"] == "file"), key=lambda e: str(e["name"]))


def _base(entry: Entry) -> str:
    return posixpath.basename(str(entry["name"]))


def connected(location: Location) -> tuple[Objects, str]:
    """Return the connection for a location and the endpoint it goes to; made once in a process."""
    endpoint = str(location.options.get("endpoint", "")) or os.environ.get("AWS_ENDPOINT_URL", "")
    region = str(location.options.get("region", ""))
    is_anonymous = str(location.options.get("anonymous", "")) in TRUE
    return _connection(os.getpid(), endpoint, region, is_anonymous=is_anonymous), endpoint


@cache
def _connection(_process: int, endpoint: str, region: str, *, is_anonymous: bool) -> Objects:
    return Objects(endpoint, region, is_anonymous=is_anonymous)


@contextmanager
def told() -> Iterator[None]:
    """Raise what botocore raises as an OSError."""
    try:
        yield
    except (OSError, OpenAutoGLMError):
        raise
    except RecursionError as cause:
        raise OSError(errno.ELOOP, "the service leads from one region to another") from cause
    except Exception as cause:
        if not type(cause).__module__.startswith(("botocore", "aiobotocore", "aiohttp")):
            raise
        name = type(cause).__name__
        kind = PermissionError if name in _NO_LOGIN else OSError
        raise kind(errno.EACCES if name in _NO_LOGIN else errno.EIO, str(cause)) from cause


def code_of(cause: OSError) -> str:
    """Return the service's word for an error; empty where it said none."""
    response = getattr(cause.__cause__, "response", None)
    found = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return str(found)


def said(cause: OSError) -> str:
    """Return an error in words."""
    return cause.strerror or str(cause) or type(cause).__name__


def split(path: str) -> dict[str, str]:
    """Return the bucket and the key of a path, as calls take them."""
    bucket, _, key = path.partition("/")
    return {"Bucket": bucket, "Key": key}


def has_bucket(objects: Objects, path: str) -> bool:
    """Whether a path's bucket is there, as far as we may know."""
    try:
        with told():
            objects.call("head_bucket", Bucket=path.partition("/")[0])
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it may not be asked for
    return True
