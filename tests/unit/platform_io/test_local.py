"""What the operating system's driver keeps, and what it leaves behind when it fails."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import InputNotFoundError, OutputWriteError, PlatformError
from openautoglm.platform_io import replacing
from openautoglm.platform_io.local import LocalIO

if TYPE_CHECKING:
    from pathlib import Path

needs_posix = pytest.mark.skipif(os.name != "posix", reason="about POSIX permissions and limits")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def run_python(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *args],
        check=True,
        capture_output=True,
        text=True,
    )


@needs_posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_of_a_replaced_file_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    LocalIO().write_file(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@needs_posix
def test_a_new_file_has_the_mode_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        LocalIO().write_file(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@needs_posix
def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/a")
    LocalIO().write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


@needs_posix
def test_a_device_is_written_through_and_not_replaced() -> None:
    LocalIO().write_file(os.devnull, b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)  # noqa: PTH116 - os.devnull is a str


@needs_posix
def test_a_full_device_is_an_output_write_error() -> None:
    with pytest.raises(OutputWriteError, match="no room for 3 bytes"):
        LocalIO().write_file("/dev/full", b"abc")


@needs_posix
def test_a_write_that_finds_no_room_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    done = run_python(
        """
        import resource, sys
        from openautoglm.errors import OutputWriteError
        from openautoglm.platform_io.local import LocalIO
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            LocalIO().write_file(sys.argv[1], bytes(100_000))
        except OutputWriteError as error:
            print(error.problem)
        """,
        str(tmp_path / "a"),
    )
    assert done.stdout == "no room for 100000 bytes\n"
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@needs_posix
def test_a_process_killed_while_it_writes_leaves_one_whole_version(tmp_path: Path) -> None:
    program = """
        import sys
        from openautoglm.platform_io.local import LocalIO
        for turn in range(10_000_000):
            LocalIO().write_file(sys.argv[1], b"%d" % (turn % 10) * 300_000)
            print(turn, flush=True)
    """
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a")],
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(5):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        content = (tmp_path / "a").read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1


@needs_posix
def test_no_permission_names_the_path_for_reading_and_writing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o500)
    tmp_path.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(tmp_path / "secret", 65534, 65534)
    program = """
        import os, sys
        from openautoglm.errors import InputNotFoundError, OutputWriteError
        from openautoglm.platform_io.local import LocalIO
        io = LocalIO()
        if os.geteuid() == 0:
            os.setuid(65533)
        os.chdir(sys.argv[1])
        for act in (
            lambda: io.read_file("secret"),
            lambda: io.write_file("secret", b"y"),
            lambda: io.write_file("closed/new", b"y"),
        ):
            try:
                act()
            except (InputNotFoundError, OutputWriteError) as error:
                print(error.code, error.problem, error.got)
    """
    for folder in reversed(tmp_path.parents[:3]):
        if folder.owner() == tmp_path.owner():
            folder.chmod(folder.stat().st_mode | 0o011)
    done = run_python(program, str(tmp_path))
    assert done.stdout.splitlines() == [
        "OAG501 the file may not be read secret",
        "OAG503 writing is not allowed here secret",
        "OAG503 writing is not allowed here closed/new",
    ]
    (tmp_path / "closed").chmod(0o700)


def test_a_relative_path_is_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    LocalIO().write_file("a.txt", b"x")
    assert names(tmp_path) == ["a.txt"]
    assert LocalIO().read_file("a.txt") == b"x"


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(InputNotFoundError):
        LocalIO().read_file(tmp_path / "a" / "b")
    with pytest.raises(OutputWriteError, match="does not exist"):
        LocalIO().write_file(tmp_path / "a" / "b", b"y")


def test_a_rename_that_fails_leaves_nothing_beside_the_target(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        replacing._replace(tmp_path / "taken", b"new", None, replacing.Abilities())
    assert names(tmp_path) == ["taken"]


def test_a_name_too_long_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OutputWriteError, match="too long"):
        LocalIO().write_file(tmp_path / ("n" * 300), b"x")
    with pytest.raises(PlatformError, match="too long"):
        LocalIO().read_file(tmp_path / ("n" * 300))
    assert names(tmp_path) == []


def test_the_environment_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAG_TEST_LOCAL", "now")
    assert LocalIO().get_env("OAG_TEST_LOCAL") == "now"
