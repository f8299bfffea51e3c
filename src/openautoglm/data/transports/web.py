"""Files of web servers: in ranges where the server gives them, else fetched once.

Owns `WebFiles`. A file is one address; servers tell no folders. A version is what the server says
of the file (ETag, Last-Modified, size), or the sha256 of it where the server says nothing. What it
does not do: cookies, and logins other than `user:password@` in the address.
"""

from __future__ import annotations

import base64
import http.client
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar, cast, final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from openautoglm.data.location import redacted
from openautoglm.data.transports.files import Stored, changed
from openautoglm.data.transports.ranged import buffered
from openautoglm.data.transports.spool import Spool
from openautoglm.errors import (
    DataUrlError,
    InputNotFoundError,
    OpenAutoGLMError,
    PlatformError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from email.message import Message

    from openautoglm.data.transports.spool import Writes

TIMEOUT_S: Final = 60.0
PAUSES_S: Final = (0.2, 1.0, 3.0)
"""Between tries, where the server or the way to it fails."""
GONE: Final = frozenset({404, 410})
DENIED: Final = frozenset({401, 403, 407})
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
FIXES: Final = (
    (range(300, 400), "name the address that it leads to; only http and https are followed"),
    (PASSING, "try again later"),
    (range(400, 500), "check the address, and what the server wants to be asked"),
)
PACKED: Final = ".gz"
OK: Final = 200
PARTIAL: Final = 206
NO_SUCH_RANGE: Final = 416
BLOCK: Final = 1 << 20
SAFE: Final = "%/:=&?~+!$,;'@()[]"
T = TypeVar("T")


@final
class WebFiles:
    """Read files by their addresses.

    Args:
        scheme: `http` or `https`.
    """

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._spool = Spool("fetched")
        self._ranged: set[str] = set()

    def find(self, path: str, endings: Sequence[str]) -> tuple[Stored, ...]:
        """Ask the server for the file of an address."""
        del endings  # an address is one file, whatever its name
        url = quote(f"{self._scheme}://{path}", safe=SAFE)
        try:
            parts = urlsplit(url)
        except ValueError as cause:
            raise DataUrlError(
                f"this is no address: {cause}", got=redacted(url), fix="as in https://host/a.jsonl"
            ) from cause
        if parts.path.endswith("/") or "*" in path.partition("?")[0]:
            raise DataUrlError(
                "web servers tell no folders and follow no patterns",
                got=redacted(url),
                fix="name one file, or copy the folder to a disk or to S3",
            )
        name = unquote(parts.path.rpartition("/")[2]) or str(parts.hostname)
        try:
            return (_again(lambda: self._stored(url, name)),)
        except OpenAutoGLMError:
            raise
        except OSError as cause:
            raise self.refusal(url, cause) from cause

    def open(self, stored: Stored) -> BinaryIO:
        """Open a file to be fetched as it is read, or fetch it where that cannot be."""
        if stored.path in self._ranged and stored.size is not None:
            return buffered(stored.size, lambda start, stop: _piece(stored, start, stop))
        key = f"{stored.origin} {stored.version}"
        return _again(lambda: self._spool.open(key, lambda out: _fetch(stored, out)))

    def check(self, stored: Stored) -> None:
        """Do nothing: each piece was of the version that was found."""

    def refusal(self, path: str, cause: OSError) -> OpenAutoGLMError:
        """Say what the server said."""
        shown = redacted(path)
        status = cause.code if isinstance(cause, urllib.error.HTTPError) else 0
        if status in GONE:
            return InputNotFoundError("no such file", got=shown, fix="check the address")
        if status in DENIED:
            return InputNotFoundError(
                f"the server does not give this file away (status {status})",
                got=shown,
                fix="use an address with its signature or token, or user:password@ before the host",
            )
        if status:
            fix = next((fix for codes, fix in FIXES if status in codes), "try again later")
            return PlatformError(f"the server answered with status {status}", got=shown, fix=fix)
        return PlatformError(
            f"the file cannot be fetched: {getattr(cause, 'reason', None) or cause}",
            got=shown,
            fix="check the address, the server and the way to it",
        )

    def _stored(self, url: str, name: str) -> Stored:
        size, is_ranged, version = _probe(url)
        if not version:  # nothing tells two contents of this address apart but they themselves
            blank = Stored(path=url, name=name, origin=url, version="")
            version, size = self._spool.add(url, lambda out: _fetch(blank, out))
        elif is_ranged:
            self._ranged.add(url)
        return Stored(path=url, name=name, origin=url, version=version, size=size)


def _probe(url: str) -> tuple[int | None, bool, str]:
    """Return the size of a file, whether there are ranges of it, and its version."""
    try:
        with _answer(url, {"Range": "bytes=0-0"}) as reply:
            size = _size(reply)
            is_ranged = reply.status == PARTIAL and size is not None
            return size, is_ranged, _version(reply.headers, size)
    except urllib.error.HTTPError as cause:
        if cause.code != NO_SUCH_RANGE:  # an empty file has no first byte
            raise
    with _answer(url, {}) as reply:
        size = _size(reply)
        return size, False, _version(reply.headers, size)


def _piece(stored: Stored, start: int, stop: int) -> bytes:
    def asked() -> bytes:
        with _answer(stored.path, {"Range": f"bytes={start}-{stop - 1}"}) as reply:
            now = _version(reply.headers, _size(reply))
            if reply.status != PARTIAL or now != stored.version:
                raise changed(stored, now)
            content = reply.read(stop - start)
        if len(content) < stop - start:
            raise ConnectionError(f"{len(content)} of {stop - start} bytes came")
        return content

    return _again(asked)


def _fetch(stored: Stored, out: Writes) -> None:
    """Write the whole of a file; another one than was found is refused."""
    with _answer(stored.path, {}) as reply:
        _check_whole(reply)
        size = _size(reply)
        now = _version(reply.headers, size)
        if now and now != stored.version:
            raise changed(stored, now)
        shutil.copyfileobj(reply, out, BLOCK)
        if size is not None and reply.length:
            raise ConnectionError(f"{reply.length} of {size} bytes did not come")


def _check_whole(reply: http.client.HTTPResponse) -> None:
    """Refuse what is not all of a file, as it is."""
    if reply.status != OK:
        raise PlatformError(
            f"the server does not send the whole file, but status {reply.status}",
            got=redacted(reply.url),
            fix="check the address, or fetch the file by other means",
        )
    encoding = reply.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not urlsplit(reply.url).path.endswith(PACKED):
        raise PlatformError(
            f"the server sends the file packed ({encoding}), though it was not asked to",
            got=redacted(reply.url),
            fix="fetch it first: curl --compressed --output FILE ADDRESS",
        )


def _size(reply: http.client.HTTPResponse) -> int | None:
    """Return the size of the whole file that a reply is of."""
    said = reply.headers.get("Content-Length", "")
    if reply.status == PARTIAL:
        said = reply.headers.get("Content-Range", "").rpartition("/")[2]
    return int(said) if said.isdecimal() else None


def _version(headers: Message, size: int | None) -> str:
    """Return what tells one content from another; empty where the server says nothing."""
    tag, date = headers.get("ETag"), headers.get("Last-Modified")
    said = {"etag": tag, "modified": date, "size": size if tag or date else None}
    return " ".join(f"{name}={value}" for name, value in said.items() if value is not None)


@contextmanager
def _answer(url: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
    request = _request(url)
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        reply = _opener().open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as cause:
        cause.close()
        raise
    with reply:
        yield cast("http.client.HTTPResponse", reply)


@cache
def _opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses of the web and, where a server leads elsewhere, nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _request(url: str) -> urllib.request.Request:
    """Return a request; the login of its address goes to its host and no other."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    plain = urlunsplit(parts._replace(netloc=host))
    request = urllib.request.Request(plain)  # noqa: S310 - http or https
    request.add_header("Accept-Encoding", "identity")
    request.add_header("User-Agent", "openautoglm")
    if login:
        token = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _again(ask: Callable[[], T]) -> T:
    """Ask, and ask again where what went wrong may pass."""
    for pause_s in PAUSES_S:
        try:
            return ask()
        except (OSError, http.client.HTTPException) as cause:
            if not _may_pass(cause):
                raise
        time.sleep(pause_s)
    try:
        return ask()
    except http.client.HTTPException as cause:
        raise ConnectionError(f"{type(cause).__name__}: {cause}") from cause


def _may_pass(cause: Exception) -> bool:
    if isinstance(cause, OpenAutoGLMError):
        return False
    if isinstance(cause, urllib.error.HTTPError):
        return cause.code in PASSING
    reason = cause.reason if isinstance(cause, urllib.error.URLError) else cause
    return not isinstance(reason, (socket.gaierror, ssl.SSLError))
