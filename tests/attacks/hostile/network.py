"""Attempts to talk to anybody but the host's own channel."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.attacks.hostile.attempt import World, attempt

NETLINK_ROUTE = 0


@attempt("connect by TCP")
def tcp(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.tcp), timeout=5):
        pass


@attempt("listen by TCP")
def listen(_: World) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()


@attempt("make a socket of IPv6", rare=True)
def ipv6(_: World) -> None:
    socket.socket(socket.AF_INET6).close()


@attempt("send by UDP")
def udp(world: World) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", world.udp))


@attempt("ask for a name")
def resolve(_: World) -> None:
    assert socket.getaddrinfo("localhost", 80)
    socket.socket(type=socket.SOCK_DGRAM).close()  # where names come from a file alone


@attempt("make a raw socket", root=True, rare=True)
def raw(_: World) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@attempt("listen to all packets of the network", root=True, rare=True)
def packets(_: World) -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


@attempt("ask the kernel for its network by netlink")
def netlink(_: World) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE).close()


@attempt("make a socket to the virtual machine's host", rare=True)
def vsock(_: World) -> None:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()


@attempt("connect to a Unix socket without a file")
def abstract(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{world.abstract}")


@attempt("connect to a Unix socket of the host")
def unix(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{world.outside}/stream.sock")


@attempt("send to a Unix socket from a pair of datagram sockets")
def unix_pair(world: World) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"x", f"{world.outside}/datagram.sock")


@attempt("send to a Unix socket past the address check, by sendmsg")
def unix_message(world: World) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendmsg([b"x"], [], 0, f"{world.outside}/datagram.sock")


@attempt("leave a socket in scratch for the host to find")
def leave_socket(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{world.scratch}/socket")
    Path(world.scratch, "socket").stat()
