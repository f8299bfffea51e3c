"""What can go wrong around the store, by mistake or on purpose: a clear error, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import (
    KeyringError,
    OpenAutoGLMError,
    PluginPackageError,
    PluginStoreError,
)
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.signing import KeyringFile, new_local_key, sign, verify
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = """
import resource, sys
from pathlib import Path
from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.inventory.inventory import Inventory
if int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    Inventory(Path(sys.argv[1])).install(Path(sys.argv[2]))
except OpenAutoGLMError as error:
    sys.exit(f"{type(error).__name__} {error}")
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two plugins."""
    folder = tmp_path_factory.mktemp("wheels")
    one, two = (new_project(f"acme.{name}", kind="step", into=folder) for name in ("one", "two"))
    (two / "src/acme_two/table.txt").write_bytes(os.urandom(40_000))
    return pack(one).path, pack(two).path


@pytest.fixture
def home(tmp_path: Path, wheels: tuple[Path, Path]) -> Inventory:
    """A home in which the first of them is installed."""
    inventory = Inventory(tmp_path / "home")
    inventory.install(wheels[0])
    return inventory


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def install(home: Path, wheel: Path, *, limit: int = 0) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-c", INSTALL, home, wheel, str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def with_field(home: Inventory, *path: str, value: object) -> None:
    """Write one field of the list of plugins by hand."""
    file = home.home / "state.json"
    state: Any = json.loads(file.read_bytes())
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(state))


VERSION = ("plugins", "acme.one", "versions", "0.1.0")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*VERSION, "sha256"), "../../keys"),
        ((*VERSION, "sha256"), "/etc"),
        ((*VERSION, "contents"), ""),
        ((*VERSION, "manifest"), {}),
        (("plugins", "acme.one", "current"), "9.9"),
        (("plugins", "acme.one", "previous"), "9.9"),
        (("plugins", "acme.one", "versions"), {}),
        (("plugins", "acme.one"), None),
        (("plugins",), []),
        (("seen",), [1]),
        (("schema",), 7),
    ],
)
def test_a_list_written_by_hand_is_refused_and_nothing_is_deleted(
    home: Inventory, wheels: tuple[Path, Path], path: tuple[str, ...], value: object
) -> None:
    (home.home / "keys").mkdir()
    (home.home / "keys/mine.pem").write_text("precious")
    with_field(home, *path, value=value)
    written = (home.home / "state.json").read_bytes()
    for verb in (
        home.list,
        lambda: home.remove("acme.one"),
        lambda: home.install(wheels[1]),
        home.clean,
    ):
        with pytest.raises(PluginStoreError, match="damaged") as refused:
            verb()
        assert "state.json" in str(refused.value.got)
        assert refused.value.fix
    assert (home.home / "keys/mine.pem").read_text() == "precious"
    assert (home.home / "state.json").read_bytes() == written


@pytest.mark.parametrize("name", [".", "state.json"])
def test_a_list_that_anybody_may_write_is_not_believed(home: Inventory, name: str) -> None:
    path = home.home / name
    mode = path.stat().st_mode
    path.chmod(mode | 0o002)
    with pytest.raises(PluginStoreError, match="anybody may write") as refused:
        home.list()
    assert "chmod o-w" in str(refused.value.fix)
    path.chmod(mode)
    assert [each.id for each in home.list()] == ["acme.one"]
    assert not mode & 0o022


@pytest.mark.parametrize("seen", ["no version", "", "99999"])
def test_a_highest_version_written_by_hand_asks_for_a_word(
    home: Inventory, wheels: tuple[Path, Path], seen: str
) -> None:
    home.remove("acme.one")
    with_field(home, "seen", "acme.one", value=seen)
    with pytest.raises(OpenAutoGLMError, match="a higher version"):
        home.install(wheels[0])
    home.install(wheels[0], allow_downgrade=True)


def test_a_file_that_is_swapped_between_verifying_and_installing_is_refused(
    home: Inventory, wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / wheels[1].name
    shutil.copy(wheels[1], path)
    sign(path, new_local_key(home.home, "mine").key)
    verdict = verify(path, KeyringFile(home.home / "keyring.json").read())
    assert verdict.package is not None
    changed(path)
    with pytest.raises(PluginPackageError, match="not the wheel that was verified"):
        home.install(path, sha256=verdict.package.sha256)
    with pytest.raises(PluginPackageError, match="contradicts the signature"):
        home.install(path)
    assert [each.id for each in home.list()] == ["acme.one"]


def changed(path: Path) -> None:
    """Make another wheel of it that is whole."""
    project = new_project("acme.two", kind="step", into=path.parent / "other")
    (project / "src/acme_two/evil.py").write_text("import os\n")
    shutil.copy(pack(project).path, path)


def test_one_wheel_installed_by_many_at_once_is_there_once(
    home: Inventory, wheels: tuple[Path, Path]
) -> None:
    command: list[str | Path] = [sys.executable, "-c", INSTALL, home.home, wheels[1], "0"]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    assert [each.id for each in home.list()] == ["acme.one", "acme.two"]
    assert home.doctor() == ()
    assert len(list((home.home / "store").iterdir())) == 2


@pytest.mark.parametrize("limit", [1, 100, 2_000, 30_000])
def test_no_room_for_a_file_changes_nothing(
    home: Inventory, wheels: tuple[Path, Path], limit: int
) -> None:
    done = install(home.home, wheels[1], limit=limit)
    assert done.returncode == 1
    assert "PluginStoreError [OAG727]" in done.stderr
    assert "OPENAUTOGLM_HOME" in done.stderr
    assert [each.id for each in home.list()] == ["acme.one"]
    assert home.doctor() == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_home_that_may_only_be_read_is_told_and_stays_as_it_is(
    open_folder: Path, wheels: tuple[Path, Path]
) -> None:
    home, wheel = open_folder / "home", open_folder / wheels[1].name
    Inventory(home).install(wheels[0])
    for path in (home, home / "store"):
        path.chmod(0o555)
    shutil.copy(wheels[1], wheel)
    warm = "import os, resource, sys\n" + INSTALL.replace("sys.argv[1]", "sys.argv[4]")
    code = warm + "os.setgid(65534), os.setuid(65534)\n" + INSTALL  # its imports are root's
    command: list[str | Path] = [
        sys.executable,
        "-c",
        code,
        home,
        wheel,
        "0",
        open_folder / "other",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PluginStoreError [OAG727]" in done.stderr
    assert [each.id for each in Inventory(home).list()] == ["acme.one"]


@pytest.mark.parametrize(
    "name", ["../evil.py", "acme_two/../../evil.py", "/etc/evil.py", "acme_two\\..\\evil.py"]
)
def test_a_path_that_leads_out_of_the_store_is_refused(
    home: Inventory, wheels: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    path = tmp_path / wheels[1].name
    shutil.copy(wheels[1], path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"raise SystemExit")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(PluginPackageError):
        home.install(path)
    assert set(tmp_path.rglob("*")) == before


def test_bombs_do_not_go_off(home: Inventory, tmp_path: Path) -> None:
    path = tmp_path / "acme_bomb-1.0-py3-none-any.whl"
    for names in (("acme_bomb/zeros",), tuple(f"acme_bomb/{each}" for each in range(20_001))):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, bytes((256 << 20) // len(names) if len(names) < 9 else 1))
        with pytest.raises(PluginPackageError, match="larger than a plugin's can be"):
            read_wheel(path)
        with pytest.raises(PluginPackageError):
            home.install(path)
    assert [each.id for each in home.list()] == ["acme.one"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"author"', '"Author"'),
        ('"public": "', '"public": "!'),
        ('"schema": 1', '"schema": 9'),
        ("{", "["),
        ('"versions": {}', '"versions": {"acme.two": "none"}'),
        ('"thresholds": {\n    "author": 1\n  }', '"thresholds": {}'),
        ('"keys": {\n    "', '"keys": {\n    "0'),
    ],
)
def test_a_keyring_edited_by_hand_is_told_and_trusts_nobody(
    home: Inventory, wheels: tuple[Path, Path], tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / wheels[1].name
    shutil.copy(wheels[1], path)
    sign(path, new_local_key(home.home, "mine").key)
    keyring = home.home / "keyring.json"
    text = keyring.read_text()
    assert before in text
    keyring.write_text(text.replace(before, after, 1))
    with pytest.raises(KeyringError) as refused:
        home.install(path)
    assert refused.value.fix
    assert [each.id for each in home.list()] == ["acme.one"]
    keyring.write_text(text)
    assert home.install(path).verdict.trusted


def test_a_keyring_that_others_may_write_is_not_believed(
    home: Inventory, wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / wheels[1].name
    shutil.copy(wheels[1], path)
    sign(path, new_local_key(home.home, "mine").key)
    (home.home / "keyring.json").chmod(0o666)
    with pytest.raises(KeyringError, match="others may write"):
        home.install(path)


CLOCK = """
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from openautoglm.plugins.inventory.inventory import Inventory

