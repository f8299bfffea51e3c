"""The plugin that is looked at: a project's folder or a wheel, as files that are only read.

Owns `Subject` and the unpacking of a wheel into a folder that is gone afterwards. Knows nothing of
what is asked about it.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from openautoglm.errors import PluginManifestError, PluginPackageError
from openautoglm.plugins.inspect.sources import Module, Unreadable, read_modules
from openautoglm.plugins.manifest import FILE_NAME, Manifest
from openautoglm.plugins.reading import parse_toml, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Form: TypeAlias = Literal["project", "wheel"]

MAX_FILES: Final = 20_000
MAX_BYTES: Final = 2 * 2**30
NOT_PACKED: Final = frozenset({"__pycache__", ".git", ".venv", "build", "dist"})


@final
@dataclass(frozen=True, kw_only=True)
class Subject:
    """One plugin as files.

    Attributes:
        path: what was named: a project's folder or a wheel.
        form: which of the two.
        root: the folder on which Python would find the plugin's package.
        manifest: what the plugin says of itself, or None where that cannot be read.
        problem: why it cannot.
        metadata: `[project]` of pyproject.toml, or `METADATA` of the wheel, keys in lower case.
    """

    path: Path
    form: Form
    root: Path
    manifest: Manifest | None = None
    problem: PluginManifestError | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """What the plugin's wheel holds or would hold, below `root`, sorted."""
        places = [self.root]
        if self.form == "project" and self.manifest is not None:
            package = self.root / self.manifest.package
            places = [package, package.with_suffix(".py")]
            if self.root != self.path:
                places = [self.root]
        found = {file for place in places for file in _files(place)}
        return tuple(sorted(file.relative_to(self.root) for file in found))

    @cached_property
    def parsed(self) -> tuple[Module | Unreadable, ...]:
        """The Python files, parsed, in the order of `files`."""
        return read_modules(self.root, self.files)

    @property
    def modules(self) -> tuple[Module, ...]:
        """The Python files that could be parsed."""
        return tuple(module for module in self.parsed if isinstance(module, Module))

    @property
    def package(self) -> Path | None:
        """The folder of the plugin's package, or None where it is one file or not there."""
        if self.manifest is None:
            return None
        folder = self.root / self.manifest.package
        return folder if folder.is_dir() else None


@contextmanager
def opened(path: Path) -> Iterator[Subject]:
    """Return what `path` names, as files; what was unpacked for it is gone after the block.

    Raises:
        PluginPackageError: there is neither a folder nor a wheel, or the wheel is damaged.
    """
    if path.is_dir():
        yield _project(path)
    elif path.suffix == ".whl" and path.is_file():
        folder = Path(tempfile.mkdtemp(prefix="openautoglm-check-"))
        try:
            unpack(path, folder)
            yield _wheel(path, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        raise PluginPackageError(
            "there is no plugin to check",
            got=f"{path} is {'a file' if path.exists() else 'not there'}",
            fix="name the folder of a plugin's project, or a wheel that `oag plugin pack` made",
        )


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel into an empty folder.

    Raises:
        PluginPackageError: it is damaged, too large, or names files outside of the folder.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_FILES or total > MAX_BYTES:
                raise PluginPackageError(
                    "the wheel is larger than a plugin may be",
                    got=f"{len(entries)} files, {total} bytes",
                    fix=f"at most {MAX_FILES} files and {MAX_BYTES} bytes",
                )
            for entry in entries:
                _refuse_outside(entry)
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as cause:
        raise PluginPackageError(
            "the wheel cannot be unpacked", got=f"{wheel}: {cause}", fix="pack the plugin again"
        ) from cause


def _refuse_outside(entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename)
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or is_link:
        raise PluginPackageError(
            "the wheel holds a link, or a file outside of itself",
            got=entry.filename[:80],
            fix="do not install it: `oag plugin pack` makes no such wheel",
        )


def _project(folder: Path) -> Subject:
    manifest, problem = None, None
    try:
        manifest = Manifest.from_project(folder)
    except PluginManifestError as error:
        problem = error
    metadata: dict[str, object] = {}
    try:
        table = parse_toml(read_bytes(folder / "pyproject.toml"), "pyproject.toml").get("project")
        metadata = {str(k).lower(): v for k, v in table.items()} if isinstance(table, dict) else {}
    except PluginManifestError:
        pass  # `problem` says so already
    package = manifest.package if manifest is not None else ""
    root = folder / "src" if (folder / "src" / package).exists() and package else folder
    return Subject(
        path=folder,
        form="project",
        root=root,
        manifest=manifest,
        problem=problem,
        metadata=metadata,
    )


def _wheel(path: Path, folder: Path) -> Subject:
    manifest, problem = _manifest_inside(folder)
    return Subject(
        path=path,
        form="wheel",
        root=folder,
        manifest=manifest,
        problem=problem,
        metadata=_metadata(folder),
    )


def _manifest_inside(folder: Path) -> tuple[Manifest | None, PluginManifestError | None]:
    found = sorted(folder.glob(f"*/{FILE_NAME}"))
    if len(found) != 1:
        return None, PluginManifestError(
            f"the wheel has {len(found)} files {FILE_NAME}, and one is needed",
            got=", ".join(str(file.relative_to(folder)) for file in found) or None,
            fix="make the wheel with `oag plugin pack`",
        )
    try:
        data = read_bytes(found[0])
        return Manifest.from_json(data, file=str(found[0].relative_to(folder))), None
    except PluginManifestError as error:
        return None, error


def _metadata(folder: Path) -> dict[str, object]:
    from email.parser import HeaderParser

    for file in sorted(folder.glob("*.dist-info/METADATA")):
        text = file.read_text(encoding="utf-8", errors="replace")
        return {key.lower(): value for key, value in HeaderParser().parsestr(text).items()}
    return {}


def _files(place: Path) -> Iterator[Path]:
    if place.is_file() and not place.is_symlink():
        yield place
    elif place.is_dir() and not place.is_symlink():
        for child in place.iterdir():
            if child.name not in NOT_PACKED and not child.name.endswith(".egg-info"):
                yield from _files(child)
