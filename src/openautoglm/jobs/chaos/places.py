"""Where on this machine's disks a job writes: its ledger, its sink, its spools.

Owns `written_by` and `torn_of`. Places are beginnings of paths, so that what lies beside a file
under its name, such as the log of a SQLite file, is meant too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.data.location import read_location
from openautoglm.jobs.destination import is_local, is_of_files
from openautoglm.jobs.ledger.open import SQLITE
from openautoglm.native.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.jobs.spec import JobSpec

SPOOLS: Final = ("fetched", "unzipped")
"""Kinds of files in the cache that sources are spooled to."""
HIDDEN: Final = ".oag-"
"""How the names of files begin that are written beside the place they will have."""


def written_by(spec: JobSpec, ledger: str, temporary: Path) -> tuple[str, ...]:
    """Return where a job writes.

    Args:
        spec: of it.
        ledger: its URL.
        temporary: the folder for temporary files of its processes.
    """
    sqlite = ledger_file(ledger)
    own = () if sqlite is None else (str(sqlite),)
    return _both((*own, *_sink(spec), *_spooled(temporary)))


def torn_of(spec: JobSpec, temporary: Path) -> tuple[str, ...]:
    """Return where a job writes files that have no name of their own until they are whole."""
    files = _sink(spec) if is_of_files(read_location(spec.sink, {})) else ()
    return _both((*files, *_spooled(temporary)))


def has_files(spec: JobSpec) -> bool:
    """Whether the sink is files of this machine."""
    location = read_location(spec.sink, {})
    return is_of_files(location) and is_local(location)


def has_disk(spec: JobSpec, ledger: str) -> bool:
    """Whether ledger or sink are on a disk of this machine."""
    return ledger_file(ledger) is not None or bool(tuple(_sink(spec)))


def ledger_file(url: str) -> Path | None:
    """Return the file of a ledger in SQLite."""
    if not url.startswith(SQLITE):
        return None
    return Path(url.removeprefix(SQLITE)).expanduser().absolute()


def _sink(spec: JobSpec) -> Iterator[str]:
    location = read_location(spec.sink, {})
    if has_files(spec):
        path = Path(location.path).absolute()
        yield from (str(path), str(path.parent / HIDDEN))
    elif location.scheme == "sqlite":
        yield str(Path(location.path.removeprefix("/")).absolute())


def _spooled(temporary: Path) -> Iterator[str]:
    yield str(temporary)
    for kind in SPOOLS:
        yield f"{cache_folder(kind)}/"


def _both(paths: Iterable[str]) -> tuple[str, ...]:
    """Return paths as they are written and as the kernel tells them."""
    return tuple(dict.fromkeys(p for path in paths for p in (path, _real(path))))


def _real(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{os.path.realpath(folder)}/{name}"
