"""Plugins come into the store whole, are used or not, and go; a change happens or does not."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import (
    ContentStoreError,
    PluginConflictError,
    PluginNotFoundError,
    PluginPackageError,
    PluginPeerError,
    PluginReplaceError,
)
from openautoglm.plugins.inventory.dependencies import Fetching
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.inventory.state import Verdict
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OFFLINE = Fetching(offline=True)


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


def test_an_older_version_is_refused_unless_somebody_says_so(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    old, new = wheel(), wheel(version="0.10.0")
    home.install(old)
    home.install(new)
    with pytest.raises(PluginReplaceError, match="a higher version of plugin") as no:
        home.install(wheel(version="0.9.0"))
    assert no.value.got == "0.9.0, after 0.10.0"
    assert "--allow-downgrade" in str(no.value.fix)
    assert ids(home) == [("acme.upper", "0.10.0", True)]
    assert not home.show("acme.upper").is_downgrade
    assert home.install(wheel(version="0.9.0"), allow_downgrade=True).is_downgrade
    assert home.show("acme.upper").previous == "0.10.0"


def test_a_removed_version_is_remembered_and_going_back_is_another_verb(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    old, new = wheel(), wheel(version="0.2.0")
    home.install(old)
    home.install(new)
    assert home.rollback("acme.upper").is_downgrade
    assert home.install(old).version == "0.1.0"  # it is in use: nothing changes
    home.remove("acme.upper")
    with pytest.raises(PluginReplaceError, match="a higher version"):
        home.install(old)
    assert home.install(new).version == "0.2.0"


def test_a_version_that_was_never_used_keeps_none_out(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    home.install(wheel(version="0.3.0"), enable=False)
    assert home.install(wheel(version="0.2.0")).version == "0.2.0"
    home.enable("acme.upper", version="0.3.0")
    with pytest.raises(PluginReplaceError, match="a higher version"):
        home.install(wheel(version="0.2.1"))


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


def test_a_manifest_that_was_changed_in_the_list_is_not_loaded(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    path = home.home / "state.json"
    path.write_bytes(path.read_bytes().replace(b"acme_upper.step:Upper", b"acme_upper.step:Other"))
    found = home.show("acme.upper")
    assert found.manifest.provides[0].object == "acme_upper.step:Other"
    with pytest.raises(ContentStoreError, match="another manifest than the plugin itself"):
        home.open(found)
    assert [each.kind for each in home.doctor()] == ["files"]


def test_what_is_opened_names_the_file_that_was_changed(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    installed = home.install(wheel())
    assert home.open(installed).root == installed.root
    (installed.root / "acme_upper/step.py").chmod(0o644)
    with (installed.root / "acme_upper/step.py").open("a") as file:
        file.write("#")
    with pytest.raises(ContentStoreError, match=r"plugin/acme_upper/step\.py was changed"):
        home.open(installed)


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
    from openautoglm.plugins.packing import packing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "platform_tag", lambda: "plan9_mips")
        path = pack(folder).path
    with pytest.raises(PluginPackageError, match="another machine"):
        home.install(path)
    assert home.install(pack(folder).path).id == "acme.k"