class Earlier(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(days=400)

import_module("openautoglm.plugins.signing.verify").datetime = Earlier
inventory = Inventory(Path(sys.argv[1]))
verdict = inventory.judged(inventory.show("acme.two"))
print(verdict.state, *(reason.code for reason in verdict.reasons))
"""


def test_a_clock_that_is_set_back_before_the_signature_is_seen(
    home: Inventory, wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / wheels[1].name
    shutil.copy(wheels[1], path)
    sign(path, new_local_key(home.home, "mine").key)
    assert home.install(path).verdict.trusted
    assert home.judged(home.show("acme.two")).trusted
    command: list[str | Path] = [sys.executable, "-c", CLOCK, home.home]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "refused signed-in-future\n"


def test_a_home_that_is_a_file_is_no_empty_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(PluginStoreError, match="no folder") as refused:
            Inventory(home).list()
        assert str(home) == refused.value.got


def test_a_key_for_which_there_is_no_room_leaves_no_part_of_itself(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from openautoglm.plugins.signing import new_local_key\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "new_local_key(Path(sys.argv[1]), 'mine')\n"
    )
    command: list[str | Path] = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SigningKeyError" in done.stderr
    assert list(tmp_path.rglob("*.pem")) == []
    new_local_key(tmp_path, "mine")
