"""The store of packages: each under the SHA-256 of its wheel, whole and read-only, or not there.

Owns `ContentStore`: how content comes, is held to what it was, and goes. Opening hashes every file
again through descriptors that follow no link: those of the wheel, the wheel itself, its signature
and what it brought along. Knows nothing of which version is used, nor whom to trust. What it does
not guard against: another program of the same user that changes a file after it was opened.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import ContentStoreError, PluginStoreError
from openautoglm.plugins.inventory.listing import LISTING, Listing, listed
from openautoglm.plugins.inventory.state import make_folder, unwritable
from openautoglm.plugins.manifest import FILE_NAME, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.plugins.signing.package import Package

PLUGIN: Final = "plugin"
DEPENDENCIES: Final = "dependencies"
WHEEL: Final = "package.whl"
SIGNATURE: Final = WHEEL + ".dsse.json"
REPORT: Final = WHEEL + ".report.json"
NAME: Final = re.compile(r"[0-9a-f]{64}")
AGAIN: Final = "remove the plugin and install its wheel again"
_NEW: Final = ".new-"
_GONE: Final = ".gone-"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    """Content whose every file was just found to be what was stored.

    Attributes:
        sha256: of the wheel.
        folder: where it lies: `PLUGIN`, `DEPENDENCIES`, `WHEEL` and what lies beside that.
        files: name to SHA-256 of every file of the wheel.
        manifest: out of those files.
        signature: the envelope that was beside the wheel, or None.
    """

    sha256: str
    folder: Path
    files: Mapping[str, str]
    manifest: Manifest
    signature: bytes | None

    @property
    def root(self) -> Path:
        """The folder of the unpacked files."""
        return self.folder / PLUGIN

    @property
    def wheel(self) -> Path:
        """The wheel."""
        return self.folder / WHEEL


@final
class ContentStore:
    """Packages in a folder that nobody but its owner may write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, sha256: str) -> Path:
        """Return the folder of a wheel, there or not.

        Raises:
            ContentStoreError: that is no digest.
        """
        if NAME.fullmatch(sha256) is None:
            raise ContentStoreError("content is named by its SHA-256", got=sha256[:80], fix=AGAIN)
        return self.root / sha256

    @contextmanager
    def staged(
        self,
        package: Package,
        *,
        beside: Mapping[str, bytes] | None = None,
        bring: Callable[[Path], Mapping[str, str]] = lambda _: {},
    ) -> Iterator[Staged]:
        """Put a package beside the others, from its bytes in memory.

        What is not committed in the block is gone after it.

        Args:
            package: what was read and judged.
            beside: other files to keep with the wheel, by name: `SIGNATURE`, `REPORT`.
            bring: puts what the package depends on into a folder; returns name to version.

        Raises:
            PluginStoreError: no room or no permission; nothing is left behind.
            OpenAutoGLMError: what `bring` raises.
        """
        make_folder(self.root.parent)
        make_folder(self.root)
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{_NEW}{os.getpid()}-", dir=self.root))
        except OSError as cause:
            raise unwritable(self.root, cause) from cause
        try:
            _unpack(package, folder / PLUGIN)
            for name, data in {WHEEL: package.data, **(beside or {})}.items():
                (folder / name).write_bytes(data)
            brought = dict(bring(folder / DEPENDENCIES))
            listing = _sealed(folder)
            yield Staged(
                self, folder, self.at(package.sha256), contents=listing.digest, brought=brought
            )
        except PluginStoreError:
            raise  # an OSError that says more already
        except OSError as cause:
            raise unwritable(self.root, cause) from cause
        finally:
            _delete(folder)

    def open(self, sha256: str, *, contents: str) -> StoredContent:
        """Hold stored content to what it was, byte by byte, and return it.

        Args:
            sha256: of the wheel.
            contents: digest of the listing, as it was when it was committed.

        Raises:
            ContentStoreError: it is not there, or not what was put there; the file is named.
        """
        folder = self.at(sha256)
        try:
            listing = listed(folder)
            signature = folder / SIGNATURE
            envelope = signature.read_bytes() if SIGNATURE in listing.files else None
        except OSError as cause:
            raise ContentStoreError(
                "stored content is not there, or cannot be read",
                got=f"{cause.filename or folder}: {cause.strerror}",
                fix=AGAIN,
            ) from cause
        if listing.digest != contents or listing.files.get(WHEEL) != sha256:
            raise ContentStoreError(
                "stored content is not what was put there",
                got=f"{folder}: {listing.difference(folder, contents)}",
                fix=AGAIN,
            )
        files = listing.below(PLUGIN)
        return StoredContent(
            sha256=sha256,
            folder=folder,
            files=files,
            manifest=_manifest(folder / PLUGIN, files),
            signature=envelope,
        )

    def is_whole(self, sha256: str, contents: str) -> bool:
        """Say whether content is what was put there."""
        try:
            self.open(sha256, contents=contents)
        except ContentStoreError:
            return False
        return True

    def remove(self, sha256: str) -> None:
        """Delete content; that it is not there is no error.

        Raises:
            PluginStoreError: it cannot be deleted.
        """
        try:
            if os.path.lexists(self.at(sha256)):
                self.put_aside(self.at(sha256))
        except OSError as cause:
            raise unwritable(self.at(sha256), cause) from cause

    def leftovers(self, used: frozenset[str]) -> tuple[Path, ...]:
        """Return what no version needs: folders of killed processes, and of lost versions."""
        if not self.root.is_dir():
            return ()
        there = (path for path in self.root.iterdir() if path.name not in used)
        return tuple(sorted(path for path in there if not _is_in_work(path.name)))

    def clean(self, used: frozenset[str]) -> tuple[Path, ...]:
        """Delete leftovers and return them."""
        gone = self.leftovers(used)
        for path in gone:
            _delete(path)
        return gone

    def put_aside(self, folder: Path) -> None:
        """Take a folder away in one step, then delete it; open files stay readable."""
        aside = Path(tempfile.mkdtemp(prefix=f"{_GONE}{os.getpid()}-", dir=self.root))
        if not folder.is_symlink():
            folder.chmod(0o700)
        folder.rename(aside / folder.name)
        _delete(aside)


