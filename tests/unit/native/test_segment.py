"""What a process that got shared memory may try on it, and that these tests can fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from openautoglm.errors import SharedTensorError
from openautoglm.native.arena import MIB, lend
from openautoglm.native.segment import DATA, Segment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd is Linux's")

ATTACKS = """
import ctypes, mmap, os, sys
handle, size = int(sys.argv[1]), int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE

def pwrite():
    os.pwrite(handle, b"x", size - 1)

def map_for_writing():
    mmap.mmap(handle, size, mmap.MAP_SHARED, READ_WRITE)[size - 1] = 1

def mprotect():
    import numpy
    memory = mmap.mmap(handle, size, mmap.MAP_SHARED, mmap.PROT_READ)
    address = numpy.frombuffer(memory, "u1").__array_interface__["data"][0]
    if libc.mprotect(address, size, READ_WRITE):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memset(address + size - 1, 0x66, 1)

def open_again():
    os.pwrite(os.open(f"/proc/self/fd/{handle}", os.O_RDWR), b"x", size - 1)

def shrink():
    os.ftruncate(handle, 0)

def grow():
    os.ftruncate(handle, 2 * size)

def punch_a_hole():
    if libc.fallocate(handle, 3, ctypes.c_long(0), ctypes.c_long(size)):
        raise OSError(ctypes.get_errno(), "fallocate")

for attack in (pwrite, map_for_writing, mprotect, open_again, punch_a_hole, grow, shrink):
    try:
        attack()
    except (OSError, ValueError):
        pass
    else:
        print(attack.__name__)
"""


def succeeded(descriptor: int, size: int) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", ATTACKS, str(descriptor), str(size)],
        pass_fds=[descriptor],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return set(done.stdout.split())


def test_none_of_seven_attacks_alters_memory_handed_over_for_reading() -> None:
    lent = Segment.create(0, DATA + 4096, peer_writes=False)
    lent.memory[lent.size - 1] = 7
    assert succeeded(lent.handle, lent.size) == set()
    assert lent.memory[lent.size - 1] == 7
    lent.memory[lent.size - 1] = 9  # the owner may go on writing
    assert lent.memory[lent.size - 1] == 9


def test_the_seals_hold_even_where_the_descriptor_is_for_writing() -> None:
    lent = Segment.create(0, DATA + 4096, peer_writes=False)
    writable = os.open(f"/proc/self/fd/{lent.handle}", os.O_RDWR)
    assert succeeded(writable, lent.size) == set()
    os.close(writable)


def test_memory_handed_over_for_writing_keeps_its_size() -> None:
    lent = Segment.create(0, DATA + 4096, peer_writes=True)
    done = succeeded(lent.handle, lent.size)
    assert "shrink" not in done
    assert "grow" not in done
    assert "pwrite" in done


def test_without_seals_the_same_attacks_succeed() -> None:
    """So that the tests above can fail."""
    descriptor = os.memfd_create("open", 0)
    os.ftruncate(descriptor, DATA)
    assert succeeded(descriptor, DATA) == {
        *("pwrite", "map_for_writing", "mprotect", "open_again"),
        *("punch_a_hole", "grow", "shrink"),
    }
    os.close(descriptor)


def test_a_system_without_memfd_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(SharedTensorError, match="no memory to share"):
        lend(0, MIB)
