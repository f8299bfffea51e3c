"""The PostgreSQL server of a soak: the one that the tests have, started in a folder.

What imports this may be imported by workers too: the tests' own modules are looked for here alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import ExitStack

    from tests.postgres_server import PostgresServer


def started_server(folder: Path, stack: ExitStack) -> PostgresServer:
    """Return a running server, which ends with the stack."""
    sys.path.append(str(Path(__file__).parents[2]))
    from tests.postgres_server import PostgresServer

    place = folder / "server"
    place.mkdir()
    folder.chmod(0o755)  # the server is another user's where this one is root
    server = PostgresServer(place)
    server.create()
    server.start()
    stack.callback(server.stop)
    return server
