"""Traps, killed processes, full disks, other writers: the store stays whole, and says so."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import (
    ContentStoreError,
    OpenAutoGLMError,
    PluginConflictError,
    PluginNotFoundError,
    PluginPackageError,
    PluginPeerError,
    PluginStoreError,
)
from openautoglm.plugins.inventory import environment, state
from openautoglm.plugins.inventory.dependencies import Fetching
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.wheel import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable

OFFLINE = Fetching(offline=True)


def ids(home: Inventory) -> list[tuple[str, str, bool]]:
    return [(each.id, each.version, each.enabled) for each in home.list()]


MARK = """
import pathlib
pathlib.Path({path!r}).write_text("imported")
raise RuntimeError("imported")
"""


def test_nothing_of_a_plugin_is_imported_to_install_list_show_or_examine_it(
    home: Inventory, tmp_path: Path
) -> None:
    trap, site = tmp_path / "imported", tmp_path / "site"
    folder = new_project("acme.trap", kind="step", into=tmp_path)
    for file in (folder / "src").rglob("*.py"):
        file.write_text(MARK.format(path=str(trap)))
    path = pack(folder).path
    home.install(path)
    home.list(), home.show("acme.trap"), home.doctor(), home.disable("acme.trap")
    options = ["-q", "--no-index", "--no-deps", "--no-compile", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, path], check=True)
    (found,) = environment.find([str(site)])
    assert found.manifest is not None
    assert found.manifest.id == "acme.trap"
    assert "acme_trap" not in sys.modules
    assert not trap.exists()


def test_plugins_of_the_environment_are_listed_and_switched_off(
    home: Inventory, wheel: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, site = wheel(), tmp_path / "site"
    options = ["-q", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, path], check=True)
    monkeypatch.syspath_prepend(str(site))
    (found,) = home.list()
    assert (found.origin, found.enabled, found.root) == ("environment", True, site)
    assert not home.disable("acme.upper").enabled
    assert home.enable("acme.upper").enabled
    with pytest.raises(PluginNotFoundError, match="was not put here"):
        home.remove("acme.upper")
    with pytest.raises(PluginConflictError, match="two plugins are called"):
        home.install(path)
    home.install(path, enable=False)
    home.disable("acme.upper")


def test_a_wrong_plugin_of_the_environment_is_told_and_hides_no_other(
    home: Inventory, wheel: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    options = ["-q", "--no-index", "--no-deps", "--target", str(site)]
    for path in (wheel(), wheel("acme.other")):
        subprocess.run([sys.executable, "-m", "pip", "install", *options, path], check=True)
    (site / "acme_upper/openautoglm-plugin.json").write_text("{")
    monkeypatch.syspath_prepend(str(site))
    assert [each.id for each in home.list()] == ["acme.other"]
    assert [(each.kind, each.sides[0]) for each in home.doctor()] == [("manifest", "acme.upper")]


def test_dependencies_lie_beside_the_plugin(home: Inventory, tmp_path: Path) -> None:
    folder = with_base(tmp_path, "acme-base>=1")
    installed = home.install(
        pack(folder).path, fetching=Fetching(find_links=(tmp_path,), offline=True)
    )
    assert dict(installed.dependencies) == {"acme-base": "1.0"}
    assert len(installed.path) == 2
    assert (installed.path[1] / "acme_base/__init__.py").is_file()
    assert home.intact(installed)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [("acme-base>=2", PluginStoreError), ("acme-none", PluginStoreError)],
)
def test_dependencies_that_cannot_be_had_leave_nothing(
    home: Inventory, tmp_path: Path, wanted: str, error: type[OpenAutoGLMError]
) -> None:
    folder = with_base(tmp_path, wanted)
    with pytest.raises(error, match="cannot be had; nothing was installed") as no:
        home.install(pack(folder).path, fetching=Fetching(find_links=(tmp_path,), offline=True))
    assert wanted in str(no.value.got)
    assert home.list() == ()
    assert list((home.home / "store").iterdir()) == []


def test_a_dependency_that_asks_for_another_host_package_is_refused(
    home: Inventory, tmp_path: Path
) -> None:
    folder = with_base(tmp_path, "acme-base>=1", needs="msgspec<0.1")
    with pytest.raises((PluginPeerError, PluginStoreError)):
        home.install(pack(folder).path, fetching=Fetching(find_links=(tmp_path,), offline=True))
    assert home.list() == ()


@pytest.mark.parametrize("change", ["changed", "added", "replaced by a link"])
def test_a_changed_dependency_keeps_the_plugin_from_loading(
    home: Inventory, tmp_path: Path, change: str
) -> None:
    folder = with_base(tmp_path, "acme-base>=1")
    installed = home.install(
        pack(folder).path, fetching=Fetching(find_links=(tmp_path,), offline=True)
    )
    file = installed.path[1] / "acme_base/__init__.py"
    file.parent.chmod(0o755)
    file.chmod(0o644)
    match change:
        case "changed":
            file.write_text("import os")
        case "added":
            file.with_name("evil.py").write_text("")
        case _:
            file.rename(tmp_path / "away.py")
            file.symlink_to(tmp_path / "away.py")
    with pytest.raises(ContentStoreError, match="dependencies/acme_base/"):
        home.open(installed)
    assert [each.kind for each in home.doctor()] == ["files"]


def locked(folder: Path, text: str) -> Path:
    """Put a lock into a project, and pack it."""
    (folder / "src/acme_upper" / LOCK).write_text(text)
    return pack(folder).path


def test_what_a_lock_names_is_installed_and_nothing_else(home: Inventory, tmp_path: Path) -> None:
    folder = with_base(tmp_path, "acme-base>=1")
    (base,) = tmp_path.glob("acme_base-*.whl")
    right, wrong = hashlib.sha256(base.read_bytes()).hexdigest(), "0" * 64
    fetching = Fetching(find_links=(tmp_path,), offline=True)
    for lock, told in (
        (f"acme-base==1.0 --hash=sha256:{wrong}", "is not the one in its lock"),
        (f"acme-other==1.0 --hash=sha256:{right}", "is not the one in its lock"),
        ("acme-base==1.0", "a lock has lines"),
        ("--index-url https://evil.example\n", "a lock has lines"),
    ):
        with pytest.raises(PluginPackageError, match=told):
            home.install(locked(folder, lock), fetching=fetching)
        assert home.list() == ()
        assert list((home.home / "store").iterdir()) == []
    with pytest.raises((PluginStoreError, PluginPeerError)):
        home.install(locked(folder, f"acme-base==2.0 --hash=sha256:{right}"), fetching=fetching)
    lock = f"# comment\nAcme_Base==1.0 \\\n    --hash=sha256:{wrong} --hash=sha256:{right}\n"
    installed = home.install(locked(folder, lock), fetching=fetching)
    assert dict(installed.dependencies) == {"acme-base": "1.0"}


METADATA = "Metadata-Version: 2.1\nName: acme-base\nVersion: 1.0\n"


def with_base(tmp_path: Path, wanted: str, needs: str = "") -> Path:
    """Return a project that depends on `acme-base`, of which version 1.0 lies in `tmp_path`."""
    from openautoglm.plugins.packing.archive import archive, put

    info = "acme_base-1.0.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    contents = {
        "acme_base/__init__.py": b"",
        f"{info}/METADATA": f"{METADATA}{requires}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    put(tmp_path, "acme_base-1.0-py3-none-any.whl", archive(contents, info))
    folder = new_project("acme.upper", kind="step", into=tmp_path / "projects")
    path = folder / "pyproject.toml"
    path.write_text(path.read_text().replace("dependencies = []", f'dependencies = ["{wanted}"]'))
    return folder


INSTALL = """
import sys
from pathlib import Path
from openautoglm.plugins.inventory.inventory import Inventory
for path in sys.argv[2:]:
    Inventory(Path(sys.argv[1])).install(Path(path))
