"""A server that is no cluster is told from one before Ray waits for it."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import ClusterError
from openautoglm.jobs.crews.address import HELLO, TLS, Address, probe

if TYPE_CHECKING:
    from collections.abc import Iterator


LONGEST_S = 30.0


@contextmanager
def server(answer: bytes | None) -> Iterator[Address]:
    """Answer one hello, or none for None."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            heard = b""
            while len(heard) < len(HELLO) and (more := connection.recv(len(HELLO))):
                heard += more
            if answer is None:
                over.wait()
            else:
                connection.sendall(answer)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield Address.read(f"127.0.0.1:{listening.getsockname()[1]}")
        finally:
            over.set()
            thread.join(LONGEST_S)


def test_a_server_of_grpc_is_taken_for_one() -> None:
    with server(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))) as address:
        probe(address)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0"])
def test_a_server_of_something_else_is_refused(answer: bytes) -> None:
    with server(answer) as address, pytest.raises(ClusterError, match="no Ray cluster at") as found:
        probe(address)
    assert found.value.got == "what answers there is something else"


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with server(None) as address, pytest.raises(ClusterError) as found:
        probe(address, timeout_s=0.05)
    assert found.value.got == "it did not answer in 0.05 s"


def test_a_server_of_tls_is_not_talked_to_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TLS, "1")
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        probe(Address.read(f"127.0.0.1:{listening.getsockname()[1]}"))
        connection, _ = listening.accept()
        with connection:
            assert connection.recv(1) == b""


def test_a_port_where_nothing_listens_is_refused() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ClusterError, match=f"127.0.0.1:{port}"):
        probe(Address.read(f"127.0.0.1:{port}"))
