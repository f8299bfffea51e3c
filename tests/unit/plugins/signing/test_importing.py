"""What is imported is what was verified, whatever happened to the files since."""

from __future__ import annotations

import importlib
import importlib.resources
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.plugins.signing import Package
from openautoglm.plugins.signing.importing import verified_imports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(self, *, files: Mapping[str, bytes]) -> Path: ...


def compiled_module() -> Path:
    """Return a compiled module of the standard library that has one phase and no state."""
    return Path(str(importlib.import_module("_heapq").__file__))


@dataclass(frozen=True)
class Verified:
    """A wheel, and where its files lie."""

    package: Package
    folder: Path


@pytest.fixture
def stored(wheel: WheelMaker, tmp_path: Path) -> Iterator[Verified]:
    files = {
        "acme_upper/table.txt": "表".encode(),
        "acme_upper/deep/__init__.py": b"from acme_upper.step import Upper\nVALUE = 3\n",
        f"acme_upper/_heapq{SUFFIX}": compiled_module().read_bytes(),
    }
    path, folder = wheel(files=files), tmp_path / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    yield Verified(Package.read(path), folder)
    for name in [n for n in sys.modules if n.partition(".")[0] == "acme_upper"]:
        del sys.modules[name]


def overwrite(path: Path, text: bytes) -> None:
    for each in (path.parent, path):
        each.chmod(0o755)
    path.write_bytes(text)


def test_modules_and_resources_come_from_the_verified_bytes(stored: Verified) -> None:
    overwrite(stored.folder / "acme_upper/step.py", b"raise SystemExit('evil')")
    overwrite(stored.folder / "acme_upper/table.txt", b"evil")
    overwrite(stored.folder / "acme_upper/deep/__init__.py", b"raise SystemExit('evil')")
    with verified_imports(stored.package, stored.folder):
        deep = importlib.import_module("acme_upper.deep")
        table = importlib.resources.files("acme_upper").joinpath("table.txt")
        assert table.read_text(encoding="utf-8") == "表"
    assert deep.VALUE == 3
    assert deep.Upper.__module__ == "acme_upper.step"
    assert deep.__file__ == str(stored.folder / "acme_upper/deep/__init__.py")


def test_a_file_that_came_later_is_not_found(stored: Verified) -> None:
    (stored.folder / "acme_upper").chmod(0o755)
    (stored.folder / "acme_upper/late.py").write_bytes(b"raise SystemExit('evil')")
    with (
        verified_imports(stored.package, stored.folder),
        pytest.raises(ModuleNotFoundError, match="in the verified package"),
    ):
        importlib.import_module("acme_upper.late")


def test_compiled_modules_are_loaded_from_sealed_memory(stored: Verified) -> None:
    with verified_imports(stored.package, stored.folder):
        module = importlib.import_module("acme_upper._heapq")
    heap = [3, 1, 2]
    module.heapify(heap)
    assert heap[0] == 1
    assert str(module.__file__).startswith("/proc/self/fd/")
    with pytest.raises(PermissionError), Path(str(module.__file__)).open("r+b") as file:
        file.write(b"evil")


def test_other_packages_are_none_of_its_business(stored: Verified) -> None:
    with verified_imports(stored.package, stored.folder):
        assert importlib.import_module("json").__name__ == "json"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("acme_upper")
