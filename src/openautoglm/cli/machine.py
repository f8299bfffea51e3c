"""What this machine has: system, processor, memory, graphics cards, packages.

Owns `Machine` and how each fact is found. Imports no heavy package: versions come from metadata.
Knows nothing of backends or models. It does not guard against a container that lies about its
limits.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.platform_io.packages import Package, look_for_packages

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_TIMEOUT_S: Final = 10
MEMORY_LIMITS: Final = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
USEFUL_FLAGS: Final = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "fphp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
"""Processor flags that decide how fast a model runs: x86, then ARM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The processor; `usable` counts the logical cores this process may run on."""

    name: str
    usable: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of memory; None is "not known". `limit` is what a container allows."""

    total: int | None = None
    available: int | None = None
    limit: int | None = None

    @property
    def free(self) -> int | None:
        """What a model may take: what is available, within the limit."""
        known = [n for n in (self.available, self.limit) if n is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphics:
    """One graphics card as its driver describes it."""

    name: str
    memory: int
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All facts about the machine."""

    system: str
    python: str
    processor: Processor
    memory: Memory
    graphics: tuple[Graphics, ...]
    graphics_note: str
    packages: tuple[Package, ...]

    def missing(self, extra: str) -> tuple[str, ...]:
        """Return the packages of an extra that are not installed."""
        return tuple(p.name for p in self.packages if p.extra == extra and p.version is None)


def look() -> Machine:
    """Look at this machine; takes milliseconds, or as long as the graphics driver does."""
    graphics, note = look_for_graphics()
    return Machine(
        system=f"{platform.platform()} ({platform.machine()})",
        python=f"{platform.python_version()} at {sys.executable}",
        processor=look_at_processor(),
        memory=look_at_memory(),
        graphics=graphics,
        graphics_note=note,
        packages=look_for_packages(metadata.requires("openautoglm") or ()),
    )


def look_at_processor() -> Processor:
    """Describe the processor; flags are known where /proc/cpuinfo is."""
    name, flags = parse_cpuinfo(_read("/proc/cpuinfo"))
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count() or 1
    return Processor(
        name=name or platform.processor() or platform.machine(), usable=usable, flags=flags
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    r"""Return name and useful flags from the text of /proc/cpuinfo.

    Example:
        >>> parse_cpuinfo("model name : A\nflags : fpu avx2 avx")
        ('A', ('avx', 'avx2'))
    """
    fields = _fields(text, ":")
    flags = {flag.lower() for key in ("flags", "Features") for flag in fields.get(key, "").split()}
    return fields.get("model name", ""), tuple(flag for flag in USEFUL_FLAGS if flag in flags)


def look_at_memory() -> Memory:
    """Measure the memory, a container's limit included."""
    total, available = parse_meminfo(_read("/proc/meminfo"))
    if total is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [int(text) for path in MEMORY_LIMITS if (text := _read(path).strip()).isdigit()]
    limit = min(limits, default=None)
    if limit is not None and total is not None and limit >= total:
        limit = None  # a limit above what there is limits nothing
    return Memory(total=total, available=available, limit=limit)


def parse_meminfo(text: str) -> tuple[int | None, int | None]:
    r"""Return total and available bytes from the text of /proc/meminfo.

    Example:
        >>> parse_meminfo("MemTotal: 2 kB\nMemAvailable: 1 kB")
        (2048, 1024)
    """
    fields = _fields(text, ":")
    found = (fields.get(key, "").split() for key in ("MemTotal", "MemAvailable"))
    total, available = (int(words[0]) * 1024 if words else None for words in found)
    return total, available


def gib(size: int | None) -> str:
    """Write a number of bytes for people.

    Example:
        >>> gib(3 * 2**29), gib(None)
        ('1.5 GiB', 'not known')
    """
    if size is None:
        return "not known"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def look_for_graphics() -> tuple[tuple[Graphics, ...], str]:
    """Ask NVIDIA's driver for its cards; return them and, where there are none, why."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), "none found (no nvidia-smi on PATH)"
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own tool, found on PATH
            [program, *query], capture_output=True, text=True, check=True, timeout=PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return (), f"not known: nvidia-smi failed ({error})"
    return parse_nvidia_smi(done.stdout), "none found by nvidia-smi"


def parse_nvidia_smi(text: str) -> tuple[Graphics, ...]:
    """Return the cards from nvidia-smi's lines `name, MiB, driver`.

    Example:
        >>> parse_nvidia_smi("NVIDIA H100, 81559, 570.1")[0].driver
        '570.1'
    """
    rows = ([cell.strip() for cell in line.rsplit(",", 2)] for line in text.splitlines())
    return tuple(
        Graphics(name=row[0], memory=int(row[1]) * 2**20 if row[1].isdigit() else 0, driver=row[2])
        for row in rows
        if len(row) == 3  # noqa: PLR2004 - the three columns of the query
    )


def _fields(text: str, separator: str) -> Mapping[str, str]:
    pairs = (line.partition(separator) for line in reversed(text.splitlines()))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
