"""The built-in operators, one file each, and the kernels the package was built with."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from openautoglm.errors import LibraryRefusedError, MissingExtraError
from openautoglm.native import cells
from openautoglm.ops.library.definitions import DEFINITIONS
from openautoglm.ops.loading import load_library
from openautoglm.ops.machine import machine
from openautoglm.ops.registered import RegisteredOperator

if TYPE_CHECKING:
    from openautoglm.registry import Registry


def add_all(registry: Registry[RegisteredOperator]) -> None:
    """Add every built-in operator with its native kernels.

    Without the extra `ops`, or in a package built without a compiler, the references serve.
    """
    for opdef in DEFINITIONS:
        registry.add(opdef.name, RegisteredOperator(opdef))
    if cells.unavailable() is not None:
        return
    with suppress(MissingExtraError):
        _load("native")
        if machine().cuda:
            _load("native_cuda")


def _load(name: str) -> None:
    path = cells.library_path(name.replace("native", "liboag_kernels"))
    if path is None:
        return
    try:
        load_library(path, name=name)
    except LibraryRefusedError as refusal:  # slower is better than not at all
        message = f"the built-in kernels are left out, Python serves: {refusal}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
