"""Rows about files that are no Python: libraries, WebAssembly; and Python that cannot be parsed.

Owns `static.source`, `static.imports`, `static.libraries` and `static.wasm`. Libraries are read as
files and never loaded.
"""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from openautoglm.errors import LibraryRefusedError, MissingExtraError, OpenAutoGLMError
from openautoglm.plugins.inspect.effects import effects
from openautoglm.plugins.inspect.rows import failed, passed, shown, skipped
from openautoglm.plugins.inspect.sources import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openautoglm.plugins.inspect.effects import Effect
    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.report import Finding

PYTHON_MODULE: Final = "PyInit_"


def source_rows(subject: Subject) -> Iterator[Finding]:
    """Ask whether the sources can be parsed, and what importing them would do."""
    unreadable = [f"{u.path}: {u.why}" for u in subject.parsed if isinstance(u, Unreadable)]
    if unreadable:
        yield failed("static.source", shown(unreadable))
    else:
        yield passed("static.source", f"{len(subject.modules)} files")
    found = [effect for module in subject.modules for effect in effects(module)]
    grave = [effect for effect in found if effect.gravity == "fail"]
    if grave:
        yield failed("static.imports", _told(grave))
    elif found:
        yield failed("static.imports", _told(found), status="warn")
    else:
        yield passed("static.imports", f"{len(subject.modules)} files")


def _told(found: list[Effect]) -> str:
    return shown(f"{effect.where} {effect.kind}: {effect.code}" for effect in found)


def library_rows(subject: Subject) -> Iterator[Finding]:
    """Look into every native library and every WebAssembly module."""
    for path in subject.files:
        if path.name.endswith(".so") or ".so." in path.name:
            yield _library(subject.root / path, str(path))
        elif path.suffix == ".wasm":
            yield _wasm(subject.root / path, str(path))


def _library(file: Path, name: str) -> Finding:
    from openautoglm.native import elf
    from openautoglm.native.library import examine

    row = "static.libraries"
    try:
        facts = elf.read(file)
        if not any(symbol.startswith(PYTHON_MODULE) for symbol in facts.exports):
            facts = examine(file)
        elif facts.machine != platform.machine():
            return failed(row, f"{name}: for {facts.machine}, this is {platform.machine()}")
    except LibraryRefusedError as error:
        return failed(row, f"{name}: {error.problem}, got {error.got}", fix=error.fix or "")
    except MissingExtraError as error:
        return skipped(row, f"{name}: {error.problem}")
    except OpenAutoGLMError as error:
        return failed(row, f"{name}: {error.problem}", fix=error.fix or "")
    outside = [path for path in _search_paths(file) if not path.startswith("$ORIGIN")]
    if outside:
        fix = "link without -rpath, or with one below $ORIGIN"
        return failed(row, f"{name} looks for libraries in {shown(outside)}", fix=fix)
    return passed(row, f"{name}: {facts.machine}, {len(facts.exports)} exports")


def _search_paths(file: Path) -> list[str]:
    """Return the folders a library tells the loader to look into."""
    from elftools.elf.elffile import ELFFile

    with file.open("rb") as data:
        dynamic = next(iter(ELFFile(data).iter_segments("PT_DYNAMIC")))
        tags = [t for t in dynamic.iter_tags() if t.entry.d_tag in {"DT_RUNPATH", "DT_RPATH"}]
        texts = [str(getattr(t, "runpath", None) or getattr(t, "rpath", "")) for t in tags]
    return [path for text in texts for path in text.split(":") if path]


def _wasm(file: Path, name: str) -> Finding:
    row = "static.wasm"
    if find_spec("wasmtime") is None:
        return skipped(row, f"{name}: wasmtime is not installed")
    import wasmtime

    try:
        wasmtime.Module.validate(wasmtime.Engine(), file.read_bytes())
    except wasmtime.WasmtimeError as error:
        return failed(row, f"{name}: {str(error).splitlines()[0]}")
    return passed(row, f"{name}: {file.stat().st_size} bytes")
