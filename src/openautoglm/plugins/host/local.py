"""L0: a plugin's code in the host's own process.

Owns `LocalCode`, which imports a plugin and forgets it again, and `LocalObject`, its contributions
with the calls of a `RemoteObject`. Guards against nothing: what is loaded here can hang the host,
end it and read all it knows. Only code that is trusted belongs here.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, final

from openautoglm.errors import PluginLoadError
from openautoglm.plugins.points import STATE_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.plugins.manifest import Manifest, Provides


def content(manifest: Manifest, path: Sequence[Path], provides: Provides) -> Path:
    """Return the file or folder in the package that a contribution without code names."""
    inside = provides.sources or provides.module or ""
    for folder in path:
        found = folder / manifest.package / inside
        if found.exists():
            return found
    raise PluginLoadError(
        f"{manifest.id} {manifest.version} lacks `{inside}`",
        got=f"not in `{manifest.package}` of {', '.join(map(str, path))}",
        fix="pack it anew",
    )


@final
class LocalCode:
    """A plugin's package, imported. One version of a package is imported at a time."""

    def __init__(self, manifest: Manifest, path: Sequence[Path]) -> None:
        self._manifest = manifest
        self._path = [str(folder) for folder in path]
        self._refuse_other()
        sys.path[:0] = self._path
        importlib.invalidate_caches()

    def value(self, where: str) -> object:
        """Import what "module:attr" names.

        Raises:
            PluginLoadError: the import raised.
        """
        module, _, attribute = where.partition(":")
        try:
            found: object = importlib.import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
        except Exception as cause:
            self.forget()
            raise PluginLoadError(
                f"{self._manifest.id} {self._manifest.version}: `{where}` cannot be imported",
                got=f"{type(cause).__name__}: {cause}",
                fix="see the error above; `oag plugin check` tells more",
            ) from cause
        return found

    def forget(self) -> None:
        """Take its modules out of the process's list: objects that live on keep their code."""
        package = self._manifest.package
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            del sys.modules[name]
        for folder in self._path:
            if folder in sys.path:
                sys.path.remove(folder)

    def _refuse_other(self) -> None:
        package = self._manifest.package
        if package not in sys.modules:
            return
        file = getattr(sys.modules[package], "__file__", None)
        raise PluginLoadError(
            f"another version of `{package}` is in this process",
            got=str(file and Path(file).parent),
            fix="stop it first, or run one of the two in a worker (L1 or L2)",
        )


@final
class LocalObject:
    """A servant in this process: calls are plain calls, and a time-out is not offered."""

    def __init__(self, contribution: object, servant: object) -> None:
        self._contribution = contribution
        self._servant = servant

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method; what it raises comes as it is."""
        del timeout_s
        return self._method(method)(*args, **kwargs)

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what a method yields."""
        del timeout_s
        values: Iterator[object] = iter(self._method(method)(*args, **kwargs))  # type: ignore[call-overload] # a plugin's iterable
        return values

    def _method(self, name: str) -> Callable[..., object]:
        of = self._contribution if name in STATE_METHODS else self._servant
        found: Callable[..., object] = getattr(of, name)
        return found
