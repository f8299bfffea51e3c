"""What a plugin imports against what it declares.

Owns the rows `static.dependencies.*`. Imports are read
from the syntax trees, so those in functions count, and those that only type checkers see do not; an
import that may fail (inside `try`, with ImportError handled) is optional and must not be declared.
What a module is called in another distribution is known where that is installed, and else guessed
by its name. Modules imported by a name that is computed are not seen.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.inspect.distributions import (
    brings,
    closure,
    host_distributions,
    is_standard,
    providers,
)
from openautoglm.plugins.inspect.rows import failed, passed, shown
from openautoglm.plugins.inspect.sources import is_type_checking
from openautoglm.plugins.manifest import normalised
from openautoglm.plugins.peers import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.requirements import Requirement

    from openautoglm.plugins.inspect.sources import Module
    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.report import Finding

MAY_FAIL: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a top module, and where it stands."""

    module: str
    where: str
    is_optional: bool


def imports(module: Module) -> Iterator[Import]:
    """Yield the imports of a file that happen when it is used; relative ones are left out."""
    pending: list[tuple[ast.AST, bool]] = [(module.tree, False)]
    while pending:
        node, is_optional = pending.pop()
        where = f"{module.path}:{getattr(node, 'lineno', 0)}"
        for name in _named(node):
            yield Import(name.partition(".")[0], where, is_optional)
        if isinstance(node, ast.If) and is_type_checking(node.test):
            pending.extend((child, is_optional) for child in node.orelse)
        elif isinstance(node, ast.Try) and _handles_import_error(node):
            pending.extend((child, True) for child in node.body)
            rest = [*node.handlers, *node.orelse, *node.finalbody]
            pending.extend((child, is_optional) for child in rest)
        else:
            pending.extend((child, is_optional) for child in ast.iter_child_nodes(node))


def _named(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(name), level=0):
            return [name]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
            args=[ast.Constant(value=str(name)), *_],
        ) if not name.startswith("."):
            return [name]
    return []


def _handles_import_error(node: ast.Try) -> bool:
    caught = [ast.unparse(h.type) if h.type is not None else "Exception" for h in node.handlers]
    return any(name.strip("() ") in MAY_FAIL for text in caught for name in text.split(","))


def dependency_rows(subject: Subject, manifest: Manifest) -> Iterator[Finding]:
    """Compare what is imported with what is declared."""
    used = [each for module in subject.modules for each in imports(module)]
    requirements = _requirements(manifest)
    own = [normalised(requirement.name) for requirement in requirements]
    declared = [*own, *(normalised(peer) for peer in manifest.peers)]
    tops = {path.parts[0].removesuffix(".py") for path in subject.files}
    foreign = [u for u in used if not is_standard(u.module) and u.module not in {*tops, HOST}]
    yield from _missing(foreign, declared)
    modules = {u.module for u in foreign}
    unused = [d for d in own if not any(brings(d, module) for module in modules)]
    if unused:
        yield failed("static.dependencies.unused", shown(sorted(unused)), status="warn")
    else:
        yield passed("static.dependencies.unused", f"{len(own)} declared")


def _missing(foreign: Sequence[Import], declared: Sequence[str]) -> Iterator[Finding]:
    needed = [u for u in foreign if not u.is_optional]
    undeclared = [u for u in needed if not any(brings(d, u.module) for d in declared)]
    along = closure(declared)
    transitive: dict[str, str] = {}
    missing: dict[str, str] = {}
    for use in reversed(undeclared):
        comes = providers().get(use.module, frozenset()) & along
        (transitive if comes else missing)[use.module] = f"`{use.module}` in {use.where}"
    for row, found in (
        ("static.dependencies.missing", missing),
        ("static.dependencies.transitive", transitive),
    ):
        if found:
            yield failed(row, shown(sorted(found.values())), fix=_declare(min(found)))
        else:
            yield passed(row, f"{len({u.module for u in needed})} modules imported")


def _declare(module: str) -> str:
    names = sorted(providers().get(module, [normalised(module)]))
    if set(names) & host_distributions():
        return f"add `{names[0]}` to `peers`: the host has it"
    return f"add `{names[0]}` to `dependencies`, or import it where it may be missing"


def _requirements(manifest: Manifest) -> list[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in manifest.dependencies:
        try:
            found.append(Requirement(line))
        except InvalidRequirement:
            continue  # the row of the manifest says so
    return found
