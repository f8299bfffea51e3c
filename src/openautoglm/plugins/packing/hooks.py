"""The build backend of a plugin's project, for pip and uv: the hooks of PEP 517 and PEP 660.

Named in the project's `[build-system]`; it needs nothing but this package. A wheel is what
`oag plugin pack` writes, byte for byte. An editable one leaves the package where it is; its
manifest is the one there was when it was installed.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.manifest import FILE_NAME, Manifest
from openautoglm.plugins.packing.archive import archive, put
from openautoglm.plugins.packing.packing import (
    ANYWHERE,
    info_files,
    info_of,
    pack,
    package_files,
    package_folder,
    stem_of,
)
from openautoglm.plugins.trial.requests import FILE as REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

_BESIDE: Final = ("pyproject.toml", "README.md", "LICENSE", REQUESTS)


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Write the wheel of the project in the current folder; return its name."""
    del metadata_directory
    keeps = bool((config_settings or {}).get("sources"))
    return pack(Path.cwd(), out=Path(wheel_directory), sources=keeps).path.name


def build_editable(
    wheel_directory: str,
    config_settings: Mapping[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Write a wheel that points to the current folder; return its name."""
    del config_settings, metadata_directory
    folder = Path.cwd()
    manifest = Manifest.from_project(folder)
    contents = {
        f"_{manifest.package}.pth": f"{package_folder(manifest, folder).parent}\n".encode(),
        **info_files(manifest, folder, ANYWHERE),
        f"{info_of(manifest)}/{FILE_NAME}": manifest.to_json(),
    }
    name = f"{stem_of(manifest)}-0.editable-{ANYWHERE}.whl"
    return put(Path(wheel_directory), name, archive(contents, info_of(manifest))).name


def build_sdist(sdist_directory: str, config_settings: Mapping[str, object] | None = None) -> str:
    """Write the sources of the project in the current folder; return the archive's name."""
    del config_settings
    folder = Path.cwd()
    manifest = Manifest.from_project(folder)
    stem = stem_of(manifest)
    files = {name: folder / name for name in _BESIDE if (folder / name).is_file()}
    for name, path in package_files(package_folder(manifest, folder)):
        files[f"src/{name}"] = path
    contents = {name: path.read_bytes() for name, path in files.items()}
    contents["PKG-INFO"] = info_files(manifest, folder, ANYWHERE)[f"{info_of(manifest)}/METADATA"]
    data = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=data, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as written,
    ):
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    return put(Path(sdist_directory), f"{stem}.tar.gz", data.getvalue()).name
