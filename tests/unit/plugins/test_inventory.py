"""Plugins come into the store whole, are used or not, and go; a change happens or does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import (
    PluginConflictError,
    PluginNotFoundError,
    PluginPackageError,
    PluginPeerError,
    PluginStoreError,
)
from openautoglm.plugins import inventory_environment, inventory_state
from openautoglm.plugins.inventory import Inventory
from openautoglm.plugins.inventory_dependencies import Fetching
from openautoglm.plugins.inventory_state import Verdict
from openautoglm.plugins.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

OFFLINE = Fetching(offline=True)


@pytest.fixture
def home(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path / "home")


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Pack a step plugin; `edits` replace texts in its pyproject.toml."""

    def packed(plugin: str = "acme.upper", version: str = "0.1.0", *edits: str) -> Path:
        into = tmp_path / f"{plugin}-{version}-{len(list(tmp_path.iterdir()))}"
        folder = new_project(plugin, kind="step", into=into)
        path = folder / "pyproject.toml"
        text = path.read_text().replace('version = "0.1.0"', f'version = "{version}"')
        for before, after in zip(edits[::2], edits[1::2], strict=True):
            assert before in text
            text = text.replace(before, after)
        path.write_text(text)
        return pack(folder).path

    return packed


def ids(home: Inventory) -> list[tuple[str, str, bool]]:
    return [(each.id, each.version, each.enabled) for each in home.list()]


def test_an_empty_home_has_no_plugins_and_stays_untouched(home: Inventory) -> None:
    assert home.list() == ()
    assert home.doctor() == ()
    assert not home.home.exists()
    with pytest.raises(PluginNotFoundError, match="no plugin of that id"):
        home.show("acme.upper")


