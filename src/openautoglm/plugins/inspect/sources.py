"""The Python files of a plugin, parsed; nothing of them is run.

Owns `Module`, the reading of files and what a name in one stands for. Knows nothing of what is
looked for in them.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - the example in a docstring needs it
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_BYTES: Final = 4 * 2**20
"""A longer Python file is no source that anybody wrote or reads."""

MAX_DEPTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Python file.

    Attributes:
        name: dotted, as it is imported.
        path: where it lies, below the plugin's root.
        tree: what was parsed.
        names: what the names in it that imports bind stand for, e.g. `np` for `numpy`.
    """

    name: str
    path: Path
    tree: ast.Module
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A Python file that cannot be parsed, and why."""

    path: Path
    why: str


def read_modules(root: Path, files: tuple[Path, ...]) -> tuple[Module | Unreadable, ...]:
    """Parse the Python files among `files`, which are relative to `root`, in their order."""
    return tuple(_read(root, file) for file in files if file.suffix == ".py")


def _read(root: Path, file: Path) -> Module | Unreadable:
    try:
        if (root / file).stat().st_size > MAX_BYTES:
            return Unreadable(file, f"longer than {MAX_BYTES} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # escapes in strings and the like
            tree = ast.parse((root / file).read_bytes(), filename=str(file))
        if _depth(tree) > MAX_DEPTH:
            return Unreadable(file, f"nested more than {MAX_DEPTH} deep")
    except SyntaxError as error:
        return Unreadable(file, f"line {error.lineno}: {error.msg}")
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return Unreadable(file, f"{type(error).__name__}: {error}"[:200])
    name = module_name(file)
    return Module(name=name, path=file, tree=tree, names=_bound_names(tree, name, file))


def _depth(tree: ast.AST) -> int:
    """Return how deep a tree is; whoever walks one below `MAX_DEPTH` may recurse."""
    depth, level = 0, [tree]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def module_name(file: Path) -> str:
    """Return the dotted name that a file is imported by.

    Example:
        >>> module_name(Path("acme/text/__init__.py"))
        'acme.text'
    """
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _bound_names(tree: ast.Module, module: str, file: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, module, is_package=file.name == "__init__.py")
            for alias in node.names:
                names[alias.asname or alias.name] = f"{origin}.{alias.name}"
    return names


def absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """Return the dotted name a `from ... import` imports from, relative dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def dotted(node: ast.AST, names: Mapping[str, str]) -> str:
    """Return what an expression names, e.g. `pathlib.Path().write_text`; empty where nothing.

    Example:
        >>> dotted(ast.parse("P('x').open", mode="eval").body, {"P": "pathlib.Path"})
        'pathlib.Path().open'
    """
    match node:
        case ast.Name(id=name):
            return names.get(name, name)
        case ast.Attribute(value=value, attr=attribute):
            origin = dotted(value, names)
            return f"{origin}.{attribute}" if origin else ""
        case ast.Call(func=function):
            called = dotted(function, names)
            return f"{called}()" if called else ""
        case ast.Subscript(value=value):
            origin = dotted(value, names)
            return f"{origin}[]" if origin else ""
        case ast.Await(value=value) | ast.BinOp(left=value):
            return dotted(value, names)
        case _:
            return ""


def is_type_checking(test: ast.expr) -> bool:
    """Whether an `if` is the one whose body only type checkers read."""
    return dotted(test, {}) in {"TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING"}


def is_main_guard(test: ast.expr) -> bool:
    """Whether an `if` is the one whose body runs when the file is a program."""
    if not isinstance(test, ast.Compare):
        return False
    sides = [test.left, *test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that type checkers are not the only readers of."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and is_type_checking(node.test):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))
