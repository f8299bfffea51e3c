"""The servers that peers keep their state in, each in a folder of its own on a free port.

Owns `SERVERS`: by kind, a context that starts one, and where it is. They are durable as they are by
themselves: PostgreSQL syncs each transaction, Redis its log every second. Knows nothing of peers.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from glob import glob
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

BINARIES: Final = "/usr/lib/postgresql/*/bin"
START_S: Final = 30.0
DAEMON: Final = "postgres"


class Server(NamedTuple):
    """A server that runs: where it is, and its process."""

    url: str
    pid: int


def program(name: str) -> str | None:
    """Return where a server's program is."""
    folders = [os.environ.get("PATH", ""), *sorted(glob(BINARIES), reverse=True)]  # noqa: PTH207 - the pattern is absolute
    return shutil.which(name, path=os.pathsep.join(folders))


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """Run Redis with its log of all that is written."""
    port = _free_port()
    command = [program("redis-server") or "redis-server", "--bind", "127.0.0.1", "--port"]
    with _running([*command, str(port), "--appendonly", "yes"], folder, port) as pid:
        yield Server(f"redis://127.0.0.1:{port}/0", pid)


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """Run PostgreSQL; it refuses to run as root, and runs as Debian's user for it then."""
    own = folder / "postgres"
    own.mkdir()
    user = pwd.getpwnam(DAEMON).pw_uid if os.geteuid() == 0 else None
    if user is not None:
        os.chown(own, user, -1)
        folder.chmod(0o711)
    made = [program("initdb") or "initdb", "-D", str(own / "data"), "-U", DAEMON, "-A", "trust"]
    subprocess.run(made, cwd=own, user=user, stdout=subprocess.DEVNULL, check=True)
    port = _free_port()
    command = [program("postgres") or "postgres", "-D", str(own / "data"), "-k", str(own)]
    command += ["-h", "127.0.0.1", "-p", str(port), "-c", "max_connections=300"]
    with _running(command, own, port, user) as pid:
        yield Server(f"postgresql://{DAEMON}@127.0.0.1:{port}/postgres", pid)


SERVERS: Final[dict[str, tuple[str, Callable[[Path], AbstractContextManager[Server]]]]] = {
    "redis": ("redis-server", redis),
    "postgres": ("postgres", postgres),
}
"""By kind: the program that must be there, and what runs it in a folder."""


@contextmanager
def _running(command: list[str], folder: Path, port: int, user: int | None = None) -> Iterator[int]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, user=user, stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    for _ in range(int(START_S / 0.05)):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            pause.wait(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not answer on port {port}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
