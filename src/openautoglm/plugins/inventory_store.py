"""Folders of unpacked wheels, named by the wheel's digest: whole, read-only, or not there.

Owns how a folder comes, is held to what it was, and goes. Knows nothing of which one is used. Its
files are read-only against mistakes; a process of the same user can change that, so a digest over
all of them is kept elsewhere and asked for again: `contents`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import PluginPackageError
from openautoglm.plugins.inventory_dependencies import put_dependencies
from openautoglm.plugins.inventory_state import make_folder, unwritable
from openautoglm.plugins.reading import MAX_BYTES
from openautoglm.plugins.wheel import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.inventory_dependencies import Fetching
    from openautoglm.plugins.wheel import Wheel

PLUGIN: Final = "plugin"
DEPENDENCIES: Final = "dependencies"
WHEEL: Final = "package.whl"
SIGNATURE: Final = ".dsse.json"
_NEW: Final = ".new-"
_GONE: Final = ".gone-"
_CHUNK: Final = 1 << 20


@final
class Store:
    """The folder `store` of a home."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "store"

    def at(self, sha256: str) -> Path:
        """Return the folder of a wheel, there or not."""
        return self.folder / sha256

    @contextmanager
    def staged(self, wheel: Wheel, fetching: Fetching) -> Iterator[Staged]:
        """Unpack a wheel beside the others, and put what it depends on with it.

        What is not committed in the block is gone after it.

        Raises:
            PluginPackageError: the wheel changed since it was read.
            PluginPeerError: what it depends on does not go with what the host has.
            PluginStoreError: no room or no permission; nothing is left behind.
        """
        make_folder(self.folder)
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{_NEW}{os.getpid()}-", dir=self.folder))
        except OSError as cause:
            raise unwritable(self.folder, cause) from cause
        try:
            (folder / PLUGIN).mkdir()
            unpack(wheel, folder / PLUGIN)
            _keep(wheel, folder)
            brought = put_dependencies(wheel.manifest, folder / DEPENDENCIES, fetching)
            digest = contents(folder)
            _make_read_only(folder)
            yield Staged(self, folder, self.at(wheel.sha256), contents=digest, dependencies=brought)
        except OSError as cause:
            raise unwritable(self.folder, cause) from cause
        finally:
            _delete(folder)

    def remove(self, sha256: str) -> None:
        """Delete the folder of a wheel; one that is not there is fine.

        Raises:
            PluginStoreError: it cannot be deleted.
        """
        try:
            if self.at(sha256).exists():
                self.put_aside(self.at(sha256))
        except OSError as cause:
            raise unwritable(self.at(sha256), cause) from cause

    def leftovers(self, used: frozenset[str]) -> tuple[Path, ...]:
        """Return what no version needs: folders of killed processes, and of lost versions."""
        if not self.folder.is_dir():
            return ()
        there = (path for path in self.folder.iterdir() if path.name not in used)
        return tuple(sorted(path for path in there if not _is_in_work(path.name)))

    def clean(self, used: frozenset[str]) -> tuple[Path, ...]:
        """Delete leftovers and return them."""
        gone = self.leftovers(used)
        for path in gone:
            _delete(path)
        return gone

    def put_aside(self, folder: Path) -> None:
        """Take a folder away in one step, then delete it; open files stay readable."""
        aside = Path(tempfile.mkdtemp(prefix=f"{_GONE}{os.getpid()}-", dir=self.folder))
        folder.chmod(0o700)
        folder.rename(aside / folder.name)
        _delete(aside)


@final
class Staged:
    """A folder that is whole, read-only, and not in its place yet."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        target: Path,
        *,
        contents: str,
        dependencies: dict[str, str],
    ) -> None:
        self._store = store
        self._folder = folder
        self._target = target
        self.contents = contents
        self.dependencies = dependencies

    def commit(self) -> None:
        """Put the folder in its place, unless the same is there."""
        if self._target.is_dir():
            if contents(self._target) == self.contents:
                return
            self._store.put_aside(self._target)
        self._folder.chmod(0o700)  # a folder that may not be written cannot be renamed
        self._folder.rename(self._target)
        self._target.chmod(0o555)


def _keep(wheel: Wheel, folder: Path) -> None:
    """Keep the wheel and the signature beside it, to be judged again whenever it is loaded."""
    shutil.copyfile(wheel.path, folder / WHEEL)
    if _digest(folder / WHEEL).hex() != wheel.sha256:
        raise PluginPackageError(
            "the wheel changed while it was installed", got=wheel.path.name, fix="install it again"
        )
    beside = wheel.path.with_name(wheel.path.name + SIGNATURE)
    if beside.is_file():
        with beside.open("rb") as file:
            (folder / (WHEEL + SIGNATURE)).write_bytes(file.read(MAX_BYTES))


def contents(folder: Path) -> str:
    """Return a digest over the names, kinds and contents of all files in a folder.

    Raises:
        OSError: one of them cannot be read.
    """
    whole = hashlib.sha256()
    for path in sorted(_walk(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode("utf-8", errors="surrogateescape")
        is_plain = stat.S_ISREG(path.lstat().st_mode)
        digest = _digest(path) if is_plain else b"no plain file"
        whole.update(len(name).to_bytes(8, "big") + name + digest)
    return whole.hexdigest()


def _is_in_work(name: str) -> bool:
    """Say whether a staged folder belongs to a process that still runs."""
    if not name.startswith((_NEW, _GONE)):
        return False
    process = name.split("-")[1]
    return process.isdecimal() and Path(f"/proc/{process}").exists()


def _walk(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        yield from (Path(above) / name for name in names)
        yield from (Path(above) / name for name in folders if (Path(above) / name).is_symlink())


def _digest(path: Path) -> bytes:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.digest()


def _make_read_only(folder: Path) -> None:
    for above, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(above) / name
            if not path.is_symlink():
                path.chmod(0o444)
        Path(above).chmod(0o555)


def _delete(path: Path) -> None:
    """Delete a file, or a folder whose parts are read-only; what cannot be deleted is left."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            for above, _, _ in os.walk(path):
                Path(above).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
