"""What a plugin says of itself: who it is, what it needs, what it provides.

Owns `Manifest`, its two forms (tables in pyproject.toml, canonical JSON in the wheel) and what in
it would contradict itself. Pure data: it imports nothing of the plugin, and does not know what
extension points there are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, final

import msgspec
from msgspec import Meta, Struct, field

from openautoglm.errors import PluginManifestError
from openautoglm.plugins.ranges import parse_version
from openautoglm.plugins.reading import convert, parse_json, parse_toml, read_bytes, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

API_VERSION: Final = "1.0"
"""What plugins are written against; `host-api` of a manifest is a range over it."""

SCHEMA: Final = 1
FILE_NAME: Final = "openautoglm-plugin.json"
"""The manifest's name in the package folder of a wheel."""

ENTRY_POINTS: Final = "openautoglm.plugins"
"""The group of entry points by which installed plugins are found; each is `<id> = <package>`."""

TABLE: Final = "tool.openautoglm.plugin"
MAX_PROVIDES: Final = 256

Isolation: TypeAlias = Literal["auto", "L0", "L1", "L2", "L3"]
IN_PROCESS_POINTS: Final = frozenset({"operator", "kernel", "driver"})
"""Points whose calls are too small to cross into another process."""

_END = r"$(?![\s\S])"  # where Python's `$` also matches before a last line break
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_WORD}(?:\.{_WORD})*"
_RELATIVE = r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*"
_VERSION = r"(?:\d+!)?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?(?:\+[a-z0-9.]+)?"

Id: TypeAlias = Annotated[
    str, Meta(pattern=rf"^[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*{_END}", max_length=100)
]
Distribution: TypeAlias = Annotated[str, Meta(pattern=rf"^{_NAME}{_END}", max_length=100)]
Version: TypeAlias = Annotated[str, Meta(pattern=rf"^{_VERSION}{_END}", max_length=100)]
Range: TypeAlias = Annotated[str, Meta(max_length=200)]
Permission: TypeAlias = Annotated[
    str, Meta(pattern=rf"^(?:emit|subscribe|call):[A-Za-z0-9_*-]+(?:\.[A-Za-z0-9_*-]+)*{_END}")
]

_FIXES: Final = {
    "schema": f"write `schema = {SCHEMA}`",
    "id": 'lower-case letters, digits, dots and hyphens, at most 100, as in id = "acme.upper"',
    "name": 'letters, digits, dots, hyphens and underscores, as in name = "acme.upper"',
    "version": 'a version such as version = "1.2.0"',
    "host-api": f'a range over {API_VERSION}, as in host-api = ">=1.0,<2"',
    "isolation": 'one of "auto", "L0", "L1", "L2", "L3"',
    "permissions": 'emit, subscribe or call, and a type, as in ["emit:acme.*"]',
    "peers": 'a table of ranges, as in peers = {numpy = ">=2"}',
    "limits": "memory-mb, files, scratch-mb, call-timeout-s, cpu-share",
    "provides": f"one table [[{TABLE}.provides]] for each thing the plugin provides",
    "point": 'the extension point, as in point = "step"',
    "contract": "the number of the point's contract, as in contract = 1",
    "object": 'a module of the package and a name in it, as in object = "acme_upper.step:Upper"',
    "sources": 'a folder inside the package, as in sources = "kernels"',
    "module": 'a file inside the package, as in module = "tokenise.wasm"',
    "package": "the one package the plugin is imported as, a Python identifier",
    "memory-mb": "a whole number of MiB from 16 to 1048576",
    "files": "a whole number from 8 to 65536",
    "scratch-mb": "a whole number of MiB from 0 to 1048576",
    "call-timeout-s": "seconds, more than 0 and at most 86400",
    "cpu-share": "a share of one core, more than 0 and at most 1024",
}


