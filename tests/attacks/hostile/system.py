"""Attempts on the kernel: parts of it that are large, or that change the machine."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import socket
from pathlib import Path
from platform import machine

from tests.attacks.hostile.attempt import LIBC, World, attempt, checked, system_call

NEW_USER = 0x10000000
NEW_NET = 0x40000000
TIOCSTI = 0x5412


@attempt("call the kernel as a 32-bit program does", rare=True)
def old_calls(_: World) -> None:
    assert machine() == "x86_64"
    code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7)
    code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
    where = ctypes.addressof(ctypes.c_char.from_buffer(code))
    assert ctypes.CFUNCTYPE(ctypes.c_int)(where)() == os.getpid()


@attempt("set up an io_uring", rare=True)
def io_uring(_: World) -> None:
    os.close(system_call("io_uring_setup", 8, ctypes.create_string_buffer(256)))


@attempt("make a user namespace", rare=True)
def user_namespace(_: World) -> None:
    checked(LIBC.unshare(NEW_USER))


@attempt("make a network namespace", root=True, rare=True)
def network_namespace(_: World) -> None:
    checked(LIBC.unshare(NEW_NET))


@attempt("enter a namespace", root=True, rare=True)
def enter_namespace(_: World) -> None:
    handle = os.open("/proc/self/ns/net", os.O_RDONLY)
    checked(LIBC.setns(handle, NEW_NET))


@attempt("mount something", root=True, rare=True)
def mount(world: World) -> None:
    folder = f"{world.scratch}/mounted".encode()
    Path(world.scratch, "mounted").mkdir()
    checked(LIBC.mount(b"none", folder, b"tmpfs", 0, None))
    checked(LIBC.umount2(folder, 0))


@attempt("mount something by the newer calls", root=True, rare=True)
def open_filesystem(_: World) -> None:
    os.close(system_call("fsopen", b"tmpfs\0", 0))


@attempt("move its root", root=True, rare=True)
def move_root(world: World) -> None:
    os.chroot(world.outside)


@attempt("load a map of BPF", root=True, rare=True)
def bpf(_: World) -> None:
    array = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    os.close(system_call("bpf", 0, ctypes.byref(array), ctypes.sizeof(array)))


@attempt("count events of the processor", root=True, rare=True)
def perf(_: World) -> None:
    attributes = (ctypes.c_uint32 * 32)(1, 128)
    os.close(system_call("perf_event_open", ctypes.byref(attributes), 0, -1, -1, 0))


@attempt("handle page faults itself", root=True, rare=True)
def userfault(_: World) -> None:
    os.close(system_call("userfaultfd", os.O_CLOEXEC))


@attempt("put a key into the kernel", rare=True)
def add_key(_: World) -> None:
    system_call("add_key", b"user\0", b"evil\0", b"x", 1, -2)  # the process's own keyring


@attempt("change its personality", rare=True)
def personality(_: World) -> None:
    checked(LIBC.personality(ctypes.c_ulong(0x0040000)))


@attempt("take secret memory", rare=True)
def secret_memory(_: World) -> None:
    os.close(system_call("memfd_secret", 0))


@attempt("watch the whole machine's files", root=True, rare=True)
def watch_all(_: World) -> None:
    os.close(system_call("fanotify_init", 0, 0))


@attempt("read the kernel's log", root=True, rare=True)
def kernel_log(_: World) -> None:
    checked(LIBC.klogctl(10, None, 0))


@attempt("set the clock", root=True, rare=True)
def clock(_: World) -> None:
    system_call("settimeofday", 0, 0)  # asks for the right to, and changes nothing


@attempt("set the machine's name", root=True, rare=True)
def machine_name(_: World) -> None:
    socket.sethostname(socket.gethostname())


@attempt("type into the host's terminal", root=True, rare=True)
def terminal(world: World) -> None:
    fcntl.ioctl(world.terminal, TIOCSTI, b"x")


@attempt("ask the size of the machine's disks")
def disks(_: World) -> object:
    return os.statvfs("/")


@attempt("open a queue of messages", rare=True)
def message_queue(world: World) -> None:
    name = f"evil-{world.parent}\0".encode()
    os.close(system_call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, 0))
    checked(LIBC.mq_unlink(b"/" + name))
