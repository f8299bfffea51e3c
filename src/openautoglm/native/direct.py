"""The compiled core as a module of Python: calls that reach a kernel without Python code between.

Owns the loading of that module and what it has to know of NumPy. Built where Python's headers were
there; without it the same calls go through Python code. Knows nothing of torch or of operators.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias, cast

from openautoglm.native import ffi
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NAME: Final = "liboag_core"
_NUMPY_DTYPES: Final = {
    "bool": (6, 8),
    **{f"int{bits}": (0, bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (1, bits) for bits in (8, 16, 32, 64)},
    **{f"float{bits}": (2, bits) for bits in (16, 32, 64)},
}
"""DLPack's code and bits of NumPy's own dtypes."""

Front: TypeAlias = object
"""What the core knows of an operator's calls; opaque."""
Rule: TypeAlias = tuple[object, float | None, float | None, tuple[object, ...] | None]
"""Default, lowest and highest value and choices of an attribute, None for none."""
Sample: TypeAlias = tuple[object, int, int]
"""A tensor, the address of what it holds, and its dispatch keys."""


class Core(Protocol):
    """The functions of the module; `native/python/module.cc` has them."""

    def __hash__(self) -> int:
        """Return the same for the same module."""
        ...

    def door(
        self,
        cell: int,
        otherwise: Callable[..., object],
        raise_error: Callable[[str, str], NoReturn],
    ) -> Callable[..., object]:
        """Return the native way in of a cell; what it does not take goes `otherwise`."""
        ...

    def front(self, cell: int, names: tuple[str, ...], rules: tuple[Rule, ...]) -> Front | None:
        """Return what a call needs to know of an operator; None where only Python can tell."""
        ...

    def bind(self, front: Front) -> None:
        """Let calls with torch's tensors go directly: torch knows the operator."""
        ...

    def operator_type(self, base: type, call: Callable[..., object]) -> type:
        """Return a type whose calls go directly where they can, else to `call`, its `__call__`."""
        ...

    def watch(self, delta: int) -> None:
        """Send calls on NumPy's arrays through Python while the sum is above 0."""
        ...

    def ready_numpy(
        self,
        kind: type,
        empty: Callable[..., object],
        dtypes: list[tuple[object, int, int]],
        samples: list[tuple[object, ...]],
    ) -> bool:
        """Return whether NumPy's arrays are laid out as the core thinks."""
        ...

    def open_torch(self, libc10: str, libtorch_cpu: str, libtorch_python: str) -> str | None:
        """Return which function this torch lacks, None where it has all."""
        ...

    def thread_keys(self) -> tuple[int, int] | None:
        """Return dispatch keys this thread includes and excludes, beyond torch's default."""
        ...

    def ready_torch(  # noqa: PLR0913, PLR0917 - told once, all of it
        self,
        types: tuple[type, type],
        words: int,
        samples: list[Sample],
        plain: tuple[int, ...],
        inference: tuple[int, int],
        forward_ad: dict[str, object],
        raise_failure: Callable[[RuntimeError], NoReturn],
        exchange_api: object,
    ) -> bool:
        """Return whether torch's tensors are laid out as the samples say, in one way."""
        ...


def load(path: Path | None) -> Core | None:
    """Return the module in the core's library; None where `lacks` says why not."""
    return None if path is None or _refusal() is not None else _load(path)


def lacks(path: Path | None) -> str | None:
    """Return why calls go through Python code here, or None where plain ones do not.

    Loads nothing: what the library offers stands in its file. `OPENAUTOGLM_DIRECT=0` sends all
    calls through Python code.
    """
    if path is None:
        return "there is no compiled core"
    if f"PyInit_{_NAME}".encode() not in path.read_bytes():
        return "the package was built without Python's headers"
    return _refusal()


def raise_error(kind: str, message: str) -> NoReturn:
    """Raise the error of a kernel, as tvm-ffi reads it."""
    raise error_of(kind, message)


def error_of(kind: str, message: str) -> Exception:
    """Return the error of a kernel, as tvm-ffi reads it."""
    made: Exception = ffi.load().core.Error(kind, message, "").py_error()
    return made


def _refusal() -> str | None:
    if os.environ.get("OPENAUTOGLM_DIRECT") == "0":
        return "OPENAUTOGLM_DIRECT=0 turns them off"
    if "t" in getattr(sys, "abiflags", ""):
        return "this Python is built without its global lock"
    return None


@cache
def _load(path: Path) -> Core | None:
    ffi.load()  # the core is linked with its library
    loader = ExtensionFileLoader(_NAME, str(path))
    spec = spec_from_file_location(_NAME, path, loader=loader)
    if spec is None:
        return None
    try:
        core = cast("Core", module_from_spec(spec))
    except ImportError:  # there were no headers of Python when it was built
        return None
    _ready_numpy(core)
    return core


def _ready_numpy(core: Core) -> None:
    numpy = need("numpy", extra="ops", why="the compiled core")
    dtypes = [(numpy.dtype(name), *code) for name, code in _NUMPY_DTYPES.items()]
    whole = numpy.arange(24, dtype="f4").reshape(2, 3, 4)
    locked = numpy.ones(3)
    locked.flags.writeable = False
    views = [whole, whole.T, whole[:, ::-1, ::2], whole[0, 0, 0:0], numpy.array(1), locked]
    core.ready_numpy(numpy.ndarray, numpy.empty, dtypes, [_facts(view) for view in views])


def _facts(array: Any) -> tuple[object, ...]:  # noqa: ANN401 - a NumPy array
    address = array.__array_interface__["data"][0]
    return array, address, array.shape, array.strides, array.dtype, array.flags.writeable