@final
class Limits(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What one worker of the plugin may use.

    Attributes:
        memory_mb: address space beyond what the host lends, in MiB.
        files: open files.
        scratch_mb: bytes in its scratch folder, in MiB.
        call_timeout_s: a call that takes longer is ended, and the worker with it.
        cpu_share: cores it may keep busy; None for as many as there are.
    """

    memory_mb: Annotated[int, Meta(ge=16, le=1 << 20)] = 512
    files: Annotated[int, Meta(ge=8, le=1 << 16)] = 64
    scratch_mb: Annotated[int, Meta(ge=0, le=1 << 20)] = 64
    call_timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    cpu_share: Annotated[float, Meta(gt=0, le=1024)] | None = None


@final
class Provides(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """One contribution. Exactly one of `object`, `sources` and `module` says what it is.

    Attributes:
        point: the extension point, e.g. "step".
        contract: the number of the point's contract it was written for.
        name: its name in the registry of the point.
        object: `module:attr` in the plugin's package.
        sources: inside the package: a folder of kernel sources, the library built from them, or
            the YAML file of a task.
        module: WebAssembly file inside the package.
        idempotent: a call may be made again when its worker died.
        state: it has `export_state` and `import_state`, for a replacement to go on from.
    """

    point: Annotated[str, Meta(pattern=rf"^[a-z][a-z0-9-]*{_END}", max_length=40)]
    name: Annotated[
        str, Meta(pattern=rf"^[A-Za-z_][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*{_END}", max_length=100)
    ]
    contract: Annotated[int, Meta(ge=1, le=1_000_000)]
    object: Annotated[str, Meta(pattern=rf"^{_DOTTED}:{_DOTTED}{_END}", max_length=200)] | None = (
        None
    )
    sources: Annotated[str, Meta(pattern=rf"^{_RELATIVE}{_END}", max_length=200)] | None = None
    module: Annotated[str, Meta(pattern=rf"^{_RELATIVE}\.wasm{_END}", max_length=200)] | None = None
    idempotent: bool = False
    state: bool = False

    def __post_init__(self) -> None:
        given = [n for n in ("object", "sources", "module") if getattr(self, n) is not None]
        if len(given) != 1:
            raise PluginManifestError(
                f"{self.point} `{self.name}` is one of object, sources and module",
                got=" and ".join(given) or "none of them",
                fix=f"say which: {_FIXES['object']}",
            )


@final
class Manifest(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """All a plugin says of itself.

    Attributes:
        id: unique, lower case, with dots; what messages, permissions and folders are named after.
        name: the distribution's name, as pip knows it.
        version: normalised as in PEP 440.
        package: the one top package it is imported as.
        host_api: range over `API_VERSION`.
        isolation: the weakest level it asks for; see `level`.
        permissions: `verb:type`, the type with `*`.
        peers: distributions of the host it uses the host's copy of, each with a range.
        limits: of a worker.
        provides: its contributions.
        dependencies: distributions of its own, as in `[project]`.
        requires_python: a range, or empty.

    Raises:
        PluginManifestError: it contradicts itself. Ranges are not looked at: see `peers.check`.

    Example:
        >>> m = Manifest(
        ...     id="acme.upper", name="acme-upper", version="1.0", package="acme_upper",
        ...     host_api=">=1.0,<2", provides=(Provides(
        ...         point="step", contract=1, name="acme.upper", object="acme_upper.step:Upper"),))
        >>> m.level, Manifest.from_json(m.to_json()) == m
        ('L2', True)
    """

    schema: Literal[1] = SCHEMA
    id: Id
    name: Distribution
    version: Version
    package: Annotated[str, Meta(pattern=rf"^{_WORD}{_END}", max_length=100)]
    provides: Annotated[tuple[Provides, ...], Meta(min_length=1, max_length=MAX_PROVIDES)]
    host_api: Range
    summary: Annotated[str, Meta(max_length=500)] = ""
    isolation: Isolation = "auto"
    permissions: Annotated[tuple[Permission, ...], Meta(max_length=256)] = ()
    peers: Annotated[Mapping[Distribution, Range], Meta(max_length=256)] = field(
        default_factory=dict
    )
    limits: Limits = Limits()
    dependencies: Annotated[
        tuple[Annotated[str, Meta(max_length=500)], ...], Meta(max_length=256)
    ] = ()
    requires_python: Range = ""

    def __post_init__(self) -> None:
        seen = set()
        for each in self.provides:
            if (each.point, each.name) in seen:
                raise PluginManifestError(
                    f"two contributions are called {each.point} `{each.name}`",
                    got=self.id,
                    fix="give each a name of its own",
                )
            seen.add((each.point, each.name))
            top = (each.object or self.package).partition(":")[0].partition(".")[0]
            if top != self.package:
                raise PluginManifestError(
                    f"the object of {each.point} `{each.name}` is not in the plugin's package",
                    got=f"{each.object}, and the package is {self.package}",
                    fix=f"move it into {self.package}, or correct `object` or `package`",
                )

    @classmethod
    def from_project(cls, folder: Path) -> Manifest:
        """Read `pyproject.toml` of a project's folder, or that file itself.

        Raises:
            PluginManifestError: the file cannot be read, or a key in it is missing or wrong; the
                message names file, key and what to write.
        """
        path = folder if folder.suffix == ".toml" else folder / "pyproject.toml"
        tables = parse_toml(read_bytes(path), str(path))
        return convert(_gathered(tables, path), cls, str(path), at=TABLE, fixes=_FIXES)

    @classmethod
    def from_json(cls, data: bytes, *, file: str = FILE_NAME) -> Manifest:
        """Read the JSON of a wheel; errors as `from_project`."""
        return convert(parse_json(data, file), cls, file, at="$", fixes=_FIXES)

    def to_json(self) -> bytes:
        """Write canonical JSON: every key, sorted, no spaces, UTF-8."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def digest(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def level(self) -> Isolation:
        """The weakest level it asks for, with "auto" resolved.

        L3 where all it provides is WebAssembly; L0 where it provides an operator, a kernel or a
        driver, whose calls are too small to leave the process; else L2. It is what the plugin
        asks for, not what it is granted.
        """
        if self.isolation != "auto":
            return self.isolation
        if all(each.module is not None for each in self.provides):
            return "L3"
        return "L0" if any(each.point in IN_PROCESS_POINTS for each in self.provides) else "L2"


def normalised(name: str) -> str:
    """Return a distribution's name as names are compared: lower case, runs of `-_.` one hyphen.

    Example:
        >>> normalised("Acme._Upper")
        'acme-upper'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of a manifest in JSON; `spec/plugin.schema.json` holds it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Open-AutoGLM plugin manifest",
        **msgspec.json.schema(Manifest),
    }
    return msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, object])


def _gathered(tables: Mapping[str, object], path: Path) -> dict[str, object]:
    """Join `[project]` and `[tool.openautoglm.plugin]`; the types of values are not checked yet."""
    project = _table(tables, ["project"], path)
    own = _table(tables, TABLE.split("."), path)
    for key in ("name", "version"):
        if key not in project:
            raise PluginManifestError(
                f"{path}: `project` lacks the key `{key}`",
                got="it is dynamic" if key in _dynamic(project) else None,
                fix=f"{_FIXES[key]}, written out: packing runs no code to compute it",
            )
    taken = {"name", "version", "summary", "dependencies", "requires-python"} & own.keys()
    if taken:
        raise PluginManifestError(
            f"{path}: `{TABLE}.{min(taken)}` is said twice",
            got=shown(own[min(taken)]),
            fix="say it in `[project]` alone (`summary` is `description` there)",
        )
    found = {
        "name": project["name"],
        "version": canonical(project["version"], path),
        "summary": project.get("description", ""),
        "dependencies": project.get("dependencies", []),
        "requires-python": project.get("requires-python", ""),
        "package": re.sub(r"[-.]+", "_", str(project["name"])).lower(),
    }
    return {**found, **own}


def _table(tables: Mapping[str, object], keys: Sequence[str], path: Path) -> dict[str, object]:
    found: object = tables
    for number, key in enumerate(keys):
        found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            name = ".".join(keys[: number + 1])
            raise PluginManifestError(
                f"{path} has no table `[{'.'.join(keys)}]`",
                got="nothing there" if found is None else f"`{name}` is {shown(found)}",
                fix="`oag plugin new NAME --kind step` writes a project that has all it needs",
            )
    return found  # type: ignore[return-value] # a dict of a TOML file, checked in the loop


def _dynamic(project: Mapping[str, object]) -> list[object]:
    dynamic = project.get("dynamic")
    return dynamic if isinstance(dynamic, list) else []


def canonical(version: object, path: Path) -> str:
    """Return a version as PEP 440 normalises it; `path` is named where it is none.

    Raises:
        PluginManifestError: it is no version.
    """
    found = parse_version(str(version))
    if found is None:
        raise PluginManifestError(
            f"{path}: `project.version` is no version", got=shown(version), fix=_FIXES["version"]
        )
    return found


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
