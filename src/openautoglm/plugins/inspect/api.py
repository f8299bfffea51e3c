"""The names a plugin defines and what their calls take, read by griffe without importing anything.

Owns `Package` (a plugin's tree of names), `Parameter` and the rows `static.object` and
`static.kind`. Follows imports and inheritance inside the plugin; what comes from elsewhere is
`outside`, and what a class inherits from there is not known.
"""

from __future__ import annotations

import ast
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from openautoglm.plugins.inspect.rows import failed, passed, skipped
from openautoglm.plugins.inspect.sources import Unreadable
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.report import Finding

Kind: TypeAlias = Literal["class", "function", "literal", "module", "made", "outside"]
How: TypeAlias = Literal["positional", "either", "keyword", "any-positional", "any-keyword"]

_HOW: Mapping[str, How] = {
    "positional-only": "positional",
    "positional or keyword": "either",
    "keyword-only": "keyword",
    "variadic positional": "any-positional",
    "variadic keyword": "any-keyword",
}


UNKNOWN = "unknown.Base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a function."""

    name: str
    how: How
    is_required: bool


@final
@dataclass(frozen=True, slots=True)
class Found:
    """One name of a plugin.

    Attributes:
        kind: what it is; `made` by a call, `outside` of the plugin: both are known when it runs.
        node: griffe's object, None where it is `outside`.
    """

    kind: Kind
    node: Any = None

    def methods(self) -> Mapping[str, tuple[Parameter, ...]]:
        """Return the functions of a class, those inherited inside the plugin among them."""
        members = self.node.all_members if self.kind == "class" else {}
        found = {}
        for name, member in members.items():
            target = _final(member)
            if target is not None and target.is_function:
                is_static = "staticmethod" in target.labels
                found[name] = _parameters(target)[0 if is_static else 1 :]
        return found

    def attributes(self) -> frozenset[str]:
        """Return all names of a class, those inherited inside the plugin among them."""
        return frozenset(self.node.all_members) if self.kind == "class" else frozenset()

    def parameters(self) -> tuple[Parameter, ...]:
        """Return what a function takes."""
        return _parameters(self.node) if self.kind == "function" else ()

    def bases_outside(self) -> tuple[str, ...]:
        """Return the bases of a class, and of its bases, that are not the plugin's own."""
        if self.kind != "class":
            return ()
        try:
            classes = [self.node, *self.node.mro()]
        except ValueError:  # a class named like its base, which griffe takes for a cycle
            return (UNKNOWN,)
        paths = [_path(base) for each in classes for base in each.bases]
        top = self.node.package.name
        return tuple(dict.fromkeys(p for p in paths if p.partition(".")[0] not in {top, "object"}))


@final
class Package:
    """A plugin's package as a tree of names."""

    def __init__(self, root: Path, name: str) -> None:
        griffe = need("griffe", extra="plugins", why="reading a plugin's names")
        loader = griffe.GriffeLoader(search_paths=[str(root)], allow_inspection=False)
        with _quiet():
            self.tree = loader.load(name, try_relative_path=False, find_stubs_package=False)
            loader.resolve_aliases(implicit=True, external=False)

    def find(self, dotted: str) -> Found | None:
        """Return what `module:attr` names, or None where it is not defined."""
        module, _, attribute = dotted.partition(":")
        parts = [*module.split(".")[1:], *attribute.split(".")]
        node: Any = self.tree
        for part in parts:
            if node is None or part not in node.all_members:
                return None
            member = node.all_members[part]
            node = _final(member)
            if node is None:
                return Found("outside")
        return _found(node)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep griffe from logging what the rows will say."""
    logger = logging.getLogger("griffe")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _found(node: Any) -> Found:  # noqa: ANN401 - griffe's objects have no common base
    if node.is_class:
        return Found("class", node)
    if node.is_function:
        return Found("function", node)
    if node.is_module:
        return Found("module", node)
    return _assigned(node)


def _assigned(node: Any) -> Found:  # noqa: ANN401 - griffe's Attribute
    """Tell what a name was given: another name of the module, a literal, or what a call made."""
    value = str(node.value)
    members = node.parent.all_members if node.parent is not None else {}
    if value.isidentifier() and value in members and value != node.name:
        target = _final(members[value])
        return Found("outside") if target is None else _found(target)
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return Found("made", node)
    return Found("literal", node)


def _final(member: Any) -> Any:  # noqa: ANN401 - griffe's objects have no common base
    """Return what an import stands for, or None where that is not in the plugin."""
    if not member.is_alias:
        return member
    try:
        return member.final_target
    except Exception:  # noqa: BLE001 - griffe's errors of cycles and of what is not loaded
        return None


def _path(base: Any) -> str:  # noqa: ANN401 - an expression of griffe's, or a text
    return str(getattr(base, "canonical_path", base))


def _parameters(function: Any) -> tuple[Parameter, ...]:  # noqa: ANN401 - griffe's Function
    return tuple(
        Parameter(
            name=parameter.name,
            how=_HOW[parameter.kind.value],
            is_required=parameter.required,
        )
        for parameter in function.parameters
    )


def load(subject: Subject, manifest: Manifest) -> Package | None:
    """Return the plugin's names, or None where there is no package that can be read."""
    if (
        not any(path.parts[0] == manifest.package for path in subject.files)
        and not (subject.root / f"{manifest.package}.py").is_file()
    ):
        return None
    if any(isinstance(file, Unreadable) for file in subject.parsed):
        return None  # the row about sources says so
    griffe = need("griffe", extra="plugins", why="reading a plugin's names")
    try:
        return Package(subject.root, manifest.package)
    except (ImportError, RecursionError, griffe.GriffeError):
        return None


def object_rows(subject: Subject, manifest: Manifest, package: Package | None) -> Iterator[Finding]:
    """Ask whether each contribution names something that is there."""
    for provides in manifest.provides:
        label = f"{provides.point}:{provides.name}"
        problem = _problem(subject, provides, package)
        if package is None and any(isinstance(file, Unreadable) for file in subject.parsed):
            yield skipped("static.object", "the sources cannot be parsed", contribution=label)
        elif problem:
            yield failed("static.object", problem, contribution=label)
        else:
            yield passed("static.object", contribution=label)


def _problem(subject: Subject, provides: Provides, package: Package | None) -> str:
    if package is None:
        return "the plugin's package is not there"
    if provides.object is not None:
        if package.find(provides.object) is not None:
            return ""
        return f"nothing in the plugin is called `{provides.object}`"
    folder = subject.package
    named = provides.sources or provides.module or ""
    place = folder / named if folder is not None else None
    if place is None or not (place.is_file() or (provides.sources and place.is_dir())):
        return f"there is no `{named}` in the plugin's package"
    return ""
