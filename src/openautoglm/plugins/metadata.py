"""What pip reads of a plugin: the METADATA of its wheel, made from `[project]`.

Owns which keys of `[project]` go in; one that would be lost is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.errors import PluginProjectError
from openautoglm.plugins.reading import MAX_BYTES, parse_toml, read_bytes, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.plugins.manifest import Manifest

_REFUSED: Final = (
    "scripts",
    "gui-scripts",
    "entry-points",
    "optional-dependencies",
    "import-names",
)
_FIELDS: Final = {
    "description": "Summary",
    "license": "License-Expression",
    "requires-python": "Requires-Python",
}
_READMES: Final = {".md": "text/markdown", ".rst": "text/x-rst", ".txt": "text/plain"}


def project_table(folder: Path) -> Mapping[str, object]:
    """Return `[project]` of a folder's pyproject.toml."""
    path = folder / "pyproject.toml"
    table = parse_toml(read_bytes(path), str(path)).get("project")
    return table if isinstance(table, dict) else {}


def metadata_of(manifest: Manifest, project: Mapping[str, object], folder: Path) -> bytes:
    """Return METADATA.

    Raises:
        PluginProjectError: `[project]` asks for what a plugin cannot bring, or its readme is not
            there.
    """
    for key in _REFUSED:
        if key in project:
            raise PluginProjectError(
                f"a plugin has no `{key}`",
                got=shown(project[key]),
                fix=f"take `{key}` out of `[project]`; contributions are listed in `provides`",
            )
    head = [f"Name: {manifest.name}", f"Version: {manifest.version}"]
    return _written(head, manifest.dependencies, project, folder)


def library_metadata(name: str, version: str, project: Mapping[str, object], folder: Path) -> bytes:
    """Return METADATA of a library; errors as `metadata_of`."""
    needs = project.get("dependencies", [])
    listed = [str(need) for need in needs] if isinstance(needs, list) else []
    return _written([f"Name: {name}", f"Version: {version}"], listed, project, folder)


def _written(
    head: Sequence[str], needs: Sequence[str], project: Mapping[str, object], folder: Path
) -> bytes:
    readme, kind = _readme(project, folder)
    lines = [
        "Metadata-Version: 2.4",
        *head,
        *_optional(project),
        *(f"Requires-Dist: {_line(need)}" for need in needs),
        *([f"Description-Content-Type: {kind}"] if readme else []),
    ]
    return "\n".join([*lines, "", readme]).encode()


def _optional(project: Mapping[str, object]) -> Iterator[str]:
    for key, field in _FIELDS.items():
        value = project.get(key)
        if isinstance(value, str) and value:
            yield f"{field}: {_line(value)}"
    urls = project.get("urls")
    for name, url in urls.items() if isinstance(urls, dict) else ():
        yield f"Project-URL: {_line(name)}, {_line(url)}"


def _line(value: object) -> str:
    """Keep a value on one line, so that it cannot say more than itself."""
    return re.sub(r"\s+", " ", str(value)).strip()


def _readme(project: Mapping[str, object], folder: Path) -> tuple[str, str]:
    named = project.get("readme")
    if isinstance(named, dict):
        named = named.get("file")
    if not isinstance(named, str):
        return "", ""
    path = folder / named
    if Path(named).is_absolute() or ".." in Path(named).parts or path.is_symlink():
        raise PluginProjectError(
            "the readme is a file of the project", got=shown(named), fix='readme = "README.md"'
        )
    try:
        text = path.read_bytes()[:MAX_BYTES].decode("utf-8", errors="replace")
    except OSError as cause:
        raise PluginProjectError(
            "the readme cannot be read",
            got=f"{shown(named)}: {cause.strerror}",
            fix="write it, or take `readme` out of `[project]`",
        ) from cause
    return text, _READMES.get(path.suffix.lower(), "text/plain")
