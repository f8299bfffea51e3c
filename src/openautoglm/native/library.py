"""Kernel libraries in this process: examined before they are loaded, gone when nobody holds them.

Owns `KernelLibrary` and what makes a library refused. Each content is loaded from a file of its own
in the cache, so that overwriting the file a user named hurts nobody and a new build is never
mistaken for the old one. Knows nothing of operators. The examination finds mistakes; it does not
guard against hostile code, which can do all that the process can.
"""

from __future__ import annotations

import platform
import stat
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.errors import KernelFailedError, LibraryRefusedError, OperatorArgumentError
from openautoglm.native import elf, ffi, manifest, trial
from openautoglm.native.cache import cache_folder, digest, put
from openautoglm.native.toolchain import runtime_library
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from openautoglm.errors import OpenAutoGLMError
    from openautoglm.native.elf import LibraryFacts
    from openautoglm.native.manifest import KernelRow, OperatorRow

RULES: Final = "1"
"""Changed whenever a rule is added, so that a library that passed the old ones is tried again."""

THREAD_EXIT: Final = frozenset({"__cxa_thread_atexit", "__cxa_thread_atexit_impl"})


_resident: Final[dict[Path, object]] = {}
"""Libraries that are never unmapped, by the copy that is loaded."""


@final
class KernelLibrary:
    """One loaded library and what its manifest says.

    Hold it, or one of its functions, and it stays in memory; let go of all of them and it is
    unmapped. One with GPU code stays for as long as the process: a launch may be under way when the
    call has returned, and a captured CUDA graph calls it by address. Arrays that kernels filled
    belong to the caller and outlive it. Safe to use from several threads.

    Attributes:
        path: the copy that is loaded.
        digest: SHA-256 of its content.
        operators: what it states, in the order of names.
        kernels: what it has.

    Example:
        with KernelLibrary.open(Path("build/fast_add.so")) as library:
            add = library.function(library.kernels[0].symbol)
            add(x, y, 1.0, out)
    """

    def __init__(self, path: Path, content: str, facts: LibraryFacts) -> None:
        rows = manifest.parse(facts.manifest)
        self.path = path
        self.digest = content
        self.operators: tuple[OperatorRow, ...] = rows.operators
        self.kernels: tuple[KernelRow, ...] = rows.kernels
        tvm_ffi = ffi.load()
        _teach_errors()
        self._module = tvm_ffi.load_module(str(path), keep_module_alive=False)
        if any(kernel.device == "cuda" for kernel in rows.kernels):
            _resident[path] = self._module

    @classmethod
    def open(cls, path: Path) -> KernelLibrary:
        """Examine a library, try it in a process of its own, and load it.

        Args:
            path: the library; it is copied, and never opened again.

        Raises:
            LibraryRefusedError: it cannot be read, cannot run here, or would do harm.
            OperatorDefinitionError: its manifest contradicts itself.
            MissingExtraError: tvm-ffi or pyelftools is not installed.
        """
        try:
            copy, content = _copy(path)
            facts = _examined(copy)
            _try_once(copy, content, facts)
            return cls(copy, content, facts)
        except LibraryRefusedError as refusal:
            got = f"{path}" if refusal.got is None else f"{path}: {refusal.got}"
            raise LibraryRefusedError(refusal.problem, got=got, fix=refusal.fix) from refusal

    def function(self, symbol: str) -> Callable[..., object]:
        """Return a kernel: `kernel(*inputs, *attributes, *outputs)`; it keeps the library loaded.

        Raises:
            LibraryRefusedError: the library is closed or has no such symbol.
        """
        if self._module is None:
            raise LibraryRefusedError(
                "the library is closed", got=self.path.name, fix="open it again"
            )
        name = symbol.removeprefix(manifest.SYMBOL_PREFIX)
        try:
            function: Callable[..., object] = self._module.get_function(name)
        except AttributeError as cause:
            raise LibraryRefusedError(
                "the library has no such kernel",
                got=symbol,
                fix=f"it has {', '.join(k.symbol for k in self.kernels) or 'none'}",
            ) from cause
        return function

    def close(self) -> None:
        """Let go of the library; it is unmapped when the last function is gone too."""
        self._module = None

    def is_mapped(self) -> bool:
        """Whether the library is still in this process's memory."""
        return trial.is_mapped(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def examine(path: Path) -> LibraryFacts:
    """Read a library's file and refuse what would do harm; nothing of it is loaded.

    Raises:
        LibraryRefusedError: with the reason.
    """
    facts = elf.read(path)
    if facts.machine != platform.machine():
        raise LibraryRefusedError(
            "the library is for another processor",
            got=f"{facts.machine}, this machine is {platform.machine()}",
            fix="build it on this machine",
        )
    rows = manifest.parse(facts.manifest)
    _refuse(
        "the library's manifest names symbols it does not have",
        {kernel.symbol for kernel in rows.kernels} - facts.exports,
        fix="build all of its sources together",
    )
    _refuse(
        "the library would run code while it is loaded",
        set(facts.static_constructors),
        fix="make global objects constexpr or local, do not include <iostream>, and leave a library"
        " with CUDA kernels unstripped, so that they can be told apart",
    )
    _refuse(
        "the library could never be unloaded: it has GNU-unique symbols",
        facts.gnu_unique,
        fix="compile with -fvisibility=hidden -fno-gnu-unique",
    )
    _refuse(
        "the library could not be unloaded: a thread_local of it has a destructor",
        facts.undefined & THREAD_EXIT,
        fix="make the thread_local trivial, or a local variable",
    )
    if facts.is_pinned:
        raise LibraryRefusedError(
            "the library asks never to be unloaded", got="NODELETE", fix="link without -z nodelete"
        )
    return facts


@lru_cache(maxsize=256)
def _examined(copy: Path) -> LibraryFacts:
    """Examine a copy in the cache once: its name is its content."""
    return examine(copy)


def _refuse(problem: str, names: frozenset[str] | set[str], *, fix: str) -> None:
    if names:
        shown = sorted(names)
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""  # noqa: PLR2004 - three tell
        raise LibraryRefusedError(problem, got=", ".join(shown[:3]) + more, fix=fix)


def _copy(path: Path) -> tuple[Path, str]:
    """Put a copy into the cache under the name of its content; return both."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
        data = path.read_bytes() if is_file else b""  # a device or a pipe may never end
    except (OSError, ValueError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else cause
        raise LibraryRefusedError(
            "the library cannot be read", got=why, fix="check the path"
        ) from cause
    if not is_file:
        raise LibraryRefusedError("the library is not a regular file", fix="check the path")
    content = digest(data)
    copy = cache_folder("libraries") / f"{path.stem[:40]}-{content[:32]}.so"
    if not copy.is_file() or digest(copy.read_bytes()) != content:
        put(copy, data, mode=0o555)
    return copy.resolve(), content


def _try_once(path: Path, content: str, facts: LibraryFacts) -> None:
    """Load the library in a child process, unless this content has passed that before.

    Only a pass is kept: what failed may work when another library is installed.
    """
    runtime = runtime_library()
    passed = cache_folder("trials") / digest(f"{RULES} {content} {runtime}".encode())
    if passed.is_file():
        return
    symbols = [kernel.symbol for kernel in manifest.parse(facts.manifest).kernels]
    verdict = trial.load_in_child(path, runtime=runtime, symbols=symbols)
    if verdict.problem is not None:
        raise LibraryRefusedError(
            f"the library failed its trial: {verdict.problem}",
            got=verdict.got,
            fix="nothing of it was loaded here; correct it and build it again",
        )
    put(passed, b"")


@cache
def _teach_errors() -> None:
    """Have tvm-ffi raise our errors for what `openautoglm/refusal.h` sends; once a process."""
    errors = need("tvm_ffi.error", extra="ops", why="loading a kernel library")
    for kind in (OperatorArgumentError, KernelFailedError):
        errors.register_error(kind.__name__, _reader(kind))


def _reader(kind: type[OpenAutoGLMError]) -> type[OpenAutoGLMError]:
    """Return a class that reads a kernel's text and makes an error of `kind`; tvm-ffi calls it."""

    def read(_cls: type, text: str) -> OpenAutoGLMError:
        problem, _, got = text.partition("\n  got: ")
        return kind(problem, got=got or None)

    return type(kind.__name__, (kind,), {"__new__": read})