def test_an_installed_plugin_is_found_with_all_it_says(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    path = wheel()
    installed = home.install(path)
    path.unlink()
    assert installed == Inventory(home.home).show("acme.upper")
    assert ids(home) == [("acme.upper", "0.1.0", True)]
    assert (installed.root / "acme_upper/step.py").is_file()
    assert installed.path == (installed.root,)
    assert str(installed.sha256) in str(installed.root)
    assert home.intact(installed)
    assert home.doctor() == ()
    assert not os.access(installed.root / "acme_upper/step.py", os.W_OK) or os.geteuid() == 0
    assert (installed.root / "acme_upper/step.py").stat().st_mode & 0o222 == 0


def test_installing_the_same_wheel_again_changes_nothing(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    path = wheel()
    first, again = home.install(path), home.install(path)
    assert (first.root, first.versions, again.previous) == (again.root, again.versions, None)


def test_a_new_version_takes_over_and_the_old_one_can_come_back(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    second = home.install(wheel(version="0.2.0"))
    assert (second.version, second.previous) == ("0.2.0", "0.1.0")
    assert home.rollback("acme.upper").version == "0.1.0"
    assert home.rollback("acme.upper").version == "0.2.0"
    assert home.show("acme.upper", version="0.1.0").root.is_dir()
    with pytest.raises(PluginNotFoundError, match=r"not installed in version 0\.3"):
        home.show("acme.upper", version="0.3")


def test_there_is_no_way_back_from_the_first_version(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    with pytest.raises(PluginNotFoundError, match="no version to go back to"):
        home.rollback("acme.upper")
    with pytest.raises(PluginNotFoundError, match="no plugin of that id"):
        home.rollback("acme.other")


def test_other_contents_under_one_version_are_refused_unless_they_replace(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    first = home.install(wheel())
    other = wheel("acme.upper", "0.1.0", "A step of", "Another step of")
    with pytest.raises(PluginConflictError, match="other contents"):
        home.install(other)
    assert home.show("acme.upper") == first
    replaced = home.install(other, replaces=True)
    assert replaced.sha256 != first.sha256
    assert replaced.previous is None
    assert not first.root.exists()


def test_a_plugin_is_switched_off_and_on(home: Inventory, wheel: Callable[..., Path]) -> None:
    home.install(wheel())
    assert not home.disable("acme.upper").enabled
    assert not home.disable("acme.upper").enabled
    assert home.enable("acme.upper").enabled
    assert not home.install(wheel("acme.other"), enable=False).enabled
    assert home.install(wheel("acme.other", "0.2.0"), enable=False).version == "0.2.0"
    assert ids(home)[0] == ("acme.other", "0.1.0", False)
    for verb in (home.enable, home.disable, home.remove):
        with pytest.raises(PluginNotFoundError) as refused:
            verb("acme.uper")
        assert refused.value.fix == "did you mean `acme.upper`?"


def test_a_version_can_wait_beside_the_one_in_use(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    staged = home.install(wheel(version="0.2.0"), enable=False)
    assert (staged.version, staged.root.is_dir()) == ("0.2.0", True)
    assert ids(home) == [("acme.upper", "0.1.0", True)]
    assert home.enable("acme.upper", version="0.2.0").previous == "0.1.0"
    assert home.rollback("acme.upper").version == "0.1.0"
    with pytest.raises(PluginNotFoundError, match="not installed in version"):
        home.enable("acme.upper", version="0.3.0")


def test_a_removed_plugin_leaves_nothing(home: Inventory, wheel: Callable[..., Path]) -> None:
    first = home.install(wheel())
    second = home.install(wheel(version="0.2.0"))
    assert home.remove("acme.upper", version="0.2.0") == ("0.2.0",)
    assert home.show("acme.upper").version == "0.1.0"
    assert not second.root.exists()
    with pytest.raises(PluginNotFoundError):
        home.remove("acme.upper", version="0.2.0")
    assert home.remove("acme.upper") == ("0.1.0",)
    assert home.list() == ()
    assert not first.root.exists()
    assert list((home.home / "store").iterdir()) == []


def test_two_plugins_of_one_contribution_name_both_sides(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    rival = wheel("acme.loud", "0.1.0", 'name = "acme.loud"', 'name = "acme.upper"')
    with pytest.raises(PluginConflictError, match="two plugins provide step") as refused:
        home.install(rival)
    assert "acme.upper 0.1.0" in str(refused.value)
    assert "acme.loud 0.1.0" in str(refused.value)
    assert ids(home) == [("acme.upper", "0.1.0", True)]
    assert list((home.home / "store").glob(".*")) == []
    home.install(rival, enable=False)
    with pytest.raises(PluginConflictError):
        home.enable("acme.loud")
    home.disable("acme.upper")
    home.enable("acme.loud")
    with pytest.raises(PluginConflictError):
        home.enable("acme.upper")


def test_what_does_not_go_with_the_host_is_refused_and_told_later(
    home: Inventory, wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wheel("acme.upper", "0.1.0", "peers = {}", 'peers = {msgspec = ">=0.1"}')
    home.install(path)
    other = wheel("acme.other", "0.1.0", "peers = {}", 'peers = {msgspec = ">=0.22"}')
    home.install(other)
    monkeypatch.setattr(
        "openautoglm.plugins.peers.Host.version",
        lambda _self, name: "0.0.9" if name == "msgspec" else None,
    )
    found = home.doctor()
    assert [(each.kind, each.sides) for each in found] == [
        ("peer", ("acme.other", "openautoglm")),
        ("peer", ("acme.upper", "openautoglm")),
    ]
    assert "acme.upper asks for msgspec >=0.1" in found[0].got
    with pytest.raises(PluginPeerError, match="another `msgspec`"):
        Inventory(home.home.parent / "other").install(path)


def test_doctor_names_contributions_the_host_has_itself(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    (found,) = home.doctor(builtin={"step": ("acme.upper",)})
    assert found.sides == ("acme.upper", "openautoglm")


def test_doctor_finds_changed_files_and_leftovers(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    installed = home.install(wheel())
    file = installed.root / "acme_upper/step.py"
    file.parent.chmod(0o755)
    file.chmod(0o644)
    file.write_text("import os")
    (home.home / "store/.new-999999999-x/plugin").mkdir(parents=True)
    assert [each.kind for each in home.doctor()] == ["files", "leftover"]
    assert not home.intact(installed)
    assert [path.name for path in home.clean()] == [".new-999999999-x"]
    assert [each.kind for each in home.doctor()] == ["files"]
    home.remove("acme.upper")
    assert home.doctor() == ()


@pytest.mark.parametrize("change", ["extra file", "lost file", "link", "lost folder"])
def test_any_change_of_the_files_is_seen(
    home: Inventory, wheel: Callable[..., Path], change: str
) -> None:
    installed = home.install(wheel())
    folder = installed.root / "acme_upper"
    folder.chmod(0o755)
    match change:
        case "extra file":
            (folder / "evil.py").write_text("")
        case "lost file":
            (folder / "step.py").unlink()
        case "link":
            (folder / "evil").symlink_to("/etc")
        case _:
            shutil.rmtree(installed.root.parent, ignore_errors=True)
            home._store.remove(installed.sha256 or "")
    assert not home.intact(installed)


def test_the_verdict_on_a_signature_is_kept_and_another_file_refused(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    path = wheel()
    verdict = Verdict(trusted=True, keys=("ada",), reasons=())
    installed = home.install(path, verdict=verdict, sha256=read_wheel(path).sha256)
    assert installed.verdict == verdict
    with pytest.raises(PluginPackageError, match="not the wheel that was verified"):
        home.install(path, sha256="0" * 64)


def test_a_wheel_for_another_machine_is_refused(home: Inventory, tmp_path: Path) -> None:
    folder = new_project("acme.k", kind="operator-cpp", into=tmp_path)
    kernels = folder / "src/acme_k/kernels"
    shutil.rmtree(kernels)
    kernels.mkdir()
    (kernels / "kernels.so").write_bytes(b"\x7fELF and so on")
    from openautoglm.plugins import packing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "platform_tag", lambda: "plan9_mips")
        path = pack(folder).path
    with pytest.raises(PluginPackageError, match="another machine"):
        home.install(path)
    assert home.install(pack(folder).path).id == "acme.k"


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
    (found,) = inventory_environment.find([str(site)])
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
    home: Inventory, tmp_path: Path, wanted: str, error: type[Exception]
) -> None:
    folder = with_base(tmp_path, wanted)
    with pytest.raises(error):
        home.install(pack(folder).path, fetching=Fetching(find_links=(tmp_path,), offline=True))
    assert home.list() == ()
    assert list((home.home / "store").iterdir()) == []


def test_a_dependency_that_asks_for_another_host_package_is_refused(
    home: Inventory, tmp_path: Path
) -> None:
    folder = with_base(tmp_path, "acme-base>=1", needs="msgspec<0.1")
    with pytest.raises((PluginPeerError, PluginStoreError)):
        home.install(pack(folder).path, fetching=Fetching(find_links=(tmp_path,), offline=True))
    assert home.list() == ()


METADATA = "Metadata-Version: 2.1\nName: acme-base\nVersion: 1.0\n"


def with_base(tmp_path: Path, wanted: str, needs: str = "") -> Path:
    """Return a project that depends on `acme-base`, of which version 1.0 lies in `tmp_path`."""
    from openautoglm.plugins.packing_archive import archive, put

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
from openautoglm.plugins.inventory import Inventory
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
from openautoglm.plugins import {module} as module
from openautoglm.plugins.inventory import Inventory
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
        ("inventory_store", "unpack", "pass"),
        ("inventory_store", "unpack", "real(*args, **kwargs)"),
        ("inventory_store", "contents", "pass"),
        ("inventory_store", "_make_read_only", "real(*args, **kwargs)"),
        ("inventory", "with_version", "pass"),
        ("inventory_store.Staged", "commit", "real(*args, **kwargs)"),
        ("inventory_state.StateFile", "_write", "pass"),
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

    monkeypatch.setattr("openautoglm.plugins.inventory_store.unpack", full)
    with pytest.raises(PluginStoreError, match="nothing was changed") as refused:
        home.install(wheel("acme.other"))
    assert "No space left" in str(refused.value)
    assert ids(home) == [("acme.upper", "0.1.0", True)]
    assert home.doctor() == ()


def test_a_lock_that_is_held_too_long_is_told(
    home: Inventory, wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.install(wheel())
    monkeypatch.setattr(inventory_state, "PATIENCE_S", 0.05)
    with (
        inventory_state.StateFile(home.home).changing(),
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
