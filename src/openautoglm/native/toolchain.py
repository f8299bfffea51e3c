"""Compile kernel sources to a library, once for each content.

Owns the command lines and the cache of results. A result is named by the compiler, its flags, the
sources and every header they include, so an edit of any of them builds again and nothing else does.
Knows nothing of what the sources register.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import BuildFailedError
from openautoglm.native.cache import cache_folder, digest, put, turn
from openautoglm.native.elf import undefined
from openautoglm.platform_io import detect
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INCLUDE: Final = Path(__file__).parent / "include"
OPTIMISE: Final = ("-O3", "-fPIC", "-fvisibility=hidden")
WARN: Final = ("-Wall", "-Wextra")
CXX: Final = ("-std=c++17", "-fvisibility-inlines-hidden", "-fno-gnu-unique")
GPUS: Final = (  # machine code for A100 and H100, and PTX that later ones compile for themselves
    *("-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90,code=sm_90"),
    *("-gencode", "arch=compute_90,code=compute_90"),
)
EXPORTS: Final = "{ global: __tvm_ffi_*; __oag_*; local: *; };\n"
FIRST_ERRORS: Final = 6
NO_SOURCES: Final = "give *.c, *.cc, *.cpp or *.cu files that this machine can compile"
RECIPE: Final = "1"
"""Changed whenever command lines change, so that old results are not taken for new ones."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionSet:
    """What a file whose name ends in `_<suffix>` is compiled for, and where that is possible."""

    name: str
    flags: tuple[str, ...]
    machine: str


