"""What the sandbox refuses, closes, scrubs and limits; hostile attempts are in tests/attacks."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import SandboxUnavailableError
from openautoglm.plugins.host import kernel
from openautoglm.plugins.host.limits import (
    MIB,
    ResourceLimits,
    bytes_beneath,
    chosen_cores,
    held_bytes,
)
from openautoglm.plugins.host.sandbox import (
    Sandbox,
    Support,
    own_folders,
    refuse_unsupported,
    supported,
)
from openautoglm.plugins.manifest import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

needs_sandbox = pytest.mark.skipif(not supported().sandbox, reason="; ".join(supported().reasons))


def in_child(work: Callable[[int], object]) -> str:
    """Run it in a child process and return what it returned, or what it raised, as text.

    It is given the descriptor by which it reports.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(work(writing))
        except BaseException as error:  # noqa: BLE001 - any outcome is the result
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


def confined(scratch: Path, work: Callable[[], object], *kept: int) -> str:
    """Run it in a child process that is confined first."""

    def both(report: int) -> object:
        Sandbox(
            "L2",
            ResourceLimits(),
            scratch,
            keep_fds=(report, *kept),
            variables={"PLUGIN": "acme"},
        ).apply()
        return work()

    return in_child(both)


@pytest.mark.parametrize(
    ("machine", "abi", "filters", "word"),
    [
        ("x86_64", 0, 1, "Landlock"),
        ("x86_64", 7, 0, "seccomp"),
        ("riscv64", 7, 1, "riscv64"),
        ("riscv64", 0, 0, "; "),
    ],
)
def test_what_lacks_a_part_is_not_called_a_sandbox(
    machine: str,
    abi: int,
    filters: int,
    word: str,
) -> None:
    support = Support.judge(
        machine=machine, landlock_abi=abi, has_seccomp=bool(filters), has_seals=True
    )
    assert not support.sandbox
    with pytest.raises(SandboxUnavailableError) as caught:
        refuse_unsupported(support)
    assert word in str(caught.value.got)
    assert caught.value.fix


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("abi", range(1, 9))
def test_every_version_of_landlock_will_do(machine: str, abi: int) -> None:
    support = Support.judge(machine=machine, landlock_abi=abi, has_seccomp=True, has_seals=True)
    assert support.sandbox
    refuse_unsupported(support)


@needs_sandbox
def test_a_process_with_a_second_thread_is_refused(tmp_path: Path) -> None:
    enough = threading.Event()

    def work(_: int) -> None:
        threading.Thread(target=enough.wait, daemon=True).start()
        Sandbox("L2", ResourceLimits(), tmp_path).apply()

    said = in_child(work)
    assert "SandboxUnavailableError" in said
    assert "2 threads" in said


@needs_sandbox
def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    def work(_: int) -> None:
        Sandbox("L2", ResourceLimits(), tmp_path, readable=(tmp_path / "absent",)).apply()

    assert "absent" in in_child(work)


@needs_sandbox
def test_the_environment_is_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    text = confined(tmp_path, lambda: (dict(os.environ), str(Path.cwd())))
    assert "secret" not in text
    for pair in ("'LANG': 'C.UTF-8'", "'OMP_NUM_THREADS': '3'", "'PLUGIN': 'acme'"):
        assert pair in text
    assert text.count(str(tmp_path)) == 3  # HOME, TMPDIR and the working folder


@needs_sandbox
def test_descriptors_are_closed_except_those_named(tmp_path: Path) -> None:
    kept, lost = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)

    try:
        assert "os.stat_result" in confined(tmp_path, lambda: os.fstat(kept), kept)
        assert "Bad file descriptor" in confined(tmp_path, lambda: os.fstat(lost), kept)
    finally:
        os.close(kept)
        os.close(lost)


@needs_sandbox
def test_a_worker_still_dies_with_its_host(tmp_path: Path) -> None:
    def work(report: int) -> object:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, int(signal.SIGKILL))
        Sandbox("L2", ResourceLimits(), tmp_path, keep_fds=(report,)).apply()
        told = ctypes.c_int()
        kernel.prctl(2, ctypes.addressof(told))
        return told.value

    assert in_child(work) == str(int(signal.SIGKILL))


