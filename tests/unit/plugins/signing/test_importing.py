"""What is imported is what was verified, whatever happened to the files since."""

from __future__ import annotations

import importlib
import importlib.resources
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.plugins.signing import ContentStore, Keyring, verify
from openautoglm.plugins.signing.importing import verified_imports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.plugins.signing import StoredContent

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(self, *, files: Mapping[str, bytes]) -> Path: ...


def compiled_module() -> Path:
    """Return a compiled module of the standard library that has one phase and no state."""
    return Path(str(importlib.import_module("_heapq").__file__))


@pytest.fixture
def stored(wheel: WheelMaker, keyring: Keyring, tmp_path: Path) -> Iterator[StoredContent]:
    files = {
        "acme_upper/table.txt": "表".encode(),
        "acme_upper/deep/__init__.py": b"from acme_upper.step import Upper\nVALUE = 3\n",
        f"acme_upper/_heapq{SUFFIX}": compiled_module().read_bytes(),
    }
    yield ContentStore(tmp_path / "store").put(verify(wheel(files=files), keyring))
    for name in [n for n in sys.modules if n.partition(".")[0] == "acme_upper"]:
        del sys.modules[name]


def overwrite(path: Path, text: bytes) -> None:
    for each in (path.parent, path):
        each.chmod(0o755)
    path.write_bytes(text)


def test_modules_and_resources_come_from_the_verified_bytes(stored: StoredContent) -> None:
    overwrite(stored.folder / "acme_upper/step.py", b"raise SystemExit('evil')")
    overwrite(stored.folder / "acme_upper/table.txt", b"evil")
    overwrite(stored.folder / "acme_upper/deep/__init__.py", b"raise SystemExit('evil')")
    with verified_imports(stored):
        deep = importlib.import_module("acme_upper.deep")
        table = importlib.resources.files("acme_upper").joinpath("table.txt")
        assert table.read_text(encoding="utf-8") == "表"
    assert deep.VALUE == 3
    assert deep.Upper.__module__ == "acme_upper.step"
    assert deep.__file__ == str(stored.folder / "acme_upper/deep/__init__.py")


def test_a_file_that_came_later_is_not_found(stored: StoredContent) -> None:
    (stored.folder / "acme_upper").chmod(0o755)
    (stored.folder / "acme_upper/late.py").write_bytes(b"raise SystemExit('evil')")
    with (
        verified_imports(stored),
        pytest.raises(ModuleNotFoundError, match="in the verified package"),
    ):
        importlib.import_module("acme_upper.late")


def test_compiled_modules_are_loaded_from_sealed_memory(stored: StoredContent) -> None:
    with verified_imports(stored):
        module = importlib.import_module("acme_upper._heapq")
    heap = [3, 1, 2]
    module.heapify(heap)
    assert heap[0] == 1
    assert str(module.__file__).startswith("/proc/self/fd/")
    with pytest.raises(PermissionError), Path(str(module.__file__)).open("r+b") as file:
        file.write(b"evil")


def test_other_packages_are_none_of_its_business(stored: StoredContent) -> None:
    with verified_imports(stored):
        assert importlib.import_module("json").__name__ == "json"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("acme_upper")
