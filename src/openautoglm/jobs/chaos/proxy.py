"""A way to a model server on which answers get lost, spoilt and refused: `Proxy`.

It listens on a port of the loopback and passes requests on. Owns what it answers instead. Knows
nothing of jobs, and nothing of what the requests ask.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, cast, final, get_args
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

Wrong: TypeAlias = Literal[
    "429", "500", "no-json", "cut-json", "other-shape", "cut-off", "closed", "silent"
]
WRONGS: Final[tuple[Wrong, ...]] = get_args(Wrong)
BLOCK: Final = 1 << 16
TIMEOUT_S: Final = 600.0
ANSWERS_S: Final = 0.005
"""How soon a server hears that it is to end."""
NOT_PASSED: Final = ("connection", "transfer-encoding", "keep-alive", "host", "accept-encoding")
BODIES: Final = {
    "429": b'{"error": {"message": "too many requests", "type": "rate_limit"}}',
    "500": b'{"error": {"message": "internal error", "type": "server_error"}}',
    "no-json": b"<html><body>It works!</body></html>",
    "cut-json": b'{"id": "1", "object": "chat.comple',
    "other-shape": b'{"surprise": [1, 2, 3]}',
}


@final
class Proxy:
    """Pass requests on to a server, in a `with`.

    Args:
        server: its URL.

    Attributes:
        port: of the loopback.
        answers: how often each wrong answer was given.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self.answers: Counter[str] = Counter()
        self._to = (parts.scheme == "https", parts.hostname or "", parts.port)
        self._path = parts.path
        self._lock = threading.Lock()
        self._wrong: random.Random | None = None
        self._is_right = threading.Event()
        self._is_right.set()
        self._live: set[socket.socket] = set()
        # It never listens: it keeps the port while nobody does.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self.port: Final = int(self._keeper.getsockname()[1])
        self._http: _Http | None = None

    @property
    def url(self) -> str:
        """What to ask instead of the server."""
        return f"http://127.0.0.1:{self.port}{self._path}"

    @property
    def under_way(self) -> int:
        """How many requests are."""
        return len(self._live)

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_right.set()
        self._hang_up()
        self._keeper.close()

    @contextmanager
    def bad(self, chance: random.Random) -> Iterator[None]:
        """Answer wrongly meanwhile, in ways drawn by chance."""
        self._wrong = chance
        self._is_right.clear()
        try:
            yield
        finally:
            self._wrong = None
            self._is_right.set()

    @contextmanager
    def down(self) -> Iterator[int]:
        """Refuse connections meanwhile; yield how many requests that cut off."""
        cut = self._hang_up()
        try:
            yield cut
        finally:
            self._listen()

    def draw(self) -> Wrong | None:
        """Return how the next request is to be answered; None is rightly."""
        chance = self._wrong
        if chance is None:
            return None
        with self._lock:
            wrong = chance.choice(WRONGS)
            self.answers[wrong] += 1
        return wrong

    def wait_until_right(self) -> None:
        """Block until answers are right again."""
        self._is_right.wait()

    def began(self, client: socket.socket) -> None:
        """Note a request under way."""
        with self._lock:
            self._live.add(client)

    def ended(self, client: socket.socket) -> None:
        """Note that it is over."""
        with self._lock:
            self._live.discard(client)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the server."""
        is_safe, host, port = self._to
        kind = http.client.HTTPSConnection if is_safe else http.client.HTTPConnection
        return kind(host, port, timeout=TIMEOUT_S)

    def _listen(self) -> None:
        self._http = _Http(self, self.port)

    def _hang_up(self) -> int:
        """Stop to listen, and cut off who is there; return how many."""
        if self._http is not None:
            self._http.end()
            self._http = None
        with self._lock:
            live = list(self._live)
        for client in live:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        return len(live)


@final
class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, proxy: Proxy, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.proxy = proxy
        self._thread = threading.Thread(target=self.serve_forever, args=(ANSWERS_S,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop to listen."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever went away knows."""


@final
class _Handler(BaseHTTPRequestHandler):
    @property
    def _proxy(self) -> Proxy:
        return cast("_Http", self.server).proxy

    def setup(self) -> None:
        super().setup()
        self._proxy.began(self.connection)

    def finish(self) -> None:
        self._proxy.ended(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        wrong = self._proxy.draw()
        if wrong == "silent":
            self._proxy.wait_until_right()
        elif wrong in BODIES:
            self._send(wrong, BODIES[wrong], is_stream=b'"stream":true' in body.replace(b" ", b""))
        elif wrong != "closed":
            self._pass_on(body, is_cut=wrong == "cut-off")

    def _send(self, wrong: Wrong, content: bytes, *, is_stream: bool) -> None:
        self.send_response(int(wrong) if wrong.isdigit() else http.client.OK)
        is_events = is_stream and not wrong.isdigit()
        content = b"data: " + content + b"\n\n" if is_events else content
        if wrong == "429":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "text/event-stream" if is_events else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _pass_on(self, body: bytes, *, is_cut: bool) -> None:
        headers = {n: v for n, v in self.headers.items() if n.lower() not in NOT_PASSED}
        server = self._proxy.connect()
        try:
            server.request(self.command, self.path, body or None, headers)
            answer = server.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_PASSED:
                    self.send_header(name, value)
            self.end_headers()
            while block := answer.read1(BLOCK):
                self.wfile.write(block[: len(block) // 2] if is_cut else block)
                self.wfile.flush()
                if is_cut:
                    return
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # who asked sees that it broke off
        finally:
            server.close()