@needs_sandbox
def test_capabilities_are_gone(tmp_path: Path) -> None:
    text = confined(tmp_path, Path("/proc/self/status").read_text)
    for line in ("CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in text
    assert "Seccomp:\t2" in text


@needs_sandbox
def test_what_is_found_outside_by_stat_is_not_hidden(tmp_path: Path) -> None:
    """A known leak, told of in docs/isolation.md; when it closes, the page changes."""
    assert confined(tmp_path, lambda: Path("/etc/passwd").stat().st_size > 0) == "True"


def test_l1_sets_limits_and_nothing_else(tmp_path: Path) -> None:
    def work(_: int) -> object:
        Sandbox("L1", ResourceLimits(open_files=50), tmp_path).apply()
        return resource.getrlimit(resource.RLIMIT_NOFILE), os.listdir("/")[:0]  # noqa: PTH208 - it works at all

    assert in_child(work) == "((50, 50), [])"


def test_limits_add_to_what_the_process_holds() -> None:
    numbers = ResourceLimits(memory_bytes=10, address_bytes=5, cpu_s=3).as_rlimits(
        held_data=100, held_address=1000
    )
    assert numbers[resource.RLIMIT_DATA] == 110
    assert numbers[resource.RLIMIT_AS] == 1015
    assert numbers[resource.RLIMIT_CPU] == 3
    assert numbers[resource.RLIMIT_CORE] == 1


def test_limits_are_those_of_the_manifest() -> None:
    declared = Limits(memory_mb=100, files=32, scratch_mb=7, cpu_share=1.5)
    assert ResourceLimits.declared(declared) == ResourceLimits(
        memory_bytes=100 * MIB, open_files=32, file_bytes=7 * MIB, cores=2
    )


@needs_sandbox
def test_a_worker_stays_on_its_cores(tmp_path: Path) -> None:
    def work(report: int) -> object:
        Sandbox("L2", ResourceLimits(cores=1), tmp_path, keep_fds=(report,)).apply()
        held = os.sched_getaffinity(0)
        with pytest.raises(PermissionError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        return len(held)

    assert in_child(work) == "1"


@given(st.sets(st.integers(0, 63), min_size=1), st.integers(1, 64), st.integers(0, 99_999))
def test_cores_are_chosen_among_those_that_are_free(free: set[int], wanted: int, turn: int) -> None:
    chosen = chosen_cores(free, wanted, turn)
    assert chosen <= free
    assert len(chosen) == min(wanted, len(free))


@needs_sandbox
def test_a_kernel_without_landlock_is_told_in_words(tmp_path: Path) -> None:
    def work(report: int) -> None:
        Sandbox("L2", ResourceLimits(), tmp_path, keep_fds=(report,), abi=0).apply()

    said = in_child(work)
    assert "SandboxUnavailableError" in said
    assert "no Landlock" in said


def test_limits_that_are_lower_already_stay() -> None:
    def work(_: int) -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lower, lower))
        ResourceLimits(open_files=lower + 10).apply()
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    lower = 100 + max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    assert in_child(work) == f"({lower}, {lower})"


def test_a_loop_over_the_limit_of_processor_time_is_ended() -> None:
    pid = os.fork()
    if pid == 0:
        ResourceLimits(cpu_s=1).apply()
        while True:
            pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {-signal.SIGXCPU, -signal.SIGKILL}


def test_memory_that_is_held_counts_as_held() -> None:
    address, data = held_bytes()
    kept = bytearray(64 * MIB)
    assert held_bytes()[0] >= address + len(kept)
    assert held_bytes()[1] >= data + len(kept)


def test_the_space_of_a_scratch_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "link").symlink_to("/usr")
    assert MIB <= bytes_beneath(tmp_path) < 2 * MIB


def test_packages_are_readable_wherever_python_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, other = tmp_path / "lib/site-packages", tmp_path / "work"
    monkeypatch.setattr(sys, "path", [*sys.path, str(user), str(other), ""])
    own_folders.cache_clear()
    try:
        folders = own_folders()
        assert user in folders
        assert not {other, Path(), Path.cwd()} & set(folders)
        assert {Path(os.__file__).parent, Path(pytest.__file__).parents[1]} <= set(folders)
    finally:
        own_folders.cache_clear()
