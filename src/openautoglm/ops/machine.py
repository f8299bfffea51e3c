"""What this machine can execute: architecture, instruction sets, CUDA compute capabilities.

Owns `Machine` and how its facts are found. Imports no torch. Everything else takes a `Machine` as
an argument. Where /proc/cpuinfo is missing only the architecture's baseline is known.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.ops.gpus import compute_capabilities

if TYPE_CHECKING:
    from collections.abc import Iterable

CPUINFO: Final = Path("/proc/cpuinfo")

# The x86-64 psABI's levels, each with all below it, in the words of /proc/cpuinfo (pni is SSE3,
# abm is LZCNT, xsave stands for OSXSAVE: the kernel hides AVX where it does not save its state).
X86_LEVELS: Final = (
    ("x86-64", frozenset({"cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2"})),
    (
        "x86-64-v2",
        frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ),
    (
        "x86-64-v3",
        frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ),
    (
        "x86-64-v4",
        frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    ),
)
X86_FEATURES: Final = frozenset(
    {
        *("avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
        *("amx_tile", "amx_int8", "amx_bf16"),
    }
)
ARM_FEATURES: Final = {
    "asimd": "neon",
    "asimdhp": "neon_fp16",
    "asimddp": "neon_dotprod",
    "bf16": "neon_bf16",
    "i8mm": "neon_i8mm",
    "sve": "sve",
    "sve2": "sve2",
}
"""Names of /proc/cpuinfo, and ours."""
X86_NAMES: Final = frozenset({level for level, _ in X86_LEVELS} | X86_FEATURES)
ISA_NAMES: Final = X86_NAMES | frozenset(ARM_FEATURES.values())
"""Every instruction set a kernel may ask for."""

ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine can execute.

    Attributes:
        arch: `x86_64`, `aarch64`, or what the system calls it.
        isa: instruction sets of `ISA_NAMES`; a level includes those below it.
        cuda: the compute capability of each CUDA device, by index.
    """

    arch: str
    isa: frozenset[str]
    cuda: tuple[tuple[int, int], ...] = ()

    @property
    def level(self) -> str:
        """The highest x86-64 level it has, or else its architecture."""
        levels = [level for level, _ in X86_LEVELS if level in self.isa]
        return levels[-1] if levels else self.arch


@cache
def machine() -> Machine:
    """Return this machine; probed once in a process."""
    try:
        cpuinfo = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        cpuinfo = ""
    return machine_from(platform.machine(), cpuinfo, compute_capabilities())


def machine_from(arch: str, cpuinfo: str, cuda: Iterable[tuple[int, int]] = ()) -> Machine:
    """Read a machine from what its system says of it.

    Args:
        arch: as `platform.machine()` returns it.
        cpuinfo: the text of /proc/cpuinfo, or nothing.
        cuda: the compute capability of each CUDA device.

    Example:
        >>> machine_from("aarch64", "Features : fp asimd asimddp").isa >= {"neon", "neon_dotprod"}
        True
    """
    arch = ARCHITECTURES.get(arch.lower(), arch)
    flags = _flags(cpuinfo)
    isa: frozenset[str] = frozenset()
    if arch == "x86_64":
        isa = _x86_isa(flags)
    elif arch == "aarch64":
        isa = frozenset({"neon"} | {ARM_FEATURES[f] for f in flags if f in ARM_FEATURES})
    return Machine(arch=arch, isa=isa, cuda=tuple((major, minor) for major, minor in cuda))


def _flags(cpuinfo: str) -> frozenset[str]:
    """Return what every core has: cores of one machine may differ."""
    cores = [
        frozenset(value.split())
        for line in cpuinfo.splitlines()
        for key, _, value in [line.partition(":")]
        if key.strip() in ("flags", "Features")
    ]
    return frozenset.intersection(*cores) if cores else frozenset()


def _x86_isa(flags: frozenset[str]) -> frozenset[str]:
    found = {"x86-64"}
    for level, needed in X86_LEVELS[1:]:
        if not needed <= flags:
            break
        found.add(level)
    return frozenset(found | (flags & X86_FEATURES))
