"""Kernels and kernel libraries as contributions: named, owned, taken back with their owner.

Owns `KERNELS`, the view of the operators' tables that the host registers in. Knows nothing of how a
library is loaded or a kernel chosen.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, final

from openautoglm.errors import (
    NameTakenError,
    NoOwnerError,
    PluginContributionError,
    UnknownNameError,
)
from openautoglm.ops import Kernel, LoadedLibrary, catalog, load_library
from openautoglm.ops.kernel import check_python_kernel
from openautoglm.registry import Entry, current_owner, suggest

if TYPE_CHECKING:
    from openautoglm.plugins.points import Contribution

Loaded: TypeAlias = Kernel | LoadedLibrary


@final
class KernelEntries:
    """The kernels that plugins brought, with the verbs of a `Registry`; those of the core are not.

    A kernel is registered under its contribution's name, which `prefer` and `explain` use.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry[Loaded]] = {}
        self._lock = threading.RLock()

    def add(self, name: str, value: Kernel | Path) -> None:
        """Add a kernel to its operator, or load a library: a file, or a folder of sources.

        Raises:
            NoOwnerError: outside any `owned_by`.
            NameTakenError: a kernel or library of this name is there.
            UnknownNameError: there is no such operator.
            LibraryRefusedError: a library would do harm, or cannot run here.
            BuildFailedError: sources do not compile.
            OperatorDefinitionError: it is no kernel of its operator.
        """
        owner = current_owner()
        if owner is None:
            raise NoOwnerError(
                f"kernel `{name}` was added without an owner",
                fix='add it inside `with owned_by("plugin-id"):`',
            )
        with self._lock:
            if name in self._entries:
                raise NameTakenError(
                    f"kernel `{name}` is taken",
                    got=f"{owner} adds what {self._entries[name].owner} added before",
                    fix="choose another name, or revoke the other owner first",
                )
            self._entries[name] = Entry(name=name, value=_registered(name, value), owner=owner)

    def names(self) -> tuple[str, ...]:
        """Return the names of all kernels and libraries that plugins brought, sorted."""
        return tuple(sorted(self._entries))

    def get(self, name: str) -> Loaded:
        """Return a kernel or a library; errors as `entry`."""
        return self.entry(name).value

    def entry(self, name: str) -> Entry[Loaded]:
        """Return an entry with its owner.

        Raises:
            UnknownNameError: there is none of that name.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(
                f"no plugin brought a kernel `{name}`",
                got=f"known: {', '.join(self.names()) or 'none'}",
                fix=suggest(name, self.names()) or "check the name",
            ) from None

    def remove(self, name: str) -> Loaded:
        """Take a kernel or a library away and return it; errors as `entry`."""
        with self._lock:
            entry = self.entry(name)
            del self._entries[name]
            _withdraw(entry.value)
            return entry.value

    def revoke(self, owner: str) -> tuple[str, ...]:
        """Take away all that an owner added; return the names."""
        with self._lock:
            gone = tuple(sorted(n for n, e in self._entries.items() if e.owner == owner))
            for name in gone:
                self.remove(name)
            return gone


KERNELS: Final = KernelEntries()
"""The kernels and libraries of plugins, as a registry."""


def adopt_kernel(value: object, contribution: Contribution) -> Kernel | Path:
    """Return a kernel, or the path of a library or of its sources, under the contribution's name.

    Raises:
        PluginContributionError: the value is neither, or is no kernel for its operator.
    """
    if isinstance(value, Path):
        return value
    if not isinstance(value, Kernel):
        raise PluginContributionError(
            f"kernel `{contribution.name}` is an `ops.Kernel`, or a folder of sources",
            got=repr(value)[:200],
            fix='write KERNEL = Kernel(name="fast", op="add", function=fast_add, device="cpu")',
        )
    return replace(value, name=contribution.name)


def _registered(name: str, value: Kernel | Path) -> Loaded:
    if isinstance(value, Path):
        return load_library(value, name=name)
    kernel = replace(value, name=name)
    operator = catalog.get(kernel.op)
    check_python_kernel(kernel, operator.opdef)
    operator.table.add(kernel)
    return kernel


def _withdraw(value: Loaded) -> None:
    if isinstance(value, LoadedLibrary):
        value.unload()
        return
    with suppress(UnknownNameError):  # the operator went before its kernel
        table = catalog.get(value.op).table
        if value in table.kernels:
            table.remove(value.name)
