"""The ways to do a batch that are measured: where each runs, and how a peer is installed.

Owns `METHODS`. A method is a program beside this file; it gets a `Task` as JSON and prints how long
the rows took, its own start left out.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE: Final = Path(__file__).parent


def cache() -> Path:
    """Return the folder of peers, outside the repository."""
    given = os.environ.get("OAG_BENCHMARK_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "openautoglm-benchmarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a method is told.

    Attributes:
        source: JSON Lines.
        sink: a folder that is not there yet.
        rows: of the source.
        processes: how many may work.
        in_flight: rows under way at a time, all processes together.
        chunk: rows that are handed over together, where that is up to the caller.
        server: URL of the server it was given.
        job: more fields of a job of ours.
    """

    source: str
    sink: str
    rows: int
    processes: int
    in_flight: int
    chunk: int = 1
    server: str = ""
    job: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A method.

    Attributes:
        program: its file.
        survives: what it keeps when its processes are killed, in few words.
        package: distribution that must be there, whose version is told; "" for Python alone.
        install: how it gets there, for pip.
        venv: name of a virtual environment in the cache; "" for ours.
        most_rows: what it is given at most, where more take too long.
        chunk: see `Task`.
        server: kind of the server it needs; "" for none.
    """

    program: str
    survives: str
    package: str = "openautoglm"
    install: str = ""
    venv: str = ""
    most_rows: int = 1 << 30
    chunk: int = 1
    server: str = ""

    @property
    def python(self) -> str:
        """The interpreter it runs in."""
        return str(cache() / "peers" / self.venv / "bin/python") if self.venv else sys.executable

    @property
    def file(self) -> Path:
        """The program."""
        return HERE / self.program


RAY: Final = "'ray[data]==2.60.0'"
DBOS: Final = "dbos==3.4.0"
CELERY: Final = "'celery[redis]==5.7.0'"
CHUNK: Final = 1000

METHODS: Final[dict[str, About]] = {
    "ours": About(program="ours.py", survives="every row, exactly once"),
    "thread pool": About(program="thread_pool.py", survives="nothing", package=""),
    "ray data with checkpoints": About(
        program="ray_data.py",
        survives="blocks that were written",
        package="ray",
        install=RAY,
        venv="ray",
    ),
    "dbos by rows": About(
        program="dbos_queue.py",
        survives="rows that returned",
        package="dbos",
        install=DBOS,
        venv="dbos",
        most_rows=2000,
        server="postgres",
    ),
    "dbos by thousands": About(
        program="dbos_queue.py",
        survives="thousands that returned",
        package="dbos",
        install=DBOS,
        venv="dbos",
        chunk=CHUNK,
        server="postgres",
    ),
    "celery by rows": About(
        program="celery_redis.py",
        survives="rows that returned, but for Redis' last second",
        package="celery",
        install=CELERY,
        venv="celery",
        most_rows=4000,
        server="redis",
    ),
    "celery by thousands": About(
        program="celery_redis.py",
        survives="thousands that returned, but for Redis' last second",
        package="celery",
        install=CELERY,
        venv="celery",
        chunk=CHUNK,
        server="redis",
    ),
}