"""


def test_two_processes_that_install_at_once_lose_nothing(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    paths = [wheel(f"acme.p{number}") for number in range(8)]
    groups = (paths[:5], paths[3:])
    running = [
        subprocess.Popen([sys.executable, "-c", INSTALL, home.home, *group]) for group in groups
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert len(home.list()) == 8
    assert home.doctor() == ()


KILLED = """
import os, signal, sys
from pathlib import Path
from openautoglm.plugins.inventory import {module} as module
from openautoglm.plugins.inventory.inventory import Inventory
real = module.{name}
def die(*args, **kwargs):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)
module.{name} = die
Inventory(Path(sys.argv[1])).install(Path(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("module", "name", "before"),
    [
        ("store", "_unpack", "pass"),
        ("store", "_unpack", "real(*args, **kwargs)"),
        ("store", "listed", "pass"),
        ("store", "_sealed", "real(*args, **kwargs)"),
        ("inventory", "with_version", "pass"),
        ("store.Staged", "commit", "real(*args, **kwargs)"),
        ("state.StateFile", "_write", "pass"),
    ],
)
def test_an_install_that_is_killed_is_never_seen_and_can_be_done_again(
    home: Inventory, wheel: Callable[..., Path], module: str, name: str, before: str
) -> None:
    home.install(wheel("acme.first"))
    path = wheel()
    code = KILLED.format(module=module, name=name, before=before)
    if "." in module:
        file, _, kind = module.partition(".")
        code = code.replace(f"import {module} as module", f"import {file}")
        code = code.replace("real =", f"module = {file}.{kind}\nreal =")
    done = subprocess.run([sys.executable, "-c", code, home.home, path], check=False)
    assert done.returncode == -9
    assert ids(home) == [("acme.first", "0.1.0", True)]
    assert {each.kind for each in home.doctor()} <= {"leftover"}
    home.install(path)
    home.clean()
    assert home.doctor() == ()
    assert len(home.list()) == 2


def test_a_damaged_list_is_told_with_its_file(home: Inventory, wheel: Callable[..., Path]) -> None:
    home.install(wheel())
    for data in (b"", b"{", b"[]", b'{"schema":2}', b"\xff", b'{"plugins":{"x":{}}}'):
        (home.home / "state.json").write_bytes(data)
        with pytest.raises(PluginStoreError, match="damaged") as refused:
            home.list()
        assert "state.json" in str(refused.value)
        with pytest.raises(PluginStoreError):
            home.install(wheel("acme.other"), enable=True)
    shutil.rmtree(home.home / "store", ignore_errors=True)


def test_a_home_that_cannot_be_one_is_told(wheel: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/home", Path("/proc/none")):
        with pytest.raises(PluginStoreError) as refused:
            Inventory(place).install(wheel(f"acme.x{len(str(place))}"))
        assert "OPENAUTOGLM_HOME" in (refused.value.fix or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_is_told(home: Inventory, wheel: Callable[..., Path]) -> None:
    home.install(wheel())
    home.home.chmod(0o500)
    with pytest.raises(PluginStoreError, match="cannot be written"):
        home.disable("acme.upper")
    assert ids(home) == [("acme.upper", "0.1.0", True)]


def test_a_full_disk_changes_nothing(
    home: Inventory, wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.install(wheel())

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("openautoglm.plugins.inventory.store._unpack", full)
    with pytest.raises(PluginStoreError, match="nothing was changed") as refused:
        home.install(wheel("acme.other"))
    assert "No space left" in str(refused.value)
    assert ids(home) == [("acme.upper", "0.1.0", True)]
    assert home.doctor() == ()


def test_a_lock_that_is_held_too_long_is_told(
    home: Inventory, wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.install(wheel())
    monkeypatch.setattr(state, "PATIENCE_S", 0.05)
    with (
        state.StateFile(home.home).changing(),
        pytest.raises(PluginStoreError, match="another process"),
    ):
        home.disable("acme.upper")


def test_the_home_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "own"))
    assert Inventory().home == tmp_path / "own"
    monkeypatch.delenv("OPENAUTOGLM_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "shared"))
    assert Inventory().home == tmp_path / "shared/openautoglm"
