"""Attempts to start processes, and on the process of the host."""

# ruff: noqa: S606 - starting other programs is what is tried

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import subprocess
from pathlib import Path

from tests.attacks.hostile.attempt import (
    LIBC,
    SECRET,
    World,
    attempt,
    checked,
    system_call,
)

TRUE = "/bin/true"
SEIZE = 0x4206
VFORK = 0x4000
NEW_USER = 0x10000000


class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def pieces(local: ctypes.Array[ctypes.c_char], address: int) -> tuple[object, object]:
    here = Piece(ctypes.addressof(local), len(local))
    there = Piece(address, len(local))
    return ctypes.byref(here), ctypes.byref(there)


def end_child(pid: int) -> None:
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attempt("fork")
def fork(_: World) -> None:
    end_child(os.fork())


@attempt("fork as vfork does")
def vfork(_: World) -> None:
    end_child(system_call("clone", VFORK | signal.SIGCHLD, 0, 0, 0, 0))


@attempt("fork by the newest call", rare=True)
def clone3(_: World) -> None:
    words = (ctypes.c_uint64 * 8)(0, 0, 0, 0, signal.SIGCHLD)
    end_child(system_call("clone3", ctypes.byref(words), ctypes.sizeof(words)))


@attempt("fork into a user namespace", rare=True)
def clone_namespace(_: World) -> None:
    end_child(system_call("clone", NEW_USER | signal.SIGCHLD, 0, 0, 0, 0))


@attempt("become another program", replaces=True)
def execute(_: World) -> None:
    os.execv(TRUE, ["true"])


@attempt("become a program in memory", replaces=True)
def execute_memory(_: World) -> None:
    handle = os.memfd_create("evil")
    os.write(handle, Path(TRUE).read_bytes())
    os.execve(handle, ["true"], {})


@attempt("become a program in scratch", replaces=True)
def execute_scratch(world: World) -> None:
    path = f"{world.scratch}/program"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o700)
    os.write(handle, f"#!{TRUE}\n".encode())
    os.close(handle)
    os.execv(path, [path])


@attempt("run another program")
def run(_: World) -> None:
    subprocess.run([TRUE], check=True)


@attempt("run another program by posix_spawn")
def spawn(_: World) -> None:
    os.waitpid(os.posix_spawn(TRUE, ["true"], {}), 0)


@attempt("signal the host")
def kill(world: World) -> None:
    os.kill(world.parent, signal.SIGUSR1)


@attempt("signal the host's thread by tgkill")
def tgkill(world: World) -> None:
    system_call("tgkill", world.parent, world.parent, int(signal.SIGUSR1))


@attempt("signal the host's thread by tkill")
def tkill(world: World) -> None:
    system_call("tkill", world.parent, int(signal.SIGUSR1))


@attempt("signal the host with data")
def queue(world: World) -> None:
    info = ctypes.create_string_buffer(128)
    ctypes.c_int.from_buffer(info, 8).value = -1  # SI_QUEUE
    system_call("rt_sigqueueinfo", world.parent, int(signal.SIGUSR1), info)


@attempt("signal the host through the owner of a pipe")
def pipe_owner(world: World) -> None:
    one, other = os.pipe()
    fcntl.fcntl(one, fcntl.F_SETOWN, world.parent)
    fcntl.fcntl(one, 10, int(signal.SIGUSR1))  # F_SETSIG
    fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
    os.write(other, b"x")


@attempt("open the host's process")
def pidfd(world: World) -> None:
    os.close(system_call("pidfd_open", world.parent, 0))


@attempt("signal the host by its descriptor")
def pidfd_signal(world: World) -> None:
    handle = system_call("pidfd_open", world.parent, 0)
    system_call("pidfd_send_signal", handle, int(signal.SIGUSR1), 0, 0)


@attempt("take a descriptor out of the host", rare=True)
def pidfd_getfd(world: World) -> None:
    handle = system_call("pidfd_open", world.parent, 0)
    os.close(system_call("pidfd_getfd", handle, 1, 0))


@attempt("compare descriptors with the host's", rare=True)
def compare(world: World) -> None:
    system_call("kcmp", os.getpid(), world.parent, 0, 1, 1)


@attempt("trace the host", rare=True)
def trace(world: World) -> None:
    checked(LIBC.ptrace(SEIZE, world.parent, None, None))


@attempt("open the host's memory", rare=True)
def open_memory(world: World) -> None:
    with Path(f"/proc/{world.parent}/mem").open("r+b", buffering=0) as memory:
        memory.seek(world.address)
        assert memory.read(len(SECRET)) == SECRET.encode()


@attempt("read the host's memory", rare=True)
def read_memory(world: World) -> None:
    buffer = ctypes.create_string_buffer(len(SECRET))
    system_call("process_vm_readv", world.parent, *_sized(*pieces(buffer, world.address)), 0)
    assert buffer.raw == SECRET.encode()


@attempt("write the host's memory", rare=True)
def write_memory(world: World) -> None:
    buffer = ctypes.create_string_buffer(b"X" * len(SECRET), len(SECRET))
    system_call("process_vm_writev", world.parent, *_sized(*pieces(buffer, world.address)), 0)


def _sized(here: object, there: object) -> tuple[object, ...]:
    return here, 1, there, 1


@attempt("change the processors of the host")
def affinity(world: World) -> None:
    os.sched_setaffinity(world.parent, os.sched_getaffinity(world.parent))


@attempt("run on other processors than it was given")
def own_affinity(_: World) -> None:
    os.sched_setaffinity(0, os.sched_getaffinity(0))


@attempt("change the priority of the host")
def priority(world: World) -> None:
    os.setpriority(os.PRIO_PROCESS, world.parent, os.getpriority(os.PRIO_PROCESS, world.parent))


@attempt("run before everybody else", root=True, rare=True)
def scheduler(_: World) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@attempt("change the limits of the host")
def limits(world: World) -> None:
    held = resource.prlimit(world.parent, resource.RLIMIT_CORE)
    resource.prlimit(world.parent, resource.RLIMIT_CORE, held)


@attempt("raise its own limits")
def own_limits(_: World) -> None:
    hard = max(600, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))


@attempt("outlive the host")
def outlive(_: World) -> None:
    checked(LIBC.prctl(1, 0, 0, 0, 0))  # PR_SET_PDEATHSIG


@attempt("leave the host's session")
def session(_: World) -> None:
    os.setsid()


@attempt("become another user", root=True)
def user(_: World) -> None:
    os.setuid(65534)


@attempt("give itself groups", root=True)
def groups(_: World) -> None:
    os.setgroups([65534])
