"""What one worker may use up: memory, descriptors, file sizes, processor time.

Set with setrlimit(2), hard as well as soft, so the worker cannot raise them again. Memory is
capped by RLIMIT_DATA, which counts private writable memory and nothing else: shared arenas are
free, and the address space that allocators reserve but never touch does not count. `seccomp`
refuses the mappings that would escape that count.

A share of the processor is a number of whole cores (fractions round up), which `seccomp` keeps
from being widened again.

Not limited here: the sum of all files in the scratch folder (`bytes_beneath` lets a supervisor
watch it) and, for user 0 whom RLIMIT_NPROC never binds, the number of threads other than by
the memory of their stacks.
"""

from __future__ import annotations

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MIB: Final = 1 << 20
_STACK: Final = 64 * MIB  # of the first thread, which RLIMIT_DATA does not count
_PAGE: Final = resource.getpagesize()


class DeclaredLimits(Protocol):
    """The part of a manifest's `limits` that the kernel enforces."""

    @property
    def memory_mb(self) -> int:
        """Private memory beyond what the worker holds before the plugin is imported."""

    @property
    def files(self) -> int:
        """Open descriptors, the host's own channel among them."""

    @property
    def scratch_mb(self) -> int:
        """Size of the largest file."""

    @property
    def cpu_share(self) -> float | None:
        """Cores it may keep busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """What a worker may use beyond what it holds already.

    Attributes:
        memory_bytes: private writable memory, on top of what the warm worker has.
        open_files: highest number of descriptors.
        file_bytes: size of the largest file, a memory file included.
        address_bytes: address space, on top of what the warm worker has: arenas, reservations.
        cores: processor cores it may run on, or None for those of the host.
        cpu_s: processor seconds in all, or None for no limit; past it the kernel kills.

    Example:
        >>> ResourceLimits().memory_bytes // MIB
        512
    """

    memory_bytes: int = 512 * MIB
    open_files: int = 64
    file_bytes: int = 64 * MIB
    address_bytes: int = 16 * 1024 * MIB
    cores: int | None = None
    cpu_s: int | None = None

    @classmethod
    def declared(cls, limits: DeclaredLimits) -> ResourceLimits:
        """Return what a manifest's `limits` mean to the kernel."""
        return cls(
            memory_bytes=limits.memory_mb * MIB,
            open_files=limits.files,
            file_bytes=limits.scratch_mb * MIB,
            cores=None if limits.cpu_share is None else math.ceil(limits.cpu_share),
        )

    def as_rlimits(self, *, held_data: int, held_address: int) -> Mapping[int, int]:
        """Return the kernel's numbers, for a process that holds this many bytes already."""
        wanted = {
            resource.RLIMIT_DATA: held_data + self.memory_bytes,
            resource.RLIMIT_AS: held_address + self.memory_bytes + self.address_bytes,
            resource.RLIMIT_STACK: _STACK,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_FSIZE: self.file_bytes,
            resource.RLIMIT_CORE: 1,  # one byte: no file, and no crash handler is started either
            resource.RLIMIT_MEMLOCK: 0,
            resource.RLIMIT_MSGQUEUE: 0,
            resource.RLIMIT_RTPRIO: 0,
            resource.RLIMIT_NICE: 0,
        }
        return wanted if self.cpu_s is None else {**wanted, resource.RLIMIT_CPU: self.cpu_s}

    def apply(self) -> None:
        """Set them for this process, for good; a limit that is lower already stays."""
        address, data = held_bytes()
        for kind, wanted in self.as_rlimits(held_data=data, held_address=address).items():
            hard = resource.getrlimit(kind)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (value, value))
        if self.cores is not None:
            os.sched_setaffinity(0, chosen_cores(os.sched_getaffinity(0), self.cores, os.getpid()))


def chosen_cores(free: Collection[int], wanted: int, turn: int) -> set[int]:
    """Return so many of the cores, others at another turn, so that workers spread.

    Example:
        >>> sorted(chosen_cores({0, 1, 2, 3}, 2, 3))
        [0, 3]
    """
    cores = sorted(free)
    return {cores[(turn + step) % len(cores)] for step in range(wanted)}


def held_bytes() -> tuple[int, int]:
    """Return this process's address space and private data, in bytes.

    Example:
        >>> address, data = held_bytes()
        >>> 0 < data < address
        True
    """
    pages = Path("/proc/self/statm").read_text("ascii").split()
    return int(pages[0]) * _PAGE, int(pages[5]) * _PAGE


def bytes_beneath(folder: Path) -> int:
    """Return the disk space of all files beneath a folder, for a supervisor to watch.

    Links are counted, never followed; what vanishes meanwhile counts nothing.
    """
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512  # noqa: PTH118 - a walk over a full scratch folder must stay cheap
            except FileNotFoundError:
                continue
    return total
