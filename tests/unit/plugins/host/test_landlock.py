"""What is asked of every version of Landlock, and what a confined child may touch."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from openautoglm.plugins.host import landlock
from openautoglm.plugins.host.landlock import READ, WORK, Right, Rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_landlock = pytest.mark.skipif(landlock.kernel_abi() < 1, reason="the kernel has no Landlock")


@pytest.mark.parametrize(
    ("abi", "bits", "words"),
    [
        (1, 13, (0x1FFF,)),
        (2, 14, (0x3FFF,)),
        (3, 15, (0x7FFF,)),
        (4, 15, (0x7FFF, 3)),
        (5, 16, (0xFFFF, 3)),
        (6, 16, (0xFFFF, 3, 3)),
        (7, 16, (0xFFFF, 3, 3)),
    ],
)
def test_an_older_kernel_is_asked_for_what_it_knows(
    abi: int, bits: int, words: tuple[int, ...]
) -> None:
    attributes, handled = landlock.ruleset(abi)
    assert int(handled).bit_count() == bits
    assert struct.unpack(f"={len(words)}Q", attributes) == words


def test_a_scratch_folder_holds_plain_files_and_folders_only() -> None:
    odd = Right.MAKE_SYM | Right.MAKE_FIFO | Right.MAKE_SOCK | Right.MAKE_CHAR | Right.MAKE_BLOCK
    assert not WORK & (odd | Right.EXECUTE | Right.IOCTL_DEV)
    assert not READ & (WORK ^ READ)


def in_child(work: Callable[[], object]) -> str:
    """Run it in a child and return what it raised, or ""."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - any outcome is the result
            said = f"{type(error).__name__} {getattr(error, 'errno', '')}"
        os.write(writing, said.encode() or b"-")
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read().strip("-")


@needs_landlock
@pytest.mark.parametrize("abi", range(1, landlock.kernel_abi() + 1))
def test_reading_and_working_are_told_apart(tmp_path: Path, abi: int) -> None:
    for name in ("read", "work", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    rules = (Rule(tmp_path / "read", READ), Rule(tmp_path / "work", WORK))

    def confined(path: str, mode: str) -> str:
        def work() -> None:
            landlock.restrict(rules, abi=abi)
            with (tmp_path / path).open(mode):
                pass

        return in_child(work)

    assert confined("read/file", "r") == ""
    assert confined("work/file", "r+") == ""
    assert confined("work/new", "w") == ""
    assert confined("read/file", "r+") == "PermissionError 13"
    assert confined("read/new", "w") == "PermissionError 13"
    assert confined("other/file", "r") == "PermissionError 13"


@needs_landlock
def test_a_rule_may_name_one_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("x")

    def work() -> None:
        landlock.restrict([Rule(tmp_path / "one", WORK)])
        assert (tmp_path / "one").read_text() == "x"
        (tmp_path / "two").read_text()

    assert in_child(work) == "PermissionError 13"


@needs_landlock
def test_a_rule_about_nothing_is_an_error_and_confines_nothing(tmp_path: Path) -> None:
    def work() -> None:
        with pytest.raises(FileNotFoundError):
            landlock.restrict([Rule(tmp_path / "absent", READ)])
        os.listdir(tmp_path)  # noqa: PTH208 - any read will do

    assert in_child(work) == ""


def test_a_kernel_without_it_is_an_error() -> None:
    with pytest.raises(OSError, match="no Landlock"):
        landlock.restrict([], abi=0)
