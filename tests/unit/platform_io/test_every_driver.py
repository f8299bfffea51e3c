"""One suite over every driver: what a caller may rely on whatever the platform."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.errors import (
    InputNotFoundError,
    InvalidParameterError,
    OutputWriteError,
    PlatformError,
)
from openautoglm.platform_io import PlatformIO
from openautoglm.platform_io.emscripten import EmscriptenIO
from openautoglm.platform_io.local import WINDOWS, LocalIO
from openautoglm.platform_io.memory import MemoryIO
from openautoglm.platform_io.wasi import WasiIO

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV: Mapping[str, str] = {"OAG_TEST": "值 🎈", "OAG_EMPTY": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A driver and a folder that exists on it."""

    io: PlatformIO
    folder: str


@pytest.fixture(params=["local", "windows", "emscripten", "wasi", "memory"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    folder = str(tmp_path)
    drivers: dict[str, PlatformIO] = {
        "local": LocalIO(env=ENV),
        "windows": LocalIO(env=ENV, abilities=WINDOWS),
        "emscripten": EmscriptenIO(env=ENV),
        "wasi": WasiIO(env=ENV),
        "memory": MemoryIO(env=ENV, folders=[folder]),
    }
    return Platform(io=drivers[request.param], folder=folder)


def test_a_driver_is_a_platform_io(platform: Platform) -> None:
    assert isinstance(platform.io, PlatformIO)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.binary(max_size=2000))
def test_what_was_written_is_read_byte_for_byte(platform: Platform, data: bytes) -> None:
    platform.io.write_file(f"{platform.folder}/f.bin", data)
    assert platform.io.read_file(f"{platform.folder}/f.bin") == data


def test_a_second_write_replaces_the_first(platform: Platform) -> None:
    for data in (b"a longer first content", b"short", b""):
        platform.io.write_file(f"{platform.folder}/a", data)
        assert platform.io.read_file(f"{platform.folder}/a") == data


def test_a_path_object_is_a_path(platform: Platform) -> None:
    platform.io.write_file(Path(platform.folder) / "报告 🎈.txt", b"x")
    assert platform.io.read_file(Path(platform.folder) / "报告 🎈.txt") == b"x"


def test_a_bytearray_is_stored_as_it_was_when_written(platform: Platform) -> None:
    data = bytearray(b"before")
    platform.io.write_file(f"{platform.folder}/a", data)  # type: ignore[arg-type] # taken, not told
    data[:] = b"after!"
    assert platform.io.read_file(f"{platform.folder}/a") == b"before"


def test_a_missing_file_names_the_path_and_the_nearest_name(platform: Platform) -> None:
    platform.io.write_file(f"{platform.folder}/summary.txt", b"x")
    with pytest.raises(InputNotFoundError) as caught:
        platform.io.read_file(f"{platform.folder}/sumary.txt")
    assert str(caught.value.got).endswith("sumary.txt")
    assert "did you mean `summary.txt`?" in str(caught.value.fix)


def test_a_folder_is_neither_read_nor_replaced(platform: Platform) -> None:
    with pytest.raises(InputNotFoundError, match="a folder, not a file"):
        platform.io.read_file(platform.folder)
    with pytest.raises(OutputWriteError, match="a folder has this name"):
        platform.io.write_file(platform.folder, b"x")


def test_a_missing_folder_is_named_and_not_created(platform: Platform) -> None:
    path = f"{platform.folder}/not-there/a.txt"
    with pytest.raises(OutputWriteError, match=r"not-there` does not exist") as caught:
        platform.io.write_file(path, b"x")
    assert str(caught.value.fix).startswith("create the folder first")
    with pytest.raises(InputNotFoundError):
        platform.io.read_file(path)


@pytest.mark.parametrize("path", ["", "a\0b", "folder/", 7, b"bytes", "\ud800"])
def test_what_no_file_can_be_called_is_refused(platform: Platform, path: str) -> None:
    with pytest.raises(PlatformError):
        platform.io.read_file(path)
    with pytest.raises(PlatformError):
        platform.io.write_file(path, b"x")


def test_text_is_refused_as_content_with_the_way_to_encode_it(platform: Platform) -> None:
    with pytest.raises(InvalidParameterError, match=r"must be bytes") as caught:
        platform.io.write_file(f"{platform.folder}/a", "text")  # type: ignore[arg-type] # the point
    assert "encode" in str(caught.value.fix)


def test_an_environment_variable_is_text_and_unset_is_the_default(platform: Platform) -> None:
    assert platform.io.get_env("OAG_TEST") == "值 🎈"
    assert platform.io.get_env("OAG_EMPTY", "default") == ""
    assert platform.io.get_env("OAG_UNSET") == ""
    assert platform.io.get_env("OAG_UNSET", "default") == "default"


@pytest.mark.parametrize("key", ["", "A=B", "A\0B", 7, "\ud800"])
def test_a_name_no_variable_can_have_is_refused(platform: Platform, key: str) -> None:
    with pytest.raises(PlatformError, match="environment variable"):
        platform.io.get_env(key)


def test_readers_see_one_whole_version_while_writers_replace_it(platform: Platform) -> None:
    path = f"{platform.folder}/shared"
    versions = [bytes([65 + i]) * 50_000 for i in range(4)]
    platform.io.write_file(path, versions[0])
    seen: set[bytes] = set()

    def write(version: bytes) -> None:
        for _ in range(5):
            platform.io.write_file(path, version)

    writers = [threading.Thread(target=write, args=(version,)) for version in versions]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.add(platform.io.read_file(path))
    for writer in writers:
        writer.join()
    assert seen <= set(versions)
    assert platform.io.read_file(path) in versions
