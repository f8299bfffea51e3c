"""A wheel is read with suspicion: what does not fit together is refused before it is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.errors import OpenAutoGLMError, PluginManifestError, PluginPackageError
from openautoglm.plugins.manifest import FILE_NAME
from openautoglm.plugins.packing.archive import archive
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.signing import archive as signing_archive
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INFO = "acme_upper-0.1.0.dist-info"
MANIFEST = f"acme_upper/{FILE_NAME}"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(new_project("acme.upper", kind="step", into=tmp_path_factory.mktemp("p"))).path


@pytest.fixture
def contents(good: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(good) as opened:
        found = {name: opened.read(name) for name in opened.namelist()}
    del found[f"{INFO}/RECORD"]
    return found


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "acme_upper-0.1.0-py3-none-any.whl"
    path.write_bytes(data)
    return path


def test_a_good_wheel_is_read_whole(good: Path) -> None:
    wheel = read_wheel(good)
    assert wheel.tags == ("py3-none-any",)
    assert "acme_upper/step.py" in wheel.files
    assert wheel.package.content(MANIFEST) == wheel.manifest.to_json()
    assert wheel.lock is None


def change(name: str, before: bytes, after: bytes) -> Callable[[dict[str, bytes]], object]:
    def apply(contents: dict[str, bytes]) -> None:
        assert before in contents[name]
        contents[name] = contents[name].replace(before, after)

    return apply


def add(name: str, data: bytes = b"x") -> Callable[[dict[str, bytes]], object]:
    return lambda contents: contents.update({name: data})


def drop(name: str) -> Callable[[dict[str, bytes]], object]:
    return lambda contents: contents.pop(name)


@pytest.mark.parametrize(
    "attack",
    [
        add("../evil.py"),
        add("acme_upper/../../evil.py"),
        add("/etc/evil"),
        add("acme_upper//x.py"),
        add("acme_upper/./x.py"),
        add("acme_upper\\..\\x.py"),
        add("C:/x.py"),
        add("acme_upper/a\x01.py"),
        add("acme_upper/STEP.py"),
        add("evil.pth", b"import os"),
        add("sitecustomize.py"),
        add("numpy/__init__.py"),
        add("acme_upper-0.1.0.data/scripts/x"),
        add("other-1.0.dist-info/METADATA"),
        drop(f"{INFO}/METADATA"),
        drop(f"{INFO}/WHEEL"),
        drop(f"{INFO}/entry_points.txt"),
        drop(MANIFEST),
        add(f"other/{FILE_NAME}"),
        change(f"{INFO}/entry_points.txt", b"acme_upper", b"os"),
        change(
            f"{INFO}/entry_points.txt",
            b"[openautoglm",
            b"[console_scripts]\nx=os:system\n[openautoglm",
        ),
        change(f"{INFO}/METADATA", b"Name: acme-upper", b"Name: numpy"),
        change(f"{INFO}/METADATA", b"Version: 0.1.0", b"Version: 9"),
        change(f"{INFO}/WHEEL", b"Tag: py3-none-any", b""),
        change(MANIFEST, b'"version":"0.1.0"', b'"version":"0.2.0"'),
        change(MANIFEST, b'"package":"acme_upper"', b'"package":"acme_other"'),
        change(MANIFEST, b'"acme.upper"', b'"../../x"'),
        change(MANIFEST, b'"object":"acme_upper.step:Upper"', b'"sources":"kernels"'),
        change(MANIFEST, b"{", b"["),
    ],
)
def test_a_wheel_that_does_not_fit_together_is_refused(
    contents: dict[str, bytes], tmp_path: Path, attack: Callable[[dict[str, bytes]], object]
) -> None:
    attack(contents)
    path = write(tmp_path, archive(contents, INFO))
    with pytest.raises((PluginPackageError, PluginManifestError)) as refused:
        read_wheel(path)
    assert refused.value.fix


def test_a_changed_byte_anywhere_is_refused_or_changes_the_digest(
    good: Path, tmp_path: Path
) -> None:
    data, digest = good.read_bytes(), read_wheel(good).sha256
    for at in range(0, len(data), 7):
        path = write(tmp_path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            assert read_wheel(path).sha256 != digest
        except OpenAutoGLMError:
            continue


def test_a_shortened_wheel_is_refused(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    for end in range(0, len(data), 53):
        with pytest.raises(PluginPackageError):
            read_wheel(write(tmp_path, data[:end]))


def zipped(entries: list[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for entry, data in entries:
            opened.writestr(entry, data)
    return file.getvalue()


def test_a_file_that_record_does_not_know_is_refused(good: Path, tmp_path: Path) -> None:
    path = write(tmp_path, good.read_bytes())
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("acme_upper/extra.py", b"import os")
    with pytest.raises(PluginPackageError, match="its RECORD"):
        read_wheel(path)


def test_a_link_is_refused(good: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("acme_upper/link")
    link.external_attr = 0o120777 << 16
    path = write(tmp_path, good.read_bytes())
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(PluginPackageError, match="link or a device"):
        read_wheel(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(good: Path, tmp_path: Path) -> None:
    path = write(tmp_path, good.read_bytes())
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("acme_upper/step.py", b"import os")
    with pytest.raises(PluginPackageError, match="one name"):
        read_wheel(path)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    bomb = zipped([("acme_upper/zeros", b"\0" * (64 << 20))])
    with pytest.raises(PluginPackageError, match="far more than it is"):
        read_wheel(write(tmp_path, bomb))


def test_a_size_that_lies_is_refused(contents: dict[str, bytes], tmp_path: Path) -> None:
    data = bytearray(archive(contents, INFO))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"acme_upper/step.py"))
    size = struct.unpack_from("<I", data, at + 24)[0]
    struct.pack_into("<I", data, at + 24, size + 5)
    with pytest.raises(PluginPackageError):
        read_wheel(write(tmp_path, bytes(data)))


def test_too_many_files_are_refused(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_archive, "MAX_MEMBERS", 3)
    with pytest.raises(PluginPackageError, match="larger than a plugin's"):
        read_wheel(write(tmp_path, archive(contents, INFO)))


@pytest.mark.parametrize("name", ["none.whl", ".", "a\0b"])
def test_a_path_without_a_wheel_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginPackageError):
        read_wheel(tmp_path / name)


def test_a_wheel_that_changed_after_it_was_read_is_still_what_was_read(
    contents: dict[str, bytes], tmp_path: Path
) -> None:
    path = write(tmp_path, archive(contents, INFO))
    wheel = read_wheel(path)
    write(tmp_path, archive({**contents, "acme_upper/step.py": b"evil"}, INFO))
    assert wheel.package.content("acme_upper/step.py") == contents["acme_upper/step.py"]


def test_a_folder_is_told_how_to_become_a_wheel(tmp_path: Path) -> None:
    with pytest.raises(PluginPackageError, match="it is a folder") as refused:
        read_wheel(tmp_path)
    assert "oag plugin pack" in str(refused.value.fix)


@given(data=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_with_our_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(PluginPackageError):
        read_wheel(write(tmp_path, data))
