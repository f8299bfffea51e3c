"""A project to a wheel: package, manifest, recorded requests, no more; same input, same bytes.

Owns what goes into a wheel and how it is written. No build backend is fetched and no code of the
plugin is run; a compiler is, for kernels.
"""

from __future__ import annotations

import ast
import hashlib
import sysconfig
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from msgspec import structs

from openautoglm.errors import PluginManifestError, PluginPeerError, PluginProjectError
from openautoglm.plugins import peers
from openautoglm.plugins.manifest import ENTRY_POINTS, FILE_NAME, Manifest, normalised
from openautoglm.plugins.metadata import metadata_of, project_table
from openautoglm.plugins.packing.archive import archive, put
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.project.workspace import pinned
from openautoglm.plugins.reading import shown
from openautoglm.plugins.signing.archive import MAX_MEMBERS, NOT_IN_NAMES, is_plain_name
from openautoglm.plugins.trial.requests import FILE as REQUESTS
from openautoglm.plugins.trial.requests import PACKED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DIST: Final = "dist"
MAX_PACKED_BYTES: Final = 500 << 20  # a wheel is read into memory to be signed
LIBRARY: Final = "kernels.so"
ANYWHERE: Final = "py3-none-any"
_SOURCES: Final = frozenset({".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".cuh"})
_LEFT: Final = frozenset({"__pycache__"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A wheel that was written.

    Attributes:
        path: where it lies.
        sha256: of the file, in hexadecimal.
        manifest: what is in it; where kernels were compiled, `sources` names the library.
        files: how many files it holds.
        left_out: sources this machine could not compile, each with the reason.
    """

    path: Path
    sha256: str
    manifest: Manifest
    files: int
    left_out: tuple[tuple[str, str], ...] = ()


def pack(folder: Path, *, out: Path | None = None, sources: bool = False) -> Packed:
    """Write the wheel of a plugin's project.

    Kernel sources become a library for this kind of machine; with `sources` they go in as they
    are, and the host compiles them where it loads them.

    Args:
        folder: of the project, with its pyproject.toml.
        out: folder for the wheel; `dist` in the project where none is given.
        sources: keep kernels as sources.

    Raises:
        PluginManifestError: pyproject.toml is wrong.
        PluginPeerError: it brings what the host brings, or this host is not one it takes.
        PluginProjectError: the package or a part the manifest names is not there or is no plain
            file, a module is no Python, or the wheel cannot be written.
        BuildFailedError: kernels do not compile.
    """
    manifest = Manifest.from_project(folder)
    peers.demand(manifest)
    _check_points(manifest)
    manifest = pinned(manifest, folder)
    package = package_folder(manifest, folder)
    files = dict(package_files(package))
    _check_parts(manifest, files)
    copies = peers.vendored(files, manifest)
    if copies:
        peers.refuse(manifest.id, copies)
    contents = {name: _bytes(path) for name, path in files.items()}
    _check_python(contents)
    left_out: tuple[tuple[str, str], ...] = ()
    if not sources:
        manifest, contents, left_out = _compiled(manifest, package, contents)
    tag = ANYWHERE if not _has_library(contents) else f"py3-none-{platform_tag()}"
    contents[f"{manifest.package}/{FILE_NAME}"] = manifest.to_json()
    if (folder / REQUESTS).is_file():  # an upgrade asks both versions
        contents[f"{manifest.package}/{PACKED}"] = _bytes(folder / REQUESTS)
    data = archive({**contents, **info_files(manifest, folder, tag)}, info_of(manifest))
    path = put(out or folder / DIST, f"{stem_of(manifest)}-{tag}.whl", data)
    return Packed(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        manifest=manifest,
        files=len(contents),
        left_out=left_out,
    )


def platform_tag() -> str:
    """Return what a library built here runs on, as wheels say it."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def package_folder(manifest: Manifest, folder: Path) -> Path:
    """Return the folder of the plugin's package: in `src`, or beside pyproject.toml.

    Raises:
        PluginProjectError: there is none, or it has no `__init__.py`.
    """
    for found in (folder / "src" / manifest.package, folder / manifest.package):
        if (found / "__init__.py").is_file():
            return found
    raise PluginProjectError(
        f"the package `{manifest.package}` is not in the project",
        got=f"no {manifest.package}/__init__.py in {folder / 'src'} or {folder}",
        fix="make it, or say `package` in [tool.openautoglm.plugin]",
    )


def module_file(module: str, names: Mapping[str, object]) -> str | None:
    """Return the name of the file a dotted module of the package is read from, or None."""
    base = module.replace(".", "/")
    return next((n for n in (f"{base}.py", f"{base}/__init__.py") if n in names), None)


def _check_points(manifest: Manifest) -> None:
    for each in manifest.provides:
        known = POINTS.names()
        if each.point not in known:
            raise PluginManifestError(
                f"`{manifest.id}` extends `{each.point}`, and there is no such extension point",
                got=f"known: {', '.join(known)}",
                fix="correct `point`",
            )
        point = POINTS.get(each.point)
        if each.contract != point.contract:
            raise PluginPeerError(
                f"{each.point} `{each.name}` was written for another contract of its point",
                got=f"contract = {each.contract}, and this host has {point.contract}",
                fix=f"bring it up to contract {point.contract}, and say so",
            )
        if manifest.level not in point.levels:
            raise PluginManifestError(
                f"{each.point} `{each.name}` cannot run at the level the plugin asks for",
                got=f"{manifest.level}, and {each.point} runs at {', '.join(point.levels)}",
                fix=f'say isolation = "{point.levels[-1]}", or move it into a plugin of its own',
            )


def _check_parts(manifest: Manifest, files: Mapping[str, Path]) -> None:
    for each in manifest.provides:
        if each.object is not None:
            module = each.object.partition(":")[0]
            if module_file(module, files) is None:
                raise PluginProjectError(
                    f"the module of {each.point} `{each.name}` is not in the package",
                    got=f"object = {each.object!r}",
                    fix=f"make {module.replace('.', '/')}.py, or correct `object`",
                )
            continue
        where = f"{manifest.package}/{each.module or each.sources}"
        if not any(name == where or name.startswith(f"{where}/") for name in files):
            raise PluginProjectError(
                f"what {each.point} `{each.name}` is made of is not in the package",
                got=f"{each.module or each.sources}",
                fix=f"put it at {where}, or correct the manifest",
            )


def _check_python(contents: Mapping[str, bytes]) -> None:
    """Refuse what no worker could import."""
    for name in sorted(name for name in contents if name.endswith(".py")):
        try:
            with warnings.catch_warnings(action="ignore"):
                ast.parse(contents[name], name)
        except (SyntaxError, ValueError) as cause:
            line = f", line {cause.lineno}" if isinstance(cause, SyntaxError) else ""
            raise PluginProjectError(
                "a file of the package is no Python",
                got=f"{name}{line}: {getattr(cause, 'msg', cause)}",
                fix="correct it; what is no code goes under another ending than .py",
            ) from cause


def package_files(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield name in the wheel and path of every file of a package that goes in.

    Raises:
        PluginProjectError: one is a link, has a name that not every system can hold, or there is
            more than can be.
    """
    count = total = 0
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package.parent)
        if any(part.startswith(".") or part in _LEFT for part in inside.parts):
            continue
        if path.suffix == ".pyc" or path.name in {FILE_NAME, PACKED}:
            continue
        if not is_plain_name(inside.as_posix()):
            raise PluginProjectError(
                "a file of the package has a name that not every system can hold",
                got=shown(inside.as_posix()),
                fix=f"rename it: no control character, and none of {NOT_IN_NAMES}",
            )
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise PluginProjectError(
                "a plugin's package holds plain files",
                got=f"{inside} is a link or a device",
                fix="put the file itself there",
            )
        if path.is_file():
            count, total = count + 1, total + path.stat().st_size
            if count > MAX_MEMBERS or total > MAX_PACKED_BYTES:
                raise PluginProjectError(
                    "the package is larger than a plugin's can be",
                    got=f"more than {MAX_MEMBERS} files or {MAX_PACKED_BYTES} bytes",
                    fix="fetch large files when they are needed, or put them beside the plugin",
                )
            yield inside.as_posix(), path


def _compiled(
    manifest: Manifest, package: Path, contents: Mapping[str, bytes]
) -> tuple[Manifest, dict[str, bytes], tuple[tuple[str, str], ...]]:
    """Put a library in the place of every folder of kernel sources, in the manifest too."""
    kept, left_out = dict(contents), list[tuple[str, str]]()
    folders = {each.sources for each in manifest.provides if each.sources}
    for folder in sorted(folders):
        inside = f"{manifest.package}/{folder}/"
        own = [n for n in kept if n.startswith(inside) and Path(n).suffix in _SOURCES]
        if not own:
            continue  # a library that was built elsewhere, or a pipeline
        from openautoglm.native.toolchain import build_folder

        built = build_folder(package / folder)
        for name in own:
            del kept[name]
        kept[f"{inside}{LIBRARY}"] = built.path.read_bytes()
        left_out += [(path.name, why) for path, why in built.left_out]
        manifest = _renamed(manifest, folder, f"{folder}/{LIBRARY}")
    return manifest, kept, tuple(left_out)


def _renamed(manifest: Manifest, before: str, after: str) -> Manifest:
    provides = tuple(
        structs.replace(each, sources=after) if each.sources == before else each
        for each in manifest.provides
    )
    return structs.replace(manifest, provides=provides)


def _has_library(contents: Mapping[str, bytes]) -> bool:
    return any(data.startswith(b"\x7fELF") for data in contents.values())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise PluginProjectError(
            "a file of the package cannot be read", got=f"{path}: {cause.strerror}", fix="check it"
        ) from cause


def stem_of(manifest: Manifest) -> str:
    """Return the beginning of the names of a plugin's wheel: name and version."""
    return f"{normalised(manifest.name).replace('-', '_')}-{manifest.version}"


def info_of(manifest: Manifest) -> str:
    """Return the name of the folder in a wheel that holds what pip reads."""
    return f"{stem_of(manifest)}.dist-info"


def wheel_text(tag: str) -> bytes:
    """Return the file WHEEL."""
    pure = str(tag == ANYWHERE).lower()
    lines = ("Wheel-Version: 1.0", "Generator: openautoglm", f"Root-Is-Purelib: {pure}")
    return "\n".join([*lines, f"Tag: {tag}", ""]).encode()


def info_files(manifest: Manifest, folder: Path, tag: str) -> dict[str, bytes]:
    """Return what pip reads, by name: all but RECORD."""
    info = info_of(manifest)
    points = f"[{ENTRY_POINTS}]\n{manifest.id} = {manifest.package}\n"
    return {
        f"{info}/METADATA": metadata_of(manifest, project_table(folder), folder),
        f"{info}/WHEEL": wheel_text(tag),
        f"{info}/entry_points.txt": points.encode(),
    }
