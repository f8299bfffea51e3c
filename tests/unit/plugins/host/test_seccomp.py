"""The filter, run by a small machine of our own for both processors, and by the kernel."""

from __future__ import annotations

import errno
import faulthandler
import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.plugins.host import kernel, seccomp, syscalls
from openautoglm.plugins.host.seccomp import ABSENT, ALLOW, KILL, REFUSE, Instruction
from openautoglm.plugins.host.syscalls import COLUMNS, Machine

PID = 4321
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
UNFILTERED = {335, 336}  # probes of x86-64: past every filter, and SIGILL outside the kernel's page
both = pytest.mark.parametrize("machine", COLUMNS)


def run(code: tuple[Instruction, ...], number: int, audit: int, *arguments: int) -> int:
    """Run classic BPF over one call, as the kernel does."""
    words = {0: number, 4: audit}
    for place, value in enumerate(arguments):
        words[16 + 8 * place] = value & 0xFFFFFFFF
        words[20 + 8 * place] = value >> 32 & 0xFFFFFFFF
    accumulator = at = 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == 0x20:
            accumulator = words.get(constant, 0)
        elif operation == 0x54:
            accumulator &= constant
        elif operation == 0x06:
            return constant
        else:
            holds = {
                0x15: accumulator == constant,
                0x35: accumulator >= constant,
                0x45: bool(accumulator & constant),
            }[operation]
            at += if_true if holds else if_false


def verdict(machine: Machine, name: str, *arguments: int, memfd: bool = False) -> int:
    number = {**syscalls.free(machine), **syscalls.judged(machine)}[name]
    code = seccomp.program(machine, pid=PID, memfd=memfd)
    return run(code, number, AUDIT[machine], *arguments)


@both
def test_every_free_call_is_allowed_with_any_arguments(machine: Machine) -> None:
    code = seccomp.program(machine, pid=PID)
    for number in syscalls.free(machine).values():
        assert run(code, number, AUDIT[machine], 2**64 - 1, 2**63) == ALLOW


@both
@given(number=st.integers(0, syscalls.NEWEST))
def test_no_call_is_allowed_that_is_not_listed(machine: Machine, number: int) -> None:
    listed = {*syscalls.free(machine).values(), *syscalls.judged(machine).values()}
    answer = run(seccomp.program(machine, pid=PID), number, AUDIT[machine])
    assert number in listed or answer == REFUSE


@both
def test_calls_newer_than_the_list_are_absent(machine: Machine) -> None:
    code = seccomp.program(machine, pid=PID)
    assert run(code, syscalls.NEWEST + 1, AUDIT[machine]) == ABSENT
    assert run(code, 999, AUDIT[machine]) == ABSENT


@both
def test_calls_of_another_processors_abi_end_the_process(machine: Machine) -> None:
    code = seccomp.program(machine, pid=PID)
    assert run(code, 20, 0x40000003) == KILL  # 32-bit x86, through int 0x80
    assert run(code, 20, AUDIT["aarch64" if machine == "x86_64" else "x86_64"]) == KILL


def test_numbers_of_the_x32_abi_are_refused() -> None:
    code = seccomp.program("x86_64", pid=PID)
    for number in syscalls.free("x86_64").values():
        assert run(code, 0x40000000 | number, AUDIT["x86_64"]) == REFUSE


@both
def test_a_thread_may_be_started_and_nothing_else(machine: Machine) -> None:
    thread = 0x3D0F00
    assert verdict(machine, "clone", thread) == ALLOW
    assert verdict(machine, "clone", thread | 0x400000) == ALLOW
    for flags in (17, 0x4000 | 17, thread & ~0x10000, thread | 0x10000000, thread | 1 << 32):
        assert verdict(machine, "clone", flags) == REFUSE
    assert verdict(machine, "clone3", 0, 88) == ABSENT


@both
def test_a_worker_may_signal_itself_alone(machine: Machine) -> None:
    for name in ("kill", "tgkill"):
        assert verdict(machine, name, PID, PID) == ALLOW
        for pid in (1, 0, PID + 1, 2**64 - 1, 2**64 - PID):
            assert verdict(machine, name, pid, PID) == REFUSE


@both
def test_a_file_is_not_emptied_by_opening_it_for_reading(machine: Machine) -> None:
    assert verdict(machine, "openat", 3, 0, os.O_RDONLY | os.O_TRUNC) == REFUSE
    assert verdict(machine, "openat", 3, 0, os.O_RDONLY | os.O_TRUNC | os.O_CREAT) == REFUSE
    assert verdict(machine, "openat", 3, 0, os.O_RDONLY | os.O_CLOEXEC) == ALLOW
    assert verdict(machine, "openat", 3, 0, os.O_WRONLY | os.O_TRUNC) == ALLOW


@both
def test_mappings_that_no_limit_counts_are_refused(machine: Machine) -> None:
    shared, private, anonymous = 0x1, 0x2, 0x20
    for flags in (private, shared, private | anonymous, private | anonymous | 0x20000):
        assert verdict(machine, "mmap", 0, 1, 3, flags) == ALLOW
    for flags in (shared | anonymous, private | anonymous | 0x100, private | anonymous | 0x40000):
        assert verdict(machine, "mmap", 0, 1, 3, flags) == REFUSE