INSTRUCTION_SETS: Final = {
    suffix: InstructionSet(name=name, flags=tuple(flags.split()), machine=machine)
    for suffix, name, flags, machine in (
        ("v2", "x86-64-v2", "-march=x86-64-v2", "x86_64"),
        ("v3", "x86-64-v3", "-march=x86-64-v3", "x86_64"),
        ("v4", "x86-64-v4", "-march=x86-64-v4", "x86_64"),
        ("vnni", "avx512_vnni", "-march=x86-64-v4 -mavx512vnni", "x86_64"),
        ("bf16", "avx512_bf16", "-march=x86-64-v4 -mavx512bf16", "x86_64"),
        ("neon", "neon", "", "aarch64"),
    )
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A library and what of its folder is not in it.

    Attributes:
        path: the library; its name holds the digest of everything it was made from.
        left_out: sources this machine cannot compile, each with the reason.
        is_new: whether a compiler ran for it now.
    """

    path: Path
    left_out: tuple[tuple[Path, str], ...]
    is_new: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """One source and its whole command line but the names of the results."""

    source: Path
    command: tuple[str, ...]
    is_variant: bool


def build_folder(folder: Path, *, flags: Sequence[str] = (), cuda: bool | None = None) -> Built:
    """Build the sources of a folder: every *.c, *.cc, *.cpp and *.cu directly in it.

    A file whose name ends in `_v2`, `_v3`, `_v4`, `_vnni`, `_bf16` or `_neon` is compiled for that
    instruction set, and its code is kept apart from the other files'.

    Args:
        folder: where the sources lie; also on the include path.
        flags: more flags for every compiler.
        cuda: True demands CUDA sources to be built, False leaves them out, None builds them where
            nvcc is.

    Raises:
        BuildFailedError: there is nothing to build, a compiler is missing, or it found an error.
    """
    suffixes = {".c", ".cc", ".cpp", ".cu"}
    try:
        sources = sorted(path for path in folder.iterdir() if path.suffix in suffixes)
    except OSError as cause:
        raise BuildFailedError(
            "the folder cannot be read", got=f"{folder}: {cause.strerror}", fix="check the path"
        ) from cause
    if not sources:
        raise BuildFailedError(
            "there is no source to build",
            got=f"no sources in {folder.resolve()}",
            fix=NO_SOURCES,
        )
    return _build(sources, name=folder.resolve().name, include=(folder,), flags=flags, cuda=cuda)


def compile_library(
    sources: Sequence[Path],
    *,
    include: Sequence[Path] = (),
    flags: Sequence[str] = (),
    cuda: bool | None = None,
) -> Path:
    """Compile sources to one library and return its path; see `build_folder` for `cuda`.

    Raises:
        BuildFailedError: there is nothing to build, a compiler is missing, or it found an error.
    """
    name = sources[0].stem if sources else "nothing"
    return _build(sources, name=name, include=include, flags=flags, cuda=cuda).path


def _build(
    sources: Sequence[Path],
    *,
    name: str,
    include: Sequence[Path],
    flags: Sequence[str],
    cuda: bool | None,
) -> Built:
    left_out = tuple(_left_out(sources, cuda=cuda))
    taken = [path for path in sources if path not in dict(left_out)]
    if not taken:
        raise BuildFailedError(
            "there is no source to build",
            got="; ".join(f"{path.name}: {why}" for path, why in left_out) or "no sources",
            fix=NO_SOURCES,
        )
    units = [_unit(path, include, flags) for path in taken]
    linker = _nvcc_or_fail() if any(u.source.suffix == ".cu" for u in units) else _compiler("g++")
    folder = cache_folder("builds")
    recipe = digest(repr([RECIPE, name, linker, *map(_identity, units)]).encode())
    with turn(folder / f"{recipe}.lock"):
        known = _known(folder / f"{recipe}.json")
        if known is not None:
            return Built(path=known, left_out=left_out, is_new=False)
        path = _compile(units, linker, folder, name=name, recipe=recipe)
    return Built(path=path, left_out=left_out, is_new=True)


def _left_out(sources: Sequence[Path], *, cuda: bool | None) -> Iterator[tuple[Path, str]]:
    for path in sources:
        wanted = _instruction_set(path)
        if wanted is not None and wanted.machine != platform.machine():
            yield path, f"for {wanted.machine}, this machine is {platform.machine()}"
        elif path.suffix == ".cu" and cuda is False:
            yield path, "CUDA was not asked for"
        elif path.suffix == ".cu" and cuda is None and _nvcc() is None:
            yield path, "nvcc is not on PATH: install the CUDA toolkit, or set NVCC"


def _instruction_set(source: Path) -> InstructionSet | None:
    _, underscore, suffix = source.stem.rpartition("_")
    return INSTRUCTION_SETS.get(suffix) if underscore else None


def _unit(source: Path, include: Sequence[Path], flags: Sequence[str]) -> _Unit:
    wanted = _instruction_set(source)
    word = re.sub(r"\W", "_", source.name)
    shared = [f"-I{path}" for path in (*include, INCLUDE, _runtime() / "include")]
    shared.append(f"-DOAG_UNIT={word}")
    is_cuda = source.suffix == ".cu"
    shared += [flag if not is_cuda or _is_nvccs(flag) else f"-Xcompiler={flag}" for flag in flags]
    if wanted is not None:
        shared.append(f'-DOAG_ISA="{wanted.name}"')
    plain = (*OPTIMISE, *WARN, *(wanted.flags if wanted is not None else ()))
    head: tuple[str, ...]
    if is_cuda:
        host = ",".join((*OPTIMISE[1:], *CXX[1:], *WARN))
        head = (
            _nvcc_or_fail(),
            "-O3",
            CXX[0],
            *GPUS,
            "--expt-relaxed-constexpr",
            "-Xcompiler",
            host,
        )
    elif source.suffix == ".c":
        head = (_compiler("gcc"), "-std=c11", *plain)
    else:
        head = (_compiler("g++"), *plain, *CXX)
    return _Unit(source=source, command=(*head, *shared), is_variant=wanted is not None)


def _is_nvccs(flag: str) -> bool:
    return flag.startswith(("-D", "-U", "-I", "-O", "--"))


def _identity(unit: _Unit) -> tuple[str, ...]:
    try:
        contents = digest(unit.source.read_bytes())
    except OSError as cause:
        raise BuildFailedError(
            "a source cannot be read", got=f"{unit.source}: {cause.strerror}", fix="check the path"
        ) from cause
    return (unit.source.name, contents, _version(unit.command[0]), *unit.command)


def _known(record: Path) -> Path | None:
    """Return an earlier result if every header it was made from is as it was."""
    try:
        entry = json.loads(record.read_text(encoding="utf-8"))
        headers = {Path(name): wanted for name, wanted in entry["headers"].items()}
        library = Path(entry["library"])
        if all(digest(path.read_bytes()) == wanted for path, wanted in headers.items()):
            return library if library.is_file() else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # never built, or the record is no good: build
    return None


def _compile(units: Sequence[_Unit], linker: str, folder: Path, *, name: str, recipe: str) -> Path:
    with tempfile.TemporaryDirectory(prefix="oag-build-") as scratch:
        work = Path(scratch)
        headers: set[Path] = set()
        for number, unit in enumerate(units):
            headers |= _compile_unit(unit, work / f"{number}.o")
        objects = [work / f"{number}.o" for number in range(len(units))]
        for made, unit in zip(objects, units, strict=True):
            if unit.is_variant:
                _keep_apart(made, wanted=set().union(*map(undefined, objects)))
        library = _link(objects, linker, work)
        digests = {str(path): digest(path.read_bytes()) for path in sorted(headers)}
        key = digest(repr([recipe, sorted(digests.values())]).encode())[:16]
        path = put(folder / f"{name}-{key}.so", library.read_bytes(), mode=0o555)
        entry = {"headers": digests, "library": str(path)}
        put(folder / f"{recipe}.json", json.dumps(entry).encode())
    return path


def _compile_unit(unit: _Unit, made: Path) -> set[Path]:
    """Compile one source and return the headers it included."""
    listed = made.with_suffix(".d")
    _run([*unit.command, "-MMD", "-MF", str(listed), "-c", str(unit.source), "-o", str(made)])
    words = re.findall(r"(?:\\ |\S)+", listed.read_text(encoding="utf-8").replace("\\\n", " "))
    paths = {
        Path(word.replace("\\ ", " ")).resolve() for word in words[1:] if not word.endswith(":")
    }
    return paths - {unit.source.resolve()}


def _keep_apart(made: Path, wanted: set[str]) -> None:
    """Make all but the exports, and what other files ask for by name, local to one file.

    Templates and inline functions of two files with one name are merged by the linker, which would
    put AVX-512 code where the plain file calls it.
    """
    linker, copier = _tool("ld"), _tool("objcopy")
    whole, names = made.with_suffix(".whole.o"), made.with_suffix(".names")
    _run([linker, "-r", "--force-group-allocation", "-o", str(whole), str(made)])
    names.write_text("\n".join(["__tvm_ffi_*", "__oag_*", *sorted(wanted)]), encoding="utf-8")
    _run([copier, "-w", f"--keep-global-symbols={names}", str(whole), str(made)])


def _link(objects: Sequence[Path], linker: str, work: Path) -> Path:
    exports = work / "exports.map"
    exports.write_text(EXPORTS, encoding="utf-8")
    library = work / "library.so"
    strict = [f"--version-script={exports}", "-z,defs", "-z,now", "--build-id=none"]
    is_nvcc = Path(linker).name.startswith("nvcc")
    options = [f"-Xlinker={word}" if is_nvcc else f"-Wl,{word}" for word in strict]
    where = _runtime() / "lib"
    names = [str(path) for path in objects]
    _run([linker, "-shared", *names, "-o", str(library), *options, f"-L{where}", "-ltvm_ffi"])
    return library


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(  # noqa: S603 - a compiler found on PATH or named by the user
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise BuildFailedError(
            f"{Path(command[0]).name} did not accept the source",
            got="\n       ".join(_first_errors(done.stderr or done.stdout)),
            fix="correct the first error; the others may follow from it",
        )


def _first_errors(output: str) -> Sequence[str]:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wanted = [line for line in lines if re.search(r"\b(error|undefined|multiple def)", line)]
    return (wanted or lines or ["no message"])[:FIRST_ERRORS]


def runtime_library() -> Path:
    """Return the path of libtvm_ffi.so, which kernel libraries are linked with."""
    return _runtime() / "lib" / "libtvm_ffi.so"


def _runtime() -> Path:
    """The folder of the package tvm-ffi, found without importing it."""
    spec = importlib.util.find_spec("tvm_ffi")
    if spec is None or not spec.submodule_search_locations:
        need("tvm_ffi", extra="ops", why="building a kernel library")
        raise BuildFailedError("the package tvm-ffi has no folder", fix="install it again")
    return Path(spec.submodule_search_locations[0])


def _compiler(name: str) -> str:
    variable = {"g++": "CXX", "gcc": "CC"}[name]
    return _found(detect().get_env(variable) or name, variable)


def _tool(name: str) -> str:
    return _found(name, "PATH")


def _found(name: str, variable: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BuildFailedError(
            "a compiler is missing",
            got=f"no {name} on PATH",
            fix=f"install GCC and binutils, or set {variable}",
        )
    return path


def _nvcc() -> str | None:
    return shutil.which(detect().get_env("NVCC") or "nvcc")


def _nvcc_or_fail() -> str:
    path = _nvcc()
    if path is None:
        raise BuildFailedError(
            "CUDA sources need nvcc, which is not on PATH",
            fix="install the CUDA toolkit, set NVCC, or build with cuda=False",
        )
    return path


@cache
def _version(compiler: str) -> str:
    done = subprocess.run(  # noqa: S603 - the compiler itself
        [compiler, "--version"], capture_output=True, text=True, check=False
    )
    return done.stdout
