"""A PostgreSQL server of the tests' own, from Debian, that they may kill and start again.

Owns `PostgresServer` and the fixtures `postgres_server` (one a session) and `postgres_url` (an
empty database for each test). It listens on a port of the loopback, where it asks for a password,
and on a socket, where it does not.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import pytest

from .debian import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

USER: Final = "postgres"
PASSWORD: Final = "p@ss/w:rd-Zq81"  # noqa: S105 - of a server that lives as long as the tests
QUOTED: Final = "p%40ss%2Fw%3Ard-Zq81"
"""The password as it stands in a URL."""
READY: Final = "database system is ready to accept connections"
TRIES: Final = 5


@final
class PostgresServer:
    """One cluster in a folder of its own; `start` and `stop` may follow each other.

    PostgreSQL refuses to run as root; it runs as Debian's user `postgres` then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = Path(installed("initdb", "postgresql")).parent
        user = pwd.getpwnam(USER) if os.geteuid() == 0 else None
        self._uid = None if user is None else user.pw_uid
        self._gid = None if user is None else user.pw_gid
        self._give(folder)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.port = 0

    @property
    def is_running(self) -> bool:
        """Whether the server was started and not stopped."""
        return self._process is not None

    def url(self, database: str = USER) -> str:
        """Return where a database is, password included."""
        return f"postgresql://{USER}:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = USER) -> str:
        """Return where a database is for who needs no password."""
        return f"postgresql://{USER}@/{database}?host={self._folder}&port={self.port}"

    def create(self) -> None:
        """Make the cluster."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        self._give(secret)
        options = ["--encoding=UTF8", "--locale=C", "--no-sync", "--auth-local=trust"]
        options += ["--auth-host=scram-sha-256", f"--pwfile={secret}", f"--username={USER}"]
        done = subprocess.run(
            [str(self._bin / "initdb"), "-D", str(self._folder / "data"), *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            env=_environment(),
            user=self._uid,
            group=self._gid,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it on the port it had, or on a free one, and return when it takes connections."""
        for attempt in range(1, TRIES + 1):
            is_first = self.port == 0
            if is_first:
                with socket.create_server(("127.0.0.1", 0)) as free:
                    self.port = free.getsockname()[1]
            try:
                self._launch()
            except RuntimeError:  # another program took the port meanwhile
                if attempt == TRIES:
                    raise
                self.port = 0 if is_first else self.port
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT drops its clients and writes what is due, SIGQUIT is a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.wait(timeout=60)
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def create_database(self) -> str:
        """Make an empty database and return its name."""
        import psycopg

        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database and whoever is in it."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "fsync": "off",  # the machine does not fail, only the server is killed
            "shared_buffers": "16MB",
            "max_connections": "60",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            [str(self._bin / "postgres"), "-D", str(self._folder / "data"), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self._folder,
            env=_environment(),
            user=self._uid,
            group=self._gid,
        )
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if READY in line:
                break
        else:
            process.wait()
            process.stdout.close()
            raise RuntimeError("".join(said))
        self._process = process
        self._reader = threading.Thread(target=process.stdout.read)
        self._reader.start()

    def _give(self, path: Path) -> None:
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; a test that stops it starts it again."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = PostgresServer(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own: postgresql://user:password@127.0.0.1:port/database."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
