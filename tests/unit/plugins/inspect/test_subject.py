"""A wheel is unpacked only where it stays inside its folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from openautoglm.errors import PluginPackageError
from openautoglm.plugins.inspect.static import static_rows
from openautoglm.plugins.inspect.subject import opened, unpack

ZOO = Path(__file__).parents[4] / "plugins" / "broken"


def wheel(folder: Path, entries: dict[str, bytes]) -> Path:
    path = folder / "it-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_a_file_outside_is_refused(name: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(PluginPackageError):
        unpack(wheel(tmp_path, {"good.py": b"", name: b""}), target)
    assert not (tmp_path / "evil").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.whl"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(PluginPackageError, match="link"):
        unpack(path, tmp_path / "target")


def test_a_damaged_wheel_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "it.whl"
    path.write_bytes(b"PK no zip")
    with pytest.raises(PluginPackageError, match="cannot be unpacked"), opened(path):
        pass


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PluginPackageError, match="no plugin"), opened(tmp_path / "nothing.whl"):
        pass


def test_a_wheel_has_no_manifest_or_one(tmp_path: Path) -> None:
    with opened(wheel(tmp_path, {"it/__init__.py": b""})) as subject:
        assert subject.manifest is None
        assert "0 files" in str(subject.problem)
        root = subject.root
    assert not root.exists()


def test_a_projects_files_are_those_of_its_package() -> None:
    with opened(ZOO / "changes-input") as subject:
        assert [str(path) for path in subject.files] == ["broken_changes_input/__init__.py"]


@pytest.mark.parametrize(
    "text", ["(" * 90 + ")" * 90, "x = " + "1+" * 5000 + "1", "x" + ".y" * 5000, "-" * 5000 + "1"]
)
def test_a_source_that_is_nested_too_deep_is_unreadable_and_nothing_breaks(
    text: str, tmp_path: Path
) -> None:
    shutil.copytree(ZOO / "no-licence", tmp_path / "it")
    package = tmp_path / "it" / "src" / "broken_no_licence"
    (package / "deep.py").write_text(text, encoding="utf-8")
    with opened(tmp_path / "it") as subject:
        found = {finding.row: finding for finding in static_rows(subject)}
    is_deep = text.startswith(("x", "-"))
    assert found["static.source"].status == ("fail" if is_deep else "pass")
    assert found["static.imports"].status == "pass"
