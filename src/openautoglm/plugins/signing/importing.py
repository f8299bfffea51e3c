"""Import a plugin from the bytes that were verified, not from whatever its files hold by now.

Owns `VerifiedFinder`. Code, compiled modules and resources come from the wheel in memory; nothing
of the plugin's package is looked for on disk. What it does not guard against: dependencies of the
plugin are other packages, found where Python finds them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import zipfile
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.resources.abc import TraversableResources
from importlib.util import decode_source
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path
    from types import CodeType, ModuleType

    from openautoglm.plugins.signing.package import Package


@contextlib.contextmanager
def verified_imports(package: Package, folder: Path) -> Iterator[None]:
    """Make the plugin's package importable inside the block, from the bytes of `package` alone.

    Modules that were imported stay imported.

    Args:
        package: the wheel, as it was verified.
        folder: where tracebacks say that its files lie; nothing is read there.
    """
    finder = VerifiedFinder(package, folder)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@final
class VerifiedFinder(MetaPathFinder):
    """Finds modules of one package in the wheel in memory."""

    def __init__(self, package: Package, folder: Path) -> None:
        self._package = package
        self._folder = folder
        self._top = package.manifest.package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is in the wheel; None for packages of others.

        Raises:
            ModuleNotFoundError: it would be the plugin's, and is not in the wheel. Nobody else is
                asked: a file that came later must not take its place.
        """
        del path, target
        if fullname != self._top and not fullname.startswith(f"{self._top}."):
            return None
        base = fullname.replace(".", "/")
        files = self._package.files
        for name, is_package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if name in files:
                return self._source(fullname, name, is_package=is_package)
        for suffix in EXTENSION_SUFFIXES:
            if base + suffix in files:
                return self._compiled(fullname, base + suffix)
        raise ModuleNotFoundError(f"no module {fullname!r} in the verified package", name=fullname)

    def _source(self, fullname: str, name: str, *, is_package: bool) -> ModuleSpec:
        loader = _Loader(self._package, self._folder, name)
        origin = str(self._folder / name)
        spec = ModuleSpec(fullname, loader, origin=origin, is_package=is_package)
        spec.has_location = True
        return spec  # its search path stays empty: no other finder looks on disk

    def _compiled(self, fullname: str, name: str) -> ModuleSpec:
        """Return where a compiled module is: in a sealed file in memory.

        The descriptor stays open, as the library stays mapped: the system's loader knows libraries
        by path, and would take the next one under the same number for this one.
        """
        import fcntl

        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.writelines(self._package.chunks(name))
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        path = f"/proc/self/fd/{descriptor}"
        spec = ModuleSpec(fullname, ExtensionFileLoader(fullname, path), origin=path)
        spec.has_location = True
        return spec


class _Loader(InspectLoader):
    """Compiles one module's source, and shows its package's files as resources."""

    def __init__(self, package: Package, folder: Path, name: str) -> None:
        self._package = package
        self._folder = folder
        self._name = name

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self.source_to_code(
            self._package.content(self._name), str(self._folder / self._name)
        )

    def get_source(self, fullname: str) -> str:
        del fullname
        return decode_source(self._package.content(self._name))

    def is_package(self, fullname: str) -> bool:
        del fullname
        return self._name.endswith("/__init__.py")

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        del fullname
        return _Resources(self._package, self._name.rpartition("/")[0])


class _Resources(TraversableResources):
    """The files of a package, out of the wheel in memory."""

    def __init__(self, package: Package, folder: str) -> None:
        self._package = package
        self._folder = folder

    def files(self) -> Traversable:
        archive = zipfile.ZipFile(io.BytesIO(self._package.data))
        return zipfile.Path(archive, f"{self._folder}/")