@both
def test_memory_files_are_made_only_where_that_was_said(machine: Machine) -> None:
    assert verdict(machine, "memfd_create", 0, 3) == REFUSE
    assert verdict(machine, "memfd_create", 0, 3, memfd=True) == ALLOW
    assert verdict(machine, "memfd_create", 0, 4, memfd=True) == REFUSE  # huge pages


@both
def test_sockets_are_pairs_without_an_address(machine: Machine) -> None:
    assert verdict(machine, "socketpair", 1, 1 | 0o2000000) == ALLOW
    assert verdict(machine, "socketpair", 1, 5 | 0o4000) == ALLOW
    assert verdict(machine, "socketpair", 1, 2) == REFUSE  # datagrams take an address
    assert verdict(machine, "socketpair", 16, 5) == REFUSE
    assert verdict(machine, "sendto", 3, 0, 1, 0, 0) == ALLOW
    assert verdict(machine, "sendto", 3, 0, 1, 0, 1) == REFUSE
    assert verdict(machine, "sendto", 3, 0, 1, 0, 1 << 32) == REFUSE
    assert verdict(machine, "setsockopt", 3, 1, 20) == ALLOW
    assert verdict(machine, "setsockopt", 3, 1, 26) == REFUSE
    assert verdict(machine, "setsockopt", 3, 6, 20) == REFUSE


@both
@pytest.mark.parametrize(
    ("name", "place", "good", "bad"),
    [
        ("fcntl", 1, (0, 1, 2, 3, 4, 1030, 1033, 1034), (8, 10, 15, 1024, 1026, 1031)),
        ("ioctl", 1, (0x5401, 0x541B, 0x5421, 0x5450, 0x5451), (0x5412, 0x541C, 0x5452, 0x8901)),
        ("prctl", 0, (2, 3, 15, 16, 21, 39), (1, 4, 22, 23, 24, 28, 35, 38, 47, 0x59616D61)),
        ("prlimit64", 0, (0, PID), (1, PID + 1)),
    ],
)
def test_arguments_decide(
    machine: Machine, name: str, place: int, good: tuple[int, ...], bad: tuple[int, ...]
) -> None:
    before = (7,) * place
    assert {verdict(machine, name, *before, value) for value in good} == {ALLOW}
    assert {verdict(machine, name, *before, value) for value in bad} == {REFUSE}


@both
def test_every_jump_lands_inside_the_program(machine: Machine) -> None:
    code = seccomp.program(machine, pid=PID)
    assert len(code) <= 4096
    for at, (operation, if_true, if_false, _) in enumerate(code):
        if operation not in {0x20, 0x54, 0x06}:
            assert max(if_true, if_false) <= 255
            assert at + 1 + max(if_true, if_false) < len(code)
    assert code[-1][0] == 0x06


@both
def test_numbers_are_those_of_the_kernels_headers(machine: Machine) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    known = {
        name.removeprefix("3264_"): int(number)
        for name, number in re.findall(r"#define __NR_?(\w+)\s+(\d+)\b", header.read_text())
    }
    known |= {name.removeprefix("_"): number for name, number in known.items()}
    spelt = {"newfstatat": "fstatat", "fadvise64": "fadvise64", "sendfile": "sendfile"}
    ours = {**syscalls.free(machine), **syscalls.judged(machine)}
    compared = 0
    for name, number in ours.items():
        found = known.get(name, known.get(spelt.get(name, "")))
        if found is not None:
            assert found == number, name
            compared += 1
    assert compared >= len(ours) - 4


@pytest.mark.skipif(not seccomp.is_available(), reason="the kernel takes no seccomp filters")
def test_the_kernel_takes_the_filter_and_answers_as_it_says() -> None:
    pid = os.fork()
    if pid == 0:
        seccomp.install(seccomp.own_program())
        try:
            os.setsid()
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EPERM


@pytest.mark.skipif(not seccomp.is_available(), reason="the kernel takes no seccomp filters")
def test_the_kernel_refuses_every_call_that_is_not_listed() -> None:
    target = seccomp.machine()
    assert target is not None
    tried = set(range(syscalls.NEWEST + 20)) - UNFILTERED
    tried -= {*syscalls.free(target).values(), *syscalls.judged(target).values()}
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        seccomp.install(seccomp.own_program())
        got = []
        if "Seccomp:\t2" in Path("/proc/self/status").read_text():  # else they would be made
            for number in tried:
                try:
                    kernel.syscall(number)
                except OSError as error:
                    got.append(f"{number}:{error.errno}")
        os.write(writing, " ".join(got).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answers = dict(answer.split(":") for answer in pipe.read().split())
    os.waitpid(pid, 0)
    assert len(answers) == len(tried) > 250
    for call, code in answers.items():
        assert int(code) == (errno.EPERM if int(call) <= syscalls.NEWEST else errno.ENOSYS)


@pytest.mark.skipif(not seccomp.is_available(), reason="the kernel takes no seccomp filters")
def test_a_worker_can_still_abort() -> None:
    pid = os.fork()
    if pid == 0:
        seccomp.install(seccomp.own_program())
        faulthandler.disable()  # its report would be this process's
        os.abort()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGABRT
