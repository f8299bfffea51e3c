"""A plugin's wheel, read with suspicion: names, sizes and hashes, before a byte of it is believed.

Owns what a wheel of a plugin must be. Knows nothing of where it will be unpacked. What it does not
guard against: code that is harmful and says truly what it is; that is what check, policy and the
sandbox are for.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.errors import PluginPackageError
from openautoglm.plugins.manifest import ENTRY_POINTS, FILE_NAME, Manifest, normalised
from openautoglm.plugins.ranges import runs_here
from openautoglm.plugins.reading import MAX_BYTES, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FILES: Final = 20_000
MAX_UNPACKED_BYTES: Final = 1 << 30
MAX_RATIO: Final = 200  # deflate reaches 1000 with nothing but zeros; code and tables reach 20
SUFFIX: Final = ".whl"
_SIGNATURES: Final = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
_CHUNK: Final = 1 << 20
_REPACK: Final = "pack the plugin again: `oag plugin pack`"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel all of whose files are what its RECORD says.

    Attributes:
        path: where it lies.
        sha256: of the file, in hexadecimal.
        manifest: what it says of itself.
        files: name to SHA-256 in hexadecimal; RECORD itself is not in it.
        tags: what it runs on, as in `py3-none-any`.
    """

    path: Path
    sha256: str
    manifest: Manifest
    files: Mapping[str, str]
    tags: tuple[str, ...]


def read_wheel(path: Path) -> Wheel:
    """Read a wheel and hold it to its own RECORD; nothing is unpacked and nothing is run.

    Raises:
        PluginPackageError: it is not there, damaged, incomplete, no plugin, or has a name, a size
            or a file that no plugin's wheel has.
    """
    with _opened(path) as (file, archive):
        entries = _checked_entries(archive, path)
        files = {name: _sha256(archive, entry, path) for name, entry in entries.items()}
        info = _info_folder(files, path)
        _check_record(archive, entries, files, f"{info}/RECORD")
        manifest = _manifest(archive, entries, info, path)
        _check_layout(archive, entries, manifest, (info, path))
        tags = _tags(archive, entries[f"{info}/WHEEL"], path)
        digest = _file_sha256(file)
    del files[f"{info}/RECORD"]
    return Wheel(path=path, sha256=digest, manifest=manifest, files=files, tags=tags)


def unpack(wheel: Wheel, folder: Path) -> None:
    """Write the files of a wheel that `read_wheel` returned into an empty folder.

    Every file is hashed again on its way, so that a wheel that changed in between is refused.

    Raises:
        PluginPackageError: it is not what was read.
        OSError: it cannot be written.
    """
    with _opened(wheel.path) as (_, archive):
        entries = _checked_entries(archive, wheel.path)
        for name, wanted in wheel.files.items():
            target = folder.joinpath(*PurePosixPath(name).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            if name not in entries or _copy(archive, entries[name], target) != wanted:
                raise _bad(wheel.path, "the wheel changed while it was installed", name)


def check_runs_here(wheel: Wheel) -> None:
    """Refuse a wheel that was built for another kind of machine or another Python.

    Raises:
        PluginPackageError: names both.
    """
    here = runs_here(wheel.tags)
    if here is not None:
        raise PluginPackageError(
            f"plugin `{wheel.manifest.id}` was packed for another machine",
            got=f"{', '.join(wheel.tags)}, and this is {here}",
            fix="pack it here, or anywhere with --sources",
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, zipfile.ZipFile]]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield file, archive
    except (zipfile.BadZipFile, zlib.error, csv.Error, EOFError, RuntimeError) as cause:
        raise _bad(path, "this is no wheel, or a damaged one", str(cause)) from cause
    except (FileNotFoundError, IsADirectoryError, PermissionError) as cause:
        raise PluginPackageError(
            "the wheel cannot be read",
            got=f"{shown(str(path))}: {cause.strerror}",
            fix="give the path of a .whl file that `oag plugin pack` wrote",
        ) from cause
    except ValueError as cause:  # a NUL in the path, an offset before the file
        raise _bad(path, "this is no wheel, or a damaged one", str(cause)) from cause


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the files by name, none of which leaves the folder it is unpacked into."""
    entries: dict[str, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    total = 0
    for entry in archive.infolist():
        name = entry.filename
        if entry.is_dir():
            name = name.rstrip("/")
        if why := _unsafe(entry, name):
            raise _bad(path, f"a file in the wheel {why}", name)
        if entry.is_dir():
            continue
        if name.lower() in folded:
            raise _bad(path, "two files in the wheel have one name", name)
        folded.add(name.lower())
        entries[name] = entry
        total += entry.file_size
        if len(entries) > MAX_FILES or total > MAX_UNPACKED_BYTES:
            raise _bad(
                path,
                "the wheel is larger than a plugin's can be",
                f"more than {MAX_FILES} files or {MAX_UNPACKED_BYTES} bytes",
            )
    return entries


def _unsafe(entry: zipfile.ZipInfo, name: str) -> str | None:
    parts = name.split("/")
    mode = entry.external_attr >> 16
    if not name or name.startswith("/") or "\\" in name or ":" in name or not name.isprintable():
        return "has a name that is no plain relative path"
    if any(part in {"", ".", ".."} for part in parts):
        return "has a name that leads out of its folder"
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link or a device"
    if entry.file_size > max(entry.compress_size, 1) * MAX_RATIO + MAX_BYTES:
        return "unpacks to far more than it is"
    return None


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _file_sha256(file: BinaryIO) -> str:
    hashed = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()


def _sha256(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> str:
    hashed, size = hashlib.sha256(), 0
    for chunk in _chunks(archive, entry):
        hashed.update(chunk)
        size += len(chunk)
    if size != entry.file_size:
        raise _bad(path, "a file in the wheel has another size than it says", entry.filename)
    return hashed.hexdigest()


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> str:
    hashed = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in _chunks(archive, entry):
            hashed.update(chunk)
            file.write(chunk)
    return hashed.hexdigest()


def _info_folder(files: Mapping[str, str], path: Path) -> str:
    found = {name.partition("/")[0] for name in files if ".dist-info/" in name}
    found = {folder for folder in found if folder.endswith(".dist-info")}
    if len(found) != 1:
        raise _bad(path, "a wheel has exactly one .dist-info folder", ", ".join(sorted(found)))
    (info,) = found
    lacking = [n for n in ("METADATA", "WHEEL", "RECORD") if f"{info}/{n}" not in files]
    if lacking:
        raise _bad(path, f"the wheel lacks its {lacking[0]}", info)
    return info


def _text(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, limit: int = MAX_BYTES) -> str:
    if entry.file_size > limit:
        raise ValueError(f"{entry.filename} is larger than it can be")
    return archive.read(entry).decode("utf-8")


def _check_record(
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    files: Mapping[str, str],
    record: str,
) -> None:
    """Hold every file to the hash that RECORD has for it; neither may have one more."""
    path = Path(archive.filename or "")
    stated: dict[str, str] = {}
    for row in csv.reader(io.StringIO(_text(archive, entries[record], limit=MAX_BYTES * 8))):
        if len(row) >= 2:  # noqa: PLR2004 - path and hash; the size is in the archive as well
            stated[row[0]] = row[1]
    for name, digest in files.items():
        if name.rpartition("/")[2] in _SIGNATURES and name.startswith(record.partition("/")[0]):
            continue
        wanted = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
        if stated.get(name) != f"sha256={wanted}":
            why = "is not in its RECORD" if name not in stated else "differs from its RECORD"
            raise _bad(path, f"a file in the wheel {why}", name)
    missing = sorted(stated.keys() - files.keys())
    if missing:
        raise _bad(path, "a file of RECORD is not in the wheel", missing[0])


def _manifest(
    archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], info: str, path: Path
) -> Manifest:
    found = [name for name in entries if name.count("/") == 1 and name.endswith(f"/{FILE_NAME}")]
    if len(found) != 1:
        raise PluginPackageError(
            "the wheel is no plugin's",
            got=f"{shown(path.name)} has {len(found)} files {FILE_NAME} in its packages",
            fix=_REPACK,
        )
    if entries[found[0]].file_size > MAX_BYTES:
        raise _bad(path, "the manifest is larger than one can be", found[0])
    manifest = Manifest.from_json(archive.read(entries[found[0]]), file=f"{path.name}/{found[0]}")
    if found[0] != f"{manifest.package}/{FILE_NAME}":
        raise _bad(path, "the manifest names another package than it lies in", manifest.package)
    stem = f"{normalised(manifest.name).replace('-', '_')}-{manifest.version}"
    if info != f"{stem}.dist-info":
        raise _bad(path, "the manifest names another distribution or version", f"{info}, {stem}")
    return manifest


def _check_layout(
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    manifest: Manifest,
    where: tuple[str, Path],
) -> None:
    """Refuse files outside the package, and what entry points or metadata say otherwise."""
    info, path = where
    for name in entries:
        if name.partition("/")[0] not in {manifest.package, info}:
            raise _bad(path, f"a file lies outside the package `{manifest.package}`", name)
    metadata = _text(archive, entries[f"{info}/METADATA"]).partition("\n\n")[0].splitlines()
    stated = {line.partition(": ")[0]: line.partition(": ")[2] for line in reversed(metadata)}
    if (normalised(stated.get("Name", "")), stated.get("Version")) != (
        normalised(manifest.name),
        manifest.version,
    ):
        raise _bad(path, "METADATA names another distribution or version", str(stated.get("Name")))
    points = entries.get(f"{info}/entry_points.txt")
    said = "" if points is None else _text(archive, points)
    lines = [line.replace(" ", "") for line in said.splitlines() if line.strip()]
    if lines != [f"[{ENTRY_POINTS}]", f"{manifest.id}={manifest.package}"]:
        raise _bad(path, "entry_points.txt is not what the manifest says", said)
    for each in manifest.provides:
        _check_parts(manifest, each.module or each.sources, set(entries), path)


def _check_parts(manifest: Manifest, part: str | None, names: set[str], path: Path) -> None:
    where = f"{manifest.package}/{part}"
    if part is not None and not any(n == where or n.startswith(f"{where}/") for n in names):
        raise _bad(path, "what the manifest provides is not in the wheel", where)


def _tags(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> tuple[str, ...]:
    lines = _text(archive, entry).splitlines()
    tags = tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Tag:"))
    if not tags:
        raise _bad(path, "WHEEL says nothing of where the wheel runs", "no Tag")
    return tags


def _bad(path: Path, problem: str, got: str) -> PluginPackageError:
    return PluginPackageError(problem, got=f"{shown(path.name)}: {shown(got)}", fix=_REPACK)
