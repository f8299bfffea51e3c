"""Kernel libraries among the operators: loaded, swapped for another build, rolled back, unloaded.

Owns `LoadedLibrary`. How a library is examined and mapped is `native`'s; which kernel serves a call
is the table's.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from openautoglm.errors import (
    LibraryRefusedError,
    NameTakenError,
    OperatorDefinitionError,
    UnknownNameError,
)
from openautoglm.native.library import KernelLibrary
from openautoglm.ops import catalog
from openautoglm.ops.kernel import ANYWHERE, Capability, Kernel, check_kernel
from openautoglm.ops.stated import connect_gradient, contracts_of
from openautoglm.registry import current_owner, owned_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.native.manifest import KernelRow
    from openautoglm.ops.opdef import OpDef
    from openautoglm.ops.registered import RegisteredOperator
    from openautoglm.ops.table import KernelTable

_naming = threading.RLock()
"""Held while a library takes its name; never while the built-in operators are being added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapReport:
    """What a swap changed.

    Attributes:
        kind: `body` where every contract is the same: calls and compiled graphs go on with the new
            kernels. `contract` where an operator changed, came or went: new calls see what there
            is now, graphs that were compiled keep the old version.
        generation: how often this library was loaded, swapped or rolled back.
        operators: those that changed, came or went, sorted.
    """

    kind: Literal["body", "contract"]
    generation: int
    operators: tuple[str, ...] = ()


