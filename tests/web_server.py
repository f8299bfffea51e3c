"""A web server of the tests' own that can be as helpful or as poor as servers are.

Owns `WebServer` and the fixture `web_server`.
"""

from __future__ import annotations

import hashlib
import http.server
import threading
from typing import TYPE_CHECKING, Final, final
from urllib.parse import unquote

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OK: Final = 200
PARTIAL: Final = 206
NO_SUCH_RANGE: Final = 416


@final
class WebServer:
    """Files by path, on a free port of the loopback.

    Attributes:
        files: by path, with the slash in front.
        has_ranges: whether it gives parts of files.
        has_tags: whether it says an ETag.
        has_lengths: whether it says sizes.
        cut: how many bytes at the end of each answer do not come.
        failures: answers of the next requests, statuses or None for a connection that breaks.
        odd: a status and headers that every request is answered with; None for files.
        asked: (path, range) of every request.
        logins: what was sent to authorise each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.has_ranges = self.has_tags = self.has_lengths = True
        self.cut = 0
        self.failures: list[int | None] = []
        self.odd: tuple[int, Mapping[str, str]] | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.logins: list[str | None] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str, kind: str = "") -> str:
        """Return an address, read as a kind of rows if one is given."""
        return f"{kind}{'+' if kind else ''}http://{self.host}{path}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        self.logins.append(request.headers.get("Authorization"))
        if self.failures:
            failure = self.failures.pop(0)
            if failure is not None:
                request.send_error(failure)
            request.close_connection = True
            return
        if self.odd is not None:
            request.send_response(self.odd[0])
            for name, value in self.odd[1].items():
                request.send_header(name, value)
            request.end_headers()
            return
        content = self.files.get(unquote(request.path.partition("?")[0]))
        if content is None:
            request.send_error(404)
            return
        self._send(request, content, wanted if self.has_ranges else None)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _send(
        self, request: http.server.BaseHTTPRequestHandler, content: bytes, wanted: str | None
    ) -> None:
        status, body = OK, content
        if wanted is not None:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            if int(begin) >= len(content):
                request.send_error(NO_SUCH_RANGE)
                return
            status, body = PARTIAL, content[int(begin) : int(end) + 1]
        request.send_response(status)
        if status == PARTIAL:
            span = f"bytes {begin}-{int(begin) + len(body) - 1}/{len(content)}"
            request.send_header("Content-Range", span)
        if self.has_tags:
            request.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')  # noqa: S324 - no secret
        if self.has_lengths:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) - self.cut])


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    """A server without files."""
    server = WebServer()
    yield server
    server.close()
