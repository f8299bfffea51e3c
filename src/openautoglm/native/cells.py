"""The kernel tables of the compiled core, and the torch operators that run through them.

Owns the loading of `liboag_core` and the calls into it. Knows functions and keys; knows nothing of
what an operator means.
"""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import openautoglm.native as package
from openautoglm.native import direct, ffi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MAX_KERNELS = 64
"""How many kernels of one operator the core can count."""

WANTS_CONTIGUOUS = 1
"""Flag of an entry whose kernel takes contiguous inputs only."""


class NativeFunction(Protocol):
    """A function behind the C ABI, with what it needs kept alive by it."""

    def __call__(self, *args: object) -> object:
        """Call it with arrays and plain values."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What serves one key: device code and dtype codes as `key_of` makes them.

    Attributes:
        key: bytes of the key, device last.
        function: called with inputs, attributes and outputs.
        flags: `WANTS_CONTIGUOUS` or 0.
        counter: which of the cell's counters a call raises.
    """

    key: tuple[int, ...]
    function: NativeFunction
    flags: int
    counter: int


@final
class Cell:
    """The kernel table of one operator version; replaced as a whole, by one store.

    Safe from several threads: a call in flight keeps what it uses. The number stays taken for as
    long as the process; what the table holds goes with this object.
    """

    def __init__(self, signature: str) -> None:
        self._core = _core()
        self.number = int(self._core("cell_new")(signature))
        self.core = direct.load(library_path("liboag_core"))
        self.door: NativeFunction = self._core("cell_door")(self.number)
        if self.core is not None:
            self.door = self.core.door(self.number, self.door, direct.raise_error)
        weakref.finalize(self, _empty, self.number).atexit = False

    def publish(self, entries: Sequence[Entry]) -> int:
        """Replace the table; return its generation, counted from 1."""
        generation = self._core("cell_publish")(
            self.number,
            [list(entry.key) for entry in entries],
            [entry.function for entry in entries],
            [entry.flags for entry in entries],
            [entry.counter for entry in entries],
        )
        return int(generation)

    def slow(self, delta: int) -> None:
        """Send every call through Python while the sum of deltas is above 0."""
        self._core("cell_slow")(self.number, delta)

    def counts(self) -> tuple[int, ...]:
        """Return how many calls each counter has seen."""
        return tuple(self._core("cell_counts")(self.number))

    def bind_torch(self, *, namespace: str, name: str, schema: str, slow: str) -> bool:
        """Make `namespace::name` a torch operator that runs this table; False if no slot is left.

        `slow` is the qualified name of a sibling with the same schema, written in Python, that
        takes what the table does not.
        """
        left = self._core("torch_bind")(self.number, namespace, name, f"{name}{schema}", slow)
        return int(left) >= 0


def init_torch(
    library: Path, codes: Mapping[str, tuple[int, int]], problem: Callable[[], str]
) -> None:
    """Ready the slots for the libtorch that is loaded.

    Args:
        library: path of libtorch_cpu.so.
        codes: DLPack code and bits by torch's name of a dtype.
        problem: tells what was wrong with the last slow call of this thread; empty for nothing.
    """
    tvm_ffi = ffi.load()
    pairs = [list(pair) for pair in codes.values()]
    _core()("torch_init")(str(library), list(codes), pairs, tvm_ffi.convert(problem))


@contextmanager
def numpy_through_python() -> Iterator[None]:
    """Send calls of operators on NumPy's arrays through Python inside the block, in all threads."""
    core = direct.load(library_path("liboag_core")) if unavailable() is None else None
    if core is not None:
        core.watch(1)
    try:
        yield
    finally:
        if core is not None:
            core.watch(-1)


def key_of(device: int, dtypes: Sequence[tuple[int, int] | None]) -> tuple[int, ...]:
    """Return the key of a DLPack device and the (code, bits) of every input, None where absent."""
    return (0, *(_dtype_byte(pair) for pair in dtypes), device)


def unavailable() -> str | None:
    """Return why the compiled core cannot be used here, or None when it can.

    `OPENAUTOGLM_NATIVE=0` turns it off.
    """
    if os.environ.get("OPENAUTOGLM_NATIVE") == "0":
        return "OPENAUTOGLM_NATIVE=0 turns it off"
    if library_path("liboag_core") is None:
        return "the package was built without a C++ compiler"
    return None


def no_direct_calls() -> str | None:
    """Return why plain calls go through Python code here, or None where they go directly."""
    return unavailable() or direct.lacks(library_path("liboag_core"))


def library_path(stem: str) -> Path | None:
    """Return where a compiled library of the package is, or None."""
    for folder in package.__path__:
        path = Path(folder) / "lib" / f"{stem}.so"
        if path.is_file():
            return path
    return None


def core_function(name: str) -> Callable[..., Any]:
    """Return a function of the compiled core by its name."""
    return _core()(name)


def _nothing() -> None:
    """Do nothing: the core knows by it what a function written in Python looks like."""


def _empty(number: int) -> None:
    _core()("cell_publish")(number, [], [], [], [])


def _dtype_byte(pair: tuple[int, int] | None) -> int:
    if pair is None:
        return 0xFF
    code, bits = pair
    return (code << 3) | (bits - 1).bit_length()


@cache
def _core() -> Callable[[str], Callable[..., Any]]:
    tvm_ffi = ffi.load()
    module = tvm_ffi.load_module(str(library_path("liboag_core")))
    module.get_function("cell_python")(tvm_ffi.convert(_nothing))
    module.get_function("threads_offer")()
    functions: dict[str, Callable[..., Any]] = {}

    def function(name: str) -> Callable[..., Any]:
        if name not in functions:
            functions[name] = module.get_function(name)
        return functions[name]

    return function
