"""What is particular to files in memory."""

from __future__ import annotations

from typing import Any

import pytest

from openautoglm.errors import InvalidParameterError, OutputWriteError
from openautoglm.platform_io.memory import MemoryIO


def test_a_full_memory_keeps_the_old_content() -> None:
    io = MemoryIO(files={"/a": b"old", "/b": b"1234"}, capacity_bytes=10)
    with pytest.raises(OutputWriteError, match="no room for 7 bytes"):
        io.write_file("/a", b"7 bytes")
    assert io.read_file("/a") == b"old"
    io.write_file("/a", b"6bytes")


def test_one_file_has_many_spellings() -> None:
    io = MemoryIO(files={"in/a": b"x"})
    assert {io.read_file(path) for path in ("/in/a", "in/a", "./in/a", "//in/../in/a")} == {b"x"}


def test_content_that_is_not_bytes_is_refused_at_the_start() -> None:
    text: Any = "text"
    with pytest.raises(InvalidParameterError, match="must be bytes"):
        MemoryIO(files={"/a": text})


def test_two_memories_share_nothing() -> None:
    files = {"/a": b"x"}
    one, other = MemoryIO(files=files), MemoryIO(files=files)
    one.write_file("/a", b"changed")
    assert other.read_file("/a") == b"x"
    assert files == {"/a": b"x"}


def test_the_environment_is_not_the_process_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAG_TEST_MEMORY", "outside")
    assert MemoryIO().get_env("OAG_TEST_MEMORY") == ""
