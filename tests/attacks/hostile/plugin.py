"""A hostile plugin: what it serves tries one attempt after another in the worker it was given."""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

from tests.attacks.hostile import files, memory, network, processes, system
from tests.attacks.hostile.attempt import ATTEMPTS, LIBC, World, checked

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PARTS = (files, memory, network, processes, system)


class Hostile:
    """Serves attempts by name."""

    def names(self) -> list[str]:
        """Return all it knows."""
        return list(ATTEMPTS)

    def attempt(self, name: str, world: dict[str, object]) -> str:
        """Return "done", or what stopped it."""
        try:
            ATTEMPTS[name].run(World(**world))  # type: ignore[arg-type] # made by the test
        except Exception as error:  # noqa: BLE001 - every way to fail is a result
            return f"{type(error).__name__}: {error}"
        return "done"

    def make_writable(self, array: npt.NDArray[np.uint8]) -> str:
        """Try to write an array that the host lent."""
        address: int = array.__array_interface__["data"][0]
        page = address & ~(mmap.PAGESIZE - 1)
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        try:
            checked(LIBC.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), writable))
            ctypes.memset(address, 1, 1)
        except OSError as error:
            return str(error)
        return "done"

    def overwrite(self, array: npt.NDArray[np.uint8]) -> None:
        """Write an array that the host lent, come what may."""
        ctypes.memset(array.__array_interface__["data"][0], 1, 1)
