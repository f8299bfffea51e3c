"""Where rules come from: a .rego file, a folder of them, or a bundle (.tar.gz), with their data.

Owns `Sources`. Symbolic links in a folder are followed: the folder is the operator's own.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import InputNotFoundError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.policy.document import Json

MAX_BYTES: Final = 4 << 20
"""All rules and data together."""

PACKAGE: Final = re.compile(
    r"^package[ \t]+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[ \t]*(?:#.*)?$", re.MULTILINE
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Rego modules by file name, and the data they read.

    Attributes:
        modules: the text of each file; tests (`*_test.rego`) are kept apart.
        tests: the text of each test file.
        data: the base document, as `data.json` files give it.
    """

    modules: Mapping[str, str]
    tests: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Json] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of rules and data, in hex: what decided can be named in an audit."""
        said = json.dumps([sorted(self.modules.items()), self.data], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def packages(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Return the package of each file, written as an entry point (`plugin/admission`)."""
        return {name: _package(name, text) for name, text in texts.items()}


def read(*paths: Path) -> Sources:
    """Read rules from files, folders and bundles; data of later ones wins.

    Raises:
        InputNotFoundError: a path is not there.
        PolicyError: no rules are in it, or a file cannot be read as what it is.
    """
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    data: dict[str, Json] = {}
    size = 0
    for path in paths:
        for name, prefix, content in _files(path):
            size += len(content)
            if size > MAX_BYTES:
                raise PolicyError("the rules are too large", got=f"more than {MAX_BYTES} bytes")
            if name.endswith(".rego"):
                (tests if name.endswith("_test.rego") else modules)[name] = _text(name, content)
            else:
                data = merge(data, _data(name, prefix, content))
    if not modules and not tests:
        raise PolicyError(
            "there are no rules",
            got=", ".join(map(str, paths)),
            fix="point at a .rego file, a folder of them, or a bundle (.tar.gz)",
        )
    return Sources(modules=modules, tests=tests, data=data)


def merge(below: Mapping[str, Json], above: Mapping[str, Json]) -> dict[str, Json]:
    """Merge two JSON objects; where both have a value that is no object, `above` wins.

    Example:
        >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _files(path: Path) -> Iterator[tuple[str, tuple[str, ...], bytes]]:
    """Yield name, folders above it inside `path`, and content of what matters."""
    if not path.exists():
        raise InputNotFoundError(
            "no such rules", got=str(path), fix="point at a .rego file, a folder or a bundle"
        )
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        found = ((p.relative_to(path), p) for p in inside)
        yield from (
            (str(p), relative.parts[:-1], p.read_bytes())
            for relative, p in found
            if _matters(relative) and not any(part.startswith(".") for part in relative.parts)
        )
    elif path.name.endswith((".tar.gz", ".tgz")):
        yield from _bundle(path)
    else:
        yield str(path), (), path.read_bytes()


def _bundle(path: Path) -> Iterator[tuple[str, tuple[str, ...], bytes]]:
    left = MAX_BYTES
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                content = archive.extractfile(member) if member.isreg() else None
                left -= max(member.size, 0)
                if left < 0:
                    raise PolicyError("the bundle is too large", got=str(path))
                if content is not None and _matters(name):
                    parts = tuple(part for part in name.parts[:-1] if part not in {"/", "."})
                    yield f"{path}/{name}", parts, content.read()
    except (tarfile.TarError, EOFError, OSError) as cause:
        raise PolicyError("a bundle cannot be read", got=f"{path}: {cause}") from cause


def _matters(path: PurePosixPath | Path) -> bool:
    return path.suffix == ".rego" or path.name == "data.json"


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as cause:
        raise PolicyError("rules are UTF-8", got=f"{name}: byte {cause.start}") from cause


def _data(name: str, prefix: tuple[str, ...], content: bytes) -> dict[str, Json]:
    try:
        data = json.loads(content)
    except ValueError as cause:
        raise PolicyError("data is no JSON", got=f"{name}: {cause}") from cause
    if not isinstance(data, dict):
        raise PolicyError("data is no JSON object", got=f"{name}: {type(data).__name__}")
    nested: dict[str, Json] = data
    for folder in reversed(prefix):
        nested = {folder: nested}
    return nested


def _package(name: str, text: str) -> str:
    if "\0" in text:  # the engine would read no further
        line = text[: text.index("\0")].count("\n") + 1
        raise PolicyError("rules hold a NUL character", got=f"{name}:{line}")
    found = PACKAGE.search(text)
    if found is None:
        raise PolicyError(
            "a file of rules names its package first", got=name, fix="begin it with `package a.b`"
        )
    return found.group(1).replace(".", "/")
