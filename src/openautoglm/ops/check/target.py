"""What is checked: an operator, a name, a Python file, a folder, a library.

Owns the loading of what a path names, and takes all of it back afterwards.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from openautoglm.errors import CheckFailedError, UnknownNameError
from openautoglm.ops import catalog
from openautoglm.ops.registered import RegisteredOperator
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.ops.kernel import Kernel

SOURCES: Final = frozenset({".c", ".cc", ".cpp", ".cu"})


class Loaded(Protocol):
    """A library that serves calls until it is unloaded."""

    def unload(self) -> None:
        """Take it away."""
        ...


Loader: TypeAlias = Callable[[Path], Loaded]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One operator and those of its kernels that are checked."""

    operator: RegisteredOperator
    kernels: tuple[Kernel, ...]


@contextmanager
def targets(given: RegisteredOperator | str | Path, load: Loader) -> Iterator[tuple[Target, ...]]:
    """Return what is to be checked; what a path brought in is gone after the block.

    Raises:
        UnknownNameError: neither an operator of that name nor such a file.
        CheckFailedError: a path brings in no operator and no kernel.
    """
    if isinstance(given, RegisteredOperator):
        yield (Target(operator=given, kernels=given.table.kernels),)
    elif isinstance(given, str) and given in catalog.names():
        yield (_whole(catalog.get(given)),)
    elif Path(given).exists():
        with _loaded(Path(given).resolve(), load) as found:
            yield found
    else:
        raise UnknownNameError(
            f"`{given}` is no operator, and no file or folder",
            got=f"operators: {', '.join(catalog.names())}",
            fix="name one of these, or a .py file, a folder of sources or a library",
        )


def _whole(operator: RegisteredOperator) -> Target:
    return Target(operator=operator, kernels=operator.table.kernels)


@contextmanager
def _loaded(path: Path, load: Loader) -> Iterator[tuple[Target, ...]]:
    owner = f"check:{path}"
    before = {name: catalog.get(name).table.kernels for name in catalog.names()}
    libraries: list[Loaded] = []
    try:
        with owned_by(owner):
            for file in _python_files(path):
                _run(file)
            if path.suffix != ".py" and _has_sources(path):
                libraries.append(load(path))
        found = _new(before)
        if not found:
            raise CheckFailedError(
                "there is nothing to check", got=str(path), fix="define an operator or a kernel"
            )
        yield found
    finally:
        for library in libraries:
            library.unload()
        catalog.OPERATORS.revoke(owner)


def _new(before: dict[str, tuple[Kernel, ...]]) -> tuple[Target, ...]:
    found = []
    for name in catalog.names():
        operator = catalog.get(name)
        known = before.get(name)
        if known is None:
            found.append(_whole(operator))
            continue
        added = tuple(k for k in operator.table.kernels if k not in known)
        if added:
            found.append(Target(operator=operator, kernels=added))
    return tuple(found)


def _python_files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        return sorted(path.glob("*.py"))
    return [path] if path.suffix == ".py" else []


def _has_sources(path: Path) -> bool:
    return path.is_file() or any(child.suffix in SOURCES for child in path.iterdir())


def _run(file: Path) -> None:
    name = f"openautoglm_checked_{file.stem}_{abs(hash(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:  # no .py file, which no caller passes
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
