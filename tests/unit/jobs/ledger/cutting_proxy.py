"""A way to a PostgreSQL server that can be cut right before or right after a commit gets there."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, Self, final

if TYPE_CHECKING:
    from types import TracebackType

COMMIT: Final = b"commit\0"
"""How a commit ends in the protocol's message of a simple query."""

Moment = Literal["before", "after"]


@final
class CuttingProxy:
    """Pass bytes between clients and a server; `arm` cuts the next commit off, once."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: Final = int(self._listener.getsockname()[1])
        self._armed: Moment | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._is_refusing = False
        self.cuts = 0

    def arm(self, moment: Moment) -> None:
        """Cut the next commit: before it reaches the server, or before its answer comes back."""
        self._armed = moment

    def refuse(self) -> None:
        """Take no further clients."""
        self._is_refusing = True

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _start(self, run: object, *args: object) -> None:
        assert callable(run)
        thread = threading.Thread(target=run, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_refusing:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._sockets += [client, server]
            self._start(self._to_server, client, server)
            self._start(self._to_client, server, client)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if self._armed is not None and data.endswith(COMMIT):
                moment, self._armed = self._armed, None
                self.cuts += 1
                if moment == "after":
                    server.sendall(data)
                _end(client)  # its answer, if there will be one, finds nobody
                break
            server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)  # the server ends what it has, then hangs up

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                continue
        _end(client)


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(65536)
    except OSError:
        return b""


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
