"""A plugin's code in this process, under module names of its own.

Owns `PrivateCode`. Two versions of one package are imported side by side, each sees its own
modules, and forgetting one takes all its modules away. Inside, `import acme.words` means this
version's `acme.words`; so it is for the packages that lie beside it. What is not changed:
`importlib.import_module("acme.words")` and names in `importlib.resources`; write `__package__`
instead. It guards against nothing: what is loaded here can hang the host, end it and read all it
knows.
"""

from __future__ import annotations

import builtins
import importlib
import itertools
import linecache
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader, all_suffixes
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.errors import PluginLoadError
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path

ROOT: Final = "openautoglm_plugins"
"""The package that all private modules are in; it has no files."""

_numbers = itertools.count(1)


@final
class PrivateCode:
    """The modules of one version of one plugin.

    Args:
        plugin: its id, for messages and for the owner of what it registers while it is imported.
        folders: where its package lies, and the packages it brought along.
    """

    def __init__(self, plugin: str, folders: Sequence[Path]) -> None:
        number = next(_numbers)
        self.owner = f"{plugin}#{number}"
        self._folders = [str(folder) for folder in folders]
        self._prefix = f"{ROOT}.{re.sub(r'[^a-z0-9]+', '_', plugin.lower())}_{number}"
        self._finder = _Finder(self._prefix, _own_builtins(self._prefix, _tops(folders)))
        root = sys.modules.setdefault(ROOT, ModuleType(ROOT, "Modules of plugins at level L0."))
        root.__path__ = []
        package = ModuleType(self._prefix)
        package.__path__ = self._folders
        sys.modules[self._prefix] = package
        sys.meta_path.insert(0, self._finder)

    def value(self, where: str) -> object:
        """Import what "module:attribute" names.

        Raises:
            PluginLoadError: the import raised, or there is no such attribute.
        """
        module, _, attribute = where.partition(":")
        try:
            with owned_by(self.owner):
                found: object = importlib.import_module(f"{self._prefix}.{module}")
                for name in attribute.split("."):
                    found = getattr(found, name)
        except (Exception, SystemExit) as cause:
            raise PluginLoadError(
                f"`{where}` of plugin {self.owner.partition('#')[0]} cannot be imported",
                got=f"{type(cause).__name__}: {cause}",
                fix="`oag plugin check` shows where it fails",
            ) from cause
        return found

    def forget(self) -> None:
        """Drop its modules; objects that are held go on working. Twice is fine.

        What it registered while it was imported is its owner's to revoke. Modules are circles, so
        their memory goes at Python's next collection; none is forced here, since that stops all
        threads.
        """
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        inside = f"{self._prefix}."
        for name in [n for n in sys.modules if n == self._prefix or n.startswith(inside)]:
            del sys.modules[name]
        for folder in self._folders:
            for path in [p for p in sys.path_importer_cache if _is_inside(p, folder)]:
                del sys.path_importer_cache[path]
            for path in [p for p in linecache.cache if _is_inside(p, folder)]:
                del linecache.cache[path]


@final
class _Finder(MetaPathFinder):
    """Finds the modules below one prefix, and gives them builtins with an import of their own."""

    def __init__(self, prefix: str, own_builtins: Mapping[str, object]) -> None:
        self._inside = f"{prefix}."
        self._builtins = own_builtins

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._inside):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path, self._builtins)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, own_builtins: Mapping[str, object]) -> None:
        super().__init__(fullname, path)
        self._builtins = own_builtins

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._builtins
        super().exec_module(module)


def _own_builtins(prefix: str, tops: frozenset[str]) -> dict[str, object]:
    """Return builtins whose `__import__` finds the plugin's own packages below the prefix."""

    def own_import(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the parameters of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or top not in tops:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{prefix}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{prefix}.{name}")
        return sys.modules[f"{prefix}.{top}"]

    return {**vars(builtins), "__import__": own_import}


def _tops(folders: Sequence[Path]) -> frozenset[str]:
    """Return the packages and modules that can be imported from folders."""
    found = set()
    for entry in itertools.chain.from_iterable(folder.iterdir() for folder in folders):
        if entry.is_dir():
            found.add(entry.name)
        suffix = next((s for s in all_suffixes() if entry.name.endswith(s)), None)
        if suffix is not None:
            found.add(entry.name.removesuffix(suffix))
    return frozenset(name for name in found if name.isidentifier() and name != "__pycache__")


def _is_inside(path: object, folder: str) -> bool:
    text = cast("str", path)
    return text == folder or text.startswith(f"{folder.rstrip('/')}/")
