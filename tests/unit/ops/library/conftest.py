"""The compiled kernels of the built-in operators, one by one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.native import cells
from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import compile_library
from openautoglm.ops.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parents[4] / "native" / "kernels"
LEVELS = ("", "x86-64-v3", "x86-64-v4")


class Kernels:
    """Every kernel of a library, by operator and instruction set."""

    def __init__(self, library: KernelLibrary) -> None:
        self.library = library
        self._symbols = {(row.op, row.isa): row.symbol for row in library.kernels}

    def get(self, op: str, isa: str) -> Callable[..., object]:
        if isa and isa not in machine().isa:
            pytest.skip(f"this processor has no {isa}")
        return self.library.function(self._symbols[op, isa])

    def find(self, op: str, isa: str) -> Callable[..., object] | None:
        """Return a kernel, None where this processor cannot run it."""
        return None if isa and isa not in machine().isa else self.get(op, isa)

    @property
    def rows(self) -> list[tuple[str, str, int]]:
        return [(row.op, row.isa, row.priority) for row in self.library.kernels]


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    """The kernels of the package where they are as new as their sources, else built now."""
    sources = sorted(SOURCES.rglob("*.cc")) + sorted(SOURCES.rglob("*.h"))
    newest = max(path.stat().st_mtime for path in sources)
    packaged = cells.library_path("liboag_kernels")
    if packaged is not None and packaged.stat().st_mtime >= newest:
        return Kernels(KernelLibrary.open(packaged))
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler")
    return Kernels(KernelLibrary.open(compile_library(sorted(SOURCES.glob("*/cpu*.cc")))))


@pytest.fixture(params=LEVELS, ids=["plain", "v3", "v4"])
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set kernels are compiled for."""
    return str(request.param)
