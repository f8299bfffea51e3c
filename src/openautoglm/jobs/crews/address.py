"""Where a cluster is, as people name it, and whether anything of its kind answers there.

Owns `Address` and `probe`. Ray itself waits for minutes for a cluster that is not there, and ends
the process then; so it is asked before, by what every gRPC server says first. Imports no Ray.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Final, final

from openautoglm.errors import ClusterError, InvalidParameterError
from openautoglm.platform_io.refusals import reason

PROBE_S: Final = 5.0
CLIENT: Final = "ray://"
HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""HTTP/2's preface and empty settings, RFC 9113 section 3.4; the other side sends its own."""
FRAME: Final = 9
"""Bytes of a frame's header; the fourth is its type."""
SETTINGS: Final = 4
TLS: Final = "RAY_USE_TLS"
"""Ray's variable. Where it is set, a port that is open is all that is looked at."""
MOST_PORT: Final = 65535


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A cluster's head.

    Attributes:
        host: name or number of the machine.
        port: of its server.
        is_client: whether it is the one for machines that are no nodes: `ray://`.
    """

    host: str
    port: int
    is_client: bool

    @classmethod
    def read(cls, text: str) -> Address:
        """Read `HOST:PORT` or `ray://HOST:PORT`.

        Raises:
            InvalidParameterError: it is neither.

        Example:
            >>> Address.read("ray://head:10001").is_client, Address.read("[::1]:6379").host
            (True, '::1')
        """
        place = text.removeprefix(CLIENT)
        host, colon, port = place.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_port = port.isascii() and port.isdigit() and 0 < int(port) <= MOST_PORT
        if not (host and colon and is_port) or set(host) & set("/@ "):
            raise InvalidParameterError(
                "there is no such engine",
                got=text,
                fix="use local, ray, HOST:PORT of a cluster's head, or ray://HOST:PORT",
            )
        return cls(host=host, port=int(port), is_client=text.startswith(CLIENT))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{CLIENT if self.is_client else ''}{host}:{self.port}"


def probe(address: Address, *, timeout_s: float = PROBE_S) -> None:
    """Say hello to the server at an address, unless it speaks TLS.

    Raises:
        ClusterError: nothing is there, or something that is no gRPC server.
    """
    try:
        with socket.create_connection((address.host, address.port), timeout_s) as server:
            if os.environ.get(TLS, "").lower() in {"1", "true"}:
                return
            server.settimeout(timeout_s)
            server.sendall(HELLO)
            first = server.recv(FRAME)
    except TimeoutError as cause:
        raise _gone(address, f"it did not answer in {timeout_s:g} s") from cause
    except OSError as cause:
        raise _gone(address, reason(cause)) from cause
    if len(first) < FRAME or first[3] != SETTINGS:
        raise _gone(address, "what answers there is something else")


def _gone(address: Address, why: str) -> ClusterError:
    ports = "the port of ray:// is 10001" if address.is_client else "the port of a head is 6379"
    return ClusterError(
        f"there is no Ray cluster at {address}",
        got=why,
        fix=f"start one: ray start --head; {ports} unless it was given another",
    )