@final
class Staged:
    """Content that is whole, read-only, and not in its place yet.

    Attributes:
        contents: digest of its listing, to open it with.
        brought: distributions that came with it, name to version.
    """

    def __init__(
        self,
        store: ContentStore,
        folder: Path,
        target: Path,
        *,
        contents: str,
        brought: dict[str, str],
    ) -> None:
        self._store = store
        self._folder = folder
        self._target = target
        self.contents = contents
        self.brought = brought

    def commit(self) -> None:
        """Put the folder in its place, unless the same is there."""
        if os.path.lexists(self._target):
            if self._store.is_whole(self._target.name, self.contents):
                return
            self._store.put_aside(self._target)
        self._folder.chmod(0o700)  # a folder that may not be written cannot be renamed
        self._folder.rename(self._target)
        self._target.chmod(0o555)


def _unpack(package: Package, folder: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for name in package.files:
        target = folder.joinpath(*PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
            file.writelines(package.chunks(name))


def _manifest(root: Path, files: Mapping[str, str]) -> Manifest:
    """Return the manifest out of files that were just held to what they were."""
    (name,) = (n for n in files if n.count("/") == 1 and n.endswith(f"/{FILE_NAME}"))
    return Manifest.from_json((root / name).read_bytes(), file=name)


def _is_in_work(name: str) -> bool:
    """Say whether a staged folder belongs to a process that still runs."""
    if not name.startswith((_NEW, _GONE)):
        return False
    process = name.split("-")[1]
    return process.isdecimal() and Path(f"/proc/{process}").exists()


def _sealed(folder: Path) -> Listing:
    """Make all files read-only, and list them beside themselves."""
    for above, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(above) / name
            if not path.is_symlink():
                path.chmod(0o444)
        Path(above).chmod(0o555)
    listing = listed(folder)
    if listing.odd is not None:
        raise ContentStoreError("only plain files are stored", got=listing.odd)
    folder.chmod(0o700)
    listing.write(folder)
    (folder / LISTING).chmod(0o444)
    folder.chmod(0o555)
    return listing


def _delete(path: Path) -> None:
    """Delete a file, or a folder whose parts are read-only; what cannot be deleted is left."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            for above, _, _ in os.walk(path):
                Path(above).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
