"""Attempts on memory: to write what was handed out for reading, and to take more than allowed."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from pathlib import Path

from tests.attacks.hostile.attempt import LIBC, World, attempt, checked

GIB = 1 << 30
GROWS_DOWN = 0x100


def take(memory: mmap.mmap) -> None:
    """Touch a page in every 2 MiB: the address space is not the point."""
    for offset in range(0, len(memory), 2 << 20):
        memory[offset] = 1


@attempt("write a tensor that was handed out for reading")
def write_tensor(world: World) -> None:
    os.pwrite(world.tensor, b"evil", 0)


@attempt("map a tensor for writing")
def map_tensor(world: World) -> None:
    with mmap.mmap(world.tensor, 4096) as memory:
        memory[0] = 1


@attempt("make the mapping of a tensor writable")
def protect_tensor(world: World) -> None:
    LIBC.mmap.restype = ctypes.c_void_p
    size, shared = ctypes.c_size_t(4096), ctypes.c_long(0)
    where = LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, world.tensor, shared)
    checked(LIBC.mprotect(ctypes.c_void_p(where), size, mmap.PROT_READ | mmap.PROT_WRITE))
    ctypes.memset(where, 1, 1)


@attempt("open a tensor anew for writing")
def reopen_tensor(world: World) -> None:
    descriptor = os.open(f"/proc/self/fd/{world.tensor}", os.O_RDWR)
    os.pwrite(descriptor, b"evil", 0)


@attempt("cut a tensor off under the host")
def cut_tensor(world: World) -> None:
    os.ftruncate(world.tensor, 0)


@attempt("punch a hole into a tensor")
def punch_tensor(world: World) -> None:
    size = ctypes.c_long(4096)
    checked(LIBC.fallocate(world.tensor, 3, ctypes.c_long(0), size))


@attempt("give the pages of a tensor back through its mapping")
def drop_tensor(world: World) -> None:
    memory = mmap.mmap(world.tensor, 4096)
    memory.madvise(mmap.MADV_REMOVE)


@attempt("take a GiB of memory")
def allocate(_: World) -> None:
    take(mmap.mmap(-1, GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


@attempt("take a GiB through the C library")
def allocate_c(_: World) -> None:
    LIBC.malloc.restype = ctypes.c_void_p
    where = LIBC.malloc(ctypes.c_size_t(GIB))
    if where is None:
        raise MemoryError
    ctypes.memset(where + GIB // 2, 1, 1)


@attempt("take a GiB of shared memory, which limits of private memory do not count")
def allocate_shared(_: World) -> None:
    take(mmap.mmap(-1, GIB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))


@attempt("take a GiB as a stack, which limits of private memory do not count")
def allocate_stack(_: World) -> None:
    take(mmap.mmap(-1, GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | GROWS_DOWN))


@attempt("take a GiB reserved first and made writable later")
def allocate_later(_: World) -> None:
    LIBC.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    where = LIBC.mmap(None, ctypes.c_size_t(GIB), 0, flags, -1, ctypes.c_long(0))
    checked(LIBC.mprotect(ctypes.c_void_p(where), ctypes.c_size_t(GIB), 3))
    ctypes.memset(where, 1, 1)


@attempt("take a GiB from /dev/zero")
def allocate_zero(_: World) -> None:
    with Path("/dev/zero").open("r+b") as file:
        take(mmap.mmap(file.fileno(), GIB))


@attempt("take a GiB in memory files, one after the other")
def allocate_files(_: World) -> None:
    for _number in range(1024):
        handle = os.memfd_create("evil")
        os.ftruncate(handle, 1 << 20)
        mmap.mmap(handle, 1 << 20)[0] = 1
        os.close(handle)


@attempt("take memory of System V")
def system_v(_: World) -> None:
    identity = checked(LIBC.shmget(0, ctypes.c_size_t(1 << 20), 0o1600))
    checked(LIBC.shmctl(identity, 0, None))


@attempt("take a semaphore of System V")
def semaphore(_: World) -> None:
    checked(LIBC.semctl(checked(LIBC.semget(0, 1, 0o1600)), 0, 0))


@attempt("take memory that the kernel cannot swap", root=True, rare=True)
def lock(_: World) -> None:
    memory = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    where = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    checked(LIBC.mlock(ctypes.c_void_p(where), ctypes.c_size_t(len(memory))))


@attempt("start hundreds of threads")
def threads(_: World) -> None:
    enough = threading.Event()
    started = []
    try:
        for _number in range(300):
            thread = threading.Thread(target=enough.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        enough.set()
