"""Every store of durable messages there is, on real servers that the tests install and start."""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from tests.debian import installed

from openautoglm.bus.outboxes.memory import MemoryOutbox
from openautoglm.bus.outboxes.nats import NatsOutbox
from openautoglm.bus.outboxes.redis import RedisOutbox
from openautoglm.bus.outboxes.sqlite import SqliteOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from openautoglm.bus import Outbox

STORES: Final = ("memory", "sqlite", "nats", "redis")
AGAIN_S: Final = 0.3  # after which a message of a killed consumer is due again, at the servers


class Opens(Protocol):
    """Opens a store again and again; `expression` does so in another process, where that can be."""

    expression: str | None

    def __call__(self) -> Outbox: ...


@contextmanager
def started(command: list[str], ready: str) -> Iterator[str]:
    """Run a server from the line on that says it is ready, and end it; return what it said."""
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if ready in line:
            break
    else:
        raise RuntimeError("".join(said))
    rest = threading.Thread(target=server.stdout.read)
    rest.start()
    try:
        yield "".join(said)
    finally:
        server.kill()
        server.wait()
        rest.join()
        server.stdout.close()


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A NATS server with JetStream on a port it chose."""
    program = installed("nats-server", "nats-server")
    with tempfile.TemporaryDirectory(prefix="nats-") as folder:
        command = [program, "-js", "-sd", folder, "-a", "127.0.0.1", "-p", "-1"]
        with started(command, "Server is ready") as said:
            address = re.search(r"client connections on (127\.0\.0\.1:\d+)", said)
            assert address is not None, said
            yield f"nats://{address[1]}"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server on a port that was free."""
    program = installed("redis-server", "redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        for attempt in range(5):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
            try:
                with started([program, *options], "Ready to accept connections"):
                    yield f"redis://127.0.0.1:{port}/0"
                    return
            except RuntimeError:  # another program took the port meanwhile
                if attempt == 4:
                    raise


@pytest.fixture
def server() -> Callable[[str, str, int], AbstractContextManager[str]]:
    """A function (nats or redis, folder, port) that runs a server which keeps what it stored."""

    def start(kind: str, folder: str, port: int) -> AbstractContextManager[str]:
        if kind == "nats":
            program = installed("nats-server", "nats-server")
            command = [program, "-js", "-sd", folder, "-a", "127.0.0.1", "-p", str(port)]
            return started(command, "Server is ready")
        command = [installed("redis-server", "redis-server"), "--port", str(port), "--dir", folder]
        options = ["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always"]
        return started([*command, *options], "Ready to accept connections")

    return start


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opens]:
    """A function that opens the same empty store, each time anew; all are closed at the end."""
    name = f"t{uuid.uuid4().hex[:12]}"
    memory = MemoryOutbox()
    makes: dict[str, Callable[[], Outbox]] = {
        "memory": lambda: memory,
        "sqlite": lambda: SqliteOutbox(tmp_path / "outbox.db"),
        "nats": lambda: NatsOutbox(
            request.getfixturevalue("nats_url"), stream=name, again_s=AGAIN_S
        ),
        "redis": lambda: RedisOutbox(
            request.getfixturevalue("redis_url"), prefix=name, again_s=AGAIN_S
        ),
    }
    again = f"={name!r}, again_s={AGAIN_S})"
    expressions: dict[str, Callable[[], str]] = {
        "sqlite": lambda: f"SqliteOutbox({str(tmp_path / 'outbox.db')!r})",
        "nats": lambda: f"NatsOutbox({request.getfixturevalue('nats_url')!r}, stream{again}",
        "redis": lambda: f"RedisOutbox({request.getfixturevalue('redis_url')!r}, prefix{again}",
    }
    made: list[Outbox] = []

    class Opened:
        expression = expressions[request.param]() if request.param in expressions else None

        def __call__(self) -> Outbox:
            made.append(makes[request.param]())
            return made[-1]

    yield Opened()
    for outbox in made:
        outbox.close()