@final
class LoadedLibrary:
    """A kernel library whose kernels serve calls.

    Example:
        library = ops.load_library(Path("fast_add.so"))
        library.swap(Path("fast_add-1.1.so"))
        library.rollback()
        library.unload()
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._lock = threading.RLock()
        self._held: list[KernelLibrary] = []
        self._defined: dict[str, OpDef] = {}
        self._aside: dict[str, tuple[OpDef, RegisteredOperator]] = {}
        self._tables: list[KernelTable] = []
        self._generation = 0
        self._owner = current_owner() or f"library:{name}"
        library = KernelLibrary.open(path)
        catalog.names()  # the built-in operators come before the lock, not inside it
        with _naming:
            _check_name(name)
            self._put(library)

    @property
    def path(self) -> Path:
        """The copy that is loaded.

        Raises:
            LibraryRefusedError: the library was unloaded.
        """
        return self._current().path

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators it defined, sorted; kernels for others come on top."""
        return tuple(sorted(self._defined))

    def swap(self, path: Path | str) -> SwapReport:
        """Put another build in the place of this one, while calls run.

        The new library is examined and tried first; where it is refused, nothing has changed. An
        operator it does not have is taken away, and comes back with `rollback`.

        Args:
            path: a library, or a folder of sources, which is built.

        Raises:
            LibraryRefusedError: the new library is refused, or this one was unloaded.
            OperatorDefinitionError: its manifest contradicts itself.
            BuildFailedError: a folder of sources does not compile.
        """
        with self._lock:
            self._current()
            return self._put(KernelLibrary.open(_located(path)[0]))

    def rollback(self) -> SwapReport:
        """Bring back the build before the last swap; it stayed in memory for this.

        Raises:
            LibraryRefusedError: there was no swap.
        """
        with self._lock:
            self._current()
            if len(self._held) == 1:
                raise LibraryRefusedError(
                    f"library `{self.name}` was not swapped", fix="nothing has to be rolled back"
                )
            report = self._put(self._held[0])
            self._held = self._held[-1:]
            return report

    def unload(self) -> None:
        """Take its kernels and operators away.

        Its memory goes when calls in flight have ended and nobody holds a function of it. Operators
        of it that are held, and graphs that call them, say from now on that it was unloaded.
        """
        with self._lock:
            self._take_back(keep=())
            for table in self._tables:  # of earlier versions and of operators removed before, too
                table.replace(self.name, ())
            self._tables.clear()
            self._aside.clear()
            self._held.clear()

    def _current(self) -> KernelLibrary:
        if not self._held:
            raise LibraryRefusedError(f"library `{self.name}` was unloaded", fix="load it again")
        return self._held[-1]

    def _put(self, library: KernelLibrary) -> SwapReport:
        stated = contracts_of(library.operators)
        kernels = self._kernels(library, stated)  # all checks come before the first change
        before = dict(self._defined)
        with ExitStack() as undo:  # what was changed goes back where a later step fails
            undo.callback(setattr, self, "_defined", before)
            with owned_by(self._owner):
                changed = self._define(stated, undo)
            for name, made in kernels.items():
                self._serve(catalog.get(name).table, made, undo)
            undo.pop_all()
        self._take_back(keep=tuple(kernels), known=tuple(stated))
        self._held = [*self._held[-1:], library]
        self._generation += 1
        changed |= before.keys() ^ self._defined.keys()
        kind: Literal["body", "contract"] = "contract" if changed else "body"
        return SwapReport(kind=kind, generation=self._generation, operators=tuple(sorted(changed)))

    def _define(self, stated: Mapping[str, OpDef], undo: ExitStack) -> set[str]:
        """Bring the operators in; return those there were before, under another contract."""
        changed = set()
        for name, opdef in stated.items():
            if self._is_foreign(name):
                continue
            if name not in catalog.names():
                self._bring(opdef)
                undo.callback(catalog.remove, name)
            elif self._defined[name].contract_hash != opdef.contract_hash:
                catalog.replace(opdef)
                undo.callback(catalog.rollback, name)
                changed.add(name)
            self._defined[name] = opdef
        for name in stated.keys() & self._defined.keys():
            connect_gradient(catalog.get(name))
        return changed

    def _bring(self, opdef: OpDef) -> None:
        """Register an operator: the one that a swap took away where it is the same."""
        known = self._aside.get(opdef.name)
        if known is not None and known[0].contract_hash == opdef.contract_hash:
            catalog.OPERATORS.add(opdef.name, known[1])
        else:
            catalog.add(opdef)

    def _serve(self, table: KernelTable, made: tuple[Kernel, ...], undo: ExitStack) -> None:
        before = tuple(kernel for kernel in table.kernels if kernel.library == self.name)
        undo.callback(table.replace, self.name, before)
        table.replace(self.name, made)
        if table not in self._tables:
            self._tables.append(table)

    def _is_foreign(self, name: str) -> bool:
        """Whether the operator of this name came from elsewhere."""
        return name not in self._defined and name in catalog.names()

    def _kernels(
        self, library: KernelLibrary, stated: Mapping[str, OpDef]
    ) -> dict[str, tuple[Kernel, ...]]:
        """Return the kernels by operator, or refuse what does not go with the operators."""
        made: dict[str, list[Kernel]] = defaultdict(list)
        for name, opdef in stated.items():
            if self._is_foreign(name):
                _check_same(name, opdef, self.name)
        for row in library.kernels:
            if row.op not in stated and row.op not in catalog.names():
                raise OperatorDefinitionError(
                    f"library `{self.name}` has a kernel for `{row.op}`, which is no operator",
                    got=row.symbol,
                    fix=f'state it: REGISTER_OPERATOR({row.op}, "{row.op}(Tensor x) -> Tensor")',
                )
            name = self._kernel_name(row, made[row.op])
            made[row.op].append(_kernel(row, library, name, self._generation + 1, self.name))
        for name, kernels in made.items():
            self._check(name, kernels, stated)
        return {name: tuple(kernels) for name, kernels in made.items()}

    def _check(self, name: str, kernels: Sequence[Kernel], stated: Mapping[str, OpDef]) -> None:
        is_known = name in catalog.names()
        table = catalog.get(name).table if is_known else None
        opdef = table.opdef if table and name not in stated else stated[name]
        for kernel in kernels:
            check_kernel(kernel, opdef)
        if table is not None:
            table.check_names(self.name, kernels)

    def _kernel_name(self, row: KernelRow, others: Sequence[Kernel]) -> str:
        device = "cuda" if row.device == "cuda" else ""
        name = ".".join(part for part in (self.name, device, row.isa) if part)
        taken = {kernel.name for kernel in others}
        count = 2
        unique = name
        while unique in taken:
            unique, count = f"{name}.{count}", count + 1
        return unique

    def _take_back(self, *, keep: tuple[str, ...], known: tuple[str, ...] = ()) -> None:
        for name in catalog.names():
            table = catalog.get(name).table
            if name not in keep and any(k.library == self.name for k in table.kernels):
                table.replace(self.name, ())
        for name in [name for name in self._defined if name not in known]:
            opdef = self._defined.pop(name)
            with suppress(UnknownNameError):  # its owner took it away before
                self._aside[name] = opdef, catalog.get(name)
                catalog.remove(name)


