"""The built-in operators, one file each, and the kernels the package was built with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm import native
from openautoglm.errors import MissingExtraError
from openautoglm.ops.library.definitions import DEFINITIONS
from openautoglm.ops.machine import machine
from openautoglm.ops.registered import RegisteredOperator

if TYPE_CHECKING:
    from openautoglm.registry import Registry

LIBRARIES: Final = Path(native.__file__).parent / "lib"
CPU_KERNELS: Final = LIBRARIES / "liboag_kernels.so"
CUDA_KERNELS: Final = LIBRARIES / "liboag_kernels_cuda.so"


def add_all(registry: Registry[RegisteredOperator]) -> None:
    """Add every built-in operator with its native kernels.

    Without the extra `ops`, or in a package built without a compiler, the references serve.
    """
    from openautoglm import ops

    for opdef in DEFINITIONS:
        registry.add(opdef.name, RegisteredOperator(opdef))
    with suppress(MissingExtraError):
        if CPU_KERNELS.is_file():
            ops.load_library(CPU_KERNELS, name="native")
        if CUDA_KERNELS.is_file() and machine().cuda:
            ops.load_library(CUDA_KERNELS, name="native_cuda")
