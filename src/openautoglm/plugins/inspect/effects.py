"""What importing a plugin would do beside defining things, read from its syntax trees.

Owns the list of such effects and how grave each is. Follows calls of functions and classes of the
same file; what another file's function does when it is called is not seen, nor what is hidden on
purpose: the trial looks at what really happens.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openautoglm.plugins.inspect.effect_rules import CALLS, OPENS, STORES, WRITING, Gravity
from openautoglm.plugins.inspect.sources import dotted, is_main_guard, is_type_checking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.inspect.sources import Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing that happens while a file is imported.

    Attributes:
        kind: what it does, as the predicate of a sentence.
        gravity: `fail` where it reaches beyond the plugin, `warn` where it is only bad manners.
        where: file and line.
        code: the call or the assignment.
    """

    kind: str
    gravity: Gravity
    where: str
    code: str


def effects(module: Module) -> tuple[Effect, ...]:
    """Return what importing a file would do, in the order of its lines."""
    walk = _Walk(module)
    found = list(walk.block(module.tree.body))
    return tuple(sorted(found, key=lambda effect: int(effect.where.rpartition(":")[2])))


class _Walk:
    """One walk over what runs at import; remembers what local names hold and was followed."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.names: dict[str, str] = dict(module.names)
        self.local = {
            node.name: node
            for node in module.tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        self.followed: set[str] = set()

    def block(self, body: list[ast.stmt]) -> Iterator[Effect]:
        for statement in body:
            yield from self.statement(statement)

    def statement(self, node: ast.stmt) -> Iterator[Effect]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self._definition(node)
            case ast.ClassDef():
                yield from self._expressions([*node.decorator_list, *node.bases])
                yield from self.block(node.body)
            case ast.If(test=test) if is_type_checking(test) or is_main_guard(test):
                yield from self.block(node.orelse)
            case ast.Import() | ast.ImportFrom():
                return
            case _:
                yield from self._compound(node)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Effect]:
        defaults = [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
        yield from self._expressions([*node.decorator_list, *defaults])
        for decorator in node.decorator_list:  # it is called as well, with what it decorates
            yield from self._called(dotted(decorator, self.names), decorator)

    def _compound(self, node: ast.stmt) -> Iterator[Effect]:
        """Look at a statement's own expressions, then at the blocks inside it."""
        own = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        items = [c.context_expr for c in ast.iter_child_nodes(node) if isinstance(c, ast.withitem)]
        yield from self._expressions([*own, *items])
        yield from self._stores(node)
        for field in ("body", "orelse", "finalbody"):
            yield from self.block(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from self.block(handler.body)
        for case in getattr(node, "cases", []):
            yield from self.block(case.body)

    def _expressions(self, nodes: list[ast.expr]) -> Iterator[Effect]:
        for node in nodes:
            for inner in _evaluated(node):
                if isinstance(inner, ast.Call):
                    yield from self._call(inner)

    def _call(self, node: ast.Call) -> Iterator[Effect]:
        name = dotted(node.func, self.names)
        if name in OPENS or name.endswith(").open"):
            yield self._open(node, name)
            return
        yield from self._called(name, node)

    def _called(self, name: str, node: ast.expr) -> Iterator[Effect]:
        for kind, gravity, pattern in CALLS:
            if pattern.match(name):
                yield self._effect(kind, gravity, node, f"{name}(…)")
                return
        yield from self._follow(name)

    def _open(self, node: ast.Call, name: str) -> Effect:
        modes = node.args[0:1] if name.endswith(").open") else node.args[1:2]
        modes = [*modes, *(k.value for k in node.keywords if k.arg in {"mode", "flags"})]
        if any(WRITING.search(ast.unparse(mode)) for mode in modes):
            return self._effect("changes files", "fail", node, f"{name}(…)")
        return self._effect("reads a file", "warn", node, f"{name}(…)")

    def _follow(self, name: str) -> Iterator[Effect]:
        """Look into a function or a class's `__init__` of this file that runs at import."""
        found = self.local.get(name.removesuffix("()"))
        if found is None or found.name in self.followed:
            return
        self.followed.add(found.name)
        if isinstance(found, ast.FunctionDef):
            if not any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(found)):
                yield from self.block(found.body)
            return
        for method in found.body:
            if isinstance(method, ast.FunctionDef) and method.name in {"__init__", "__new__"}:
                yield from self.block(method.body)

    def _stores(self, node: ast.stmt) -> Iterator[Effect]:
        targets: list[ast.expr] = []
        match node:
            case ast.Assign(targets=several, value=value):
                targets = several
                self._remember(several, value)
            case ast.AugAssign(target=one) | ast.AnnAssign(target=one):
                targets = [one]
            case ast.Delete(targets=several):
                targets = several
            case _:
                pass
        for target in targets:
            name = dotted(target, self.names)
            if isinstance(target, ast.Attribute | ast.Subscript) and name:
                yield from self._store(target, name)

    def _store(self, target: ast.expr, name: str) -> Iterator[Effect]:
        for kind, pattern in STORES:
            if pattern.match(name):
                yield self._effect(kind, "fail", target, f"{name} = …")
                return
        owner = self.names.get(_first_name(target), "")
        own = self.module.name.partition(".")[0]
        is_import = owner in self.module.names.values()
        if isinstance(target, ast.Attribute) and is_import and owner.partition(".")[0] != own:
            yield self._effect("changes another package", "fail", target, f"{name} = …")

    def _remember(self, targets: list[ast.expr], value: ast.expr) -> None:
        """Keep what a name was given, so that `t = Thread(...)`, `t.start()` is understood."""
        made = dotted(value, self.names)
        for target in targets:
            if isinstance(target, ast.Name) and made:
                self.names[target.id] = made

    def _effect(self, kind: str, gravity: Gravity, node: ast.expr, code: str) -> Effect:
        where = f"{self.module.path}:{node.lineno}"
        return Effect(kind=kind, gravity=gravity, where=where, code=code)


def _first_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _evaluated(node: ast.expr) -> Iterator[ast.AST]:
    """Yield the parts of an expression that run with it: bodies of lambdas do not."""
    pending: list[ast.AST] = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, ast.Lambda | ast.GeneratorExp):
            continue
        yield part
        pending.extend(ast.iter_child_nodes(part))