def load_library(path: Path | str, *, name: str | None = None) -> LoadedLibrary:
    """Load a kernel library: its operators are registered, its kernels serve calls at once.

    Args:
        path: a library, or a folder of sources, which is built.
        name: what `prefer` and `explain` call it; the file's name where none is given.

    Raises:
        LibraryRefusedError: it would do harm or cannot run here; nothing was loaded.
        OperatorDefinitionError: its manifest contradicts itself or an operator there is.
        BuildFailedError: a folder of sources does not compile.
        NameTakenError: a library of this name is loaded.
    """
    given: object = name
    if given is not None and not isinstance(given, str):
        raise LibraryRefusedError(
            "the name of a kernel library is a text", got=repr(given), fix="leave it out, or a text"
        )
    found, called = _located(path)
    return LoadedLibrary(found, name or called)


def _located(given: object) -> tuple[Path, str]:
    """Return the library at a path, built where it is a folder of sources, and its name."""
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise LibraryRefusedError(
            "a kernel library is given by its path",
            got=repr(given),
            fix="pass a str or a Path: of a library, or of a folder of sources",
        )
    path = Path(text)
    try:
        is_folder = path.is_dir()
    except OSError:  # opening it will say why
        is_folder = False
    if not is_folder:
        return path, path.stem
    from openautoglm.native.toolchain import build_folder

    return build_folder(path).path, path.resolve().name


def _check_name(library: str) -> None:
    for name in catalog.names():
        with suppress(UnknownNameError):  # removed since
            if any(kernel.library == library for kernel in catalog.get(name).table.kernels):
                raise NameTakenError(
                    f"a kernel library `{library}` is loaded already",
                    got=f"it serves `{name}`",
                    fix="use `swap` of the one that is loaded, or give another `name=`",
                )


def _check_same(name: str, opdef: OpDef, library: str) -> None:
    known = catalog.get(name).opdef
    if known.schema() != opdef.schema():
        raise NameTakenError(
            f"library `{library}` states another `{name}` than the one there is",
            got=f"{opdef.declaration()}; there is {known.declaration()}",
            fix="rename the operator, or state the same schema",
        )


def _kernel(
    row: KernelRow, library: KernelLibrary, name: str, generation: int, owner: str
) -> Kernel:
    return Kernel(
        name=name,
        op=row.op,
        function=library.function(row.symbol),
        device=row.device,
        dtypes=row.dtypes or None,
        language=row.language,
        priority=row.priority,
        capability=_capability(row.isa),
        contiguous=row.is_contiguous,
        library=owner,
        generation=generation,
    )


def _capability(isa: str) -> Capability:
    if not isa:
        return ANYWHERE
    if isa.startswith("sm_"):
        digits = isa.removeprefix("sm_")
        return Capability(min=(int(digits[:-1]), int(digits[-1])))
    return Capability(isa=isa)
