"""What an ELF library says of itself, read from the file; nothing of it is loaded or run.

Owns `read` and `LibraryFacts`. Knows nothing of operators or of what makes a library acceptable. It
does not guard against code that hides what it does: a library's code can do all the process can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import LibraryRefusedError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import Symbol

MANIFEST_PREFIX: Final = "__oag_manifest_"
GNU_UNIQUE: Final = frozenset({"STB_LOOS", "STB_GNU_UNIQUE"})
COMPILERS_OWN: Final = ("frame_dummy", "init_have_lse_atomics", "__cpu_indicator_init", "_init")
CUDA_OWN: Final = ("__sti____cudaRegisterAll", "libcudart_static_")
"""What nvcc adds: each file tells the CUDA runtime where its GPU code lies."""

MACHINES: Final = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_RISCV": "riscv64"}
NODELETE: Final = 0x8
MAX_TEXT: Final = 2**20


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFacts:
    """What stands in a library's file.

    Attributes:
        exports: names of the functions and data it offers.
        undefined: names it must find elsewhere when it is loaded; weak ones are left out.
        gnu_unique: exported names that the loader may never unload.
        needed: libraries it asks for.
        machine: the processor, by the name `platform.machine` has for it.
        soname: its own name, if it has one.
        manifest: the rows of text it carries, sorted; see `openautoglm/abi.h`.
        static_constructors: functions the loader would run, without the compiler's own.
        is_pinned: it asks never to be unloaded.
    """

    exports: frozenset[str]
    undefined: frozenset[str]
    gnu_unique: frozenset[str]
    needed: tuple[str, ...]
    machine: str
    soname: str | None
    manifest: tuple[str, ...]
    static_constructors: tuple[str, ...]
    is_pinned: bool

    @property
    def has_static_constructors(self) -> bool:
        """Whether loading it would run code of its author."""
        return bool(self.static_constructors)


def read(path: Path) -> LibraryFacts:
    """Read a shared library's file.

    Raises:
        LibraryRefusedError: it is no ELF shared library, or a damaged one.
        MissingExtraError: pyelftools is not installed.
    """
    need("elftools", extra="ops", why="reading a kernel library")
    try:
        with path.open("rb") as file:
            return _facts(file)
    except LibraryRefusedError:
        raise
    except OSError as cause:
        raise LibraryRefusedError(
            "the library cannot be read", got=f"{path}: {cause.strerror}", fix="check the path"
        ) from cause
    except Exception as cause:  # a damaged file makes the parser raise anything
        raise LibraryRefusedError(
            "the library's file is damaged",
            got=f"{path}: {type(cause).__name__}: {cause}",
            fix="build it again",
        ) from cause


def undefined(path: Path) -> frozenset[str]:
    """Return the names an object file asks of others.

    Raises:
        MissingExtraError: pyelftools is not installed.
    """
    need("elftools", extra="ops", why="building a kernel library")
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        symbols = table.iter_symbols() if table is not None else ()
        return frozenset(s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name)


def _facts(file: IO[bytes]) -> LibraryFacts:
    from elftools.elf.elffile import ELFFile

    if file.read(4) != b"\x7fELF":
        raise LibraryRefusedError(
            "the file is no ELF library", got=file.name, fix="build it with `oag op build DIR`"
        )
    elf = ELFFile(file)
    dynamic = next(iter(elf.iter_segments("PT_DYNAMIC")), None)
    if elf["e_type"] != "ET_DYN" or dynamic is None:
        raise LibraryRefusedError(
            "the file is no shared library",
            got=str(elf["e_type"]),
            fix="build it with `oag op build DIR`",
        )
    symbols = [symbol for symbol in dynamic.iter_symbols() if symbol.name]
    tags = {str(tag.entry.d_tag): tag for tag in dynamic.iter_tags()}
    defined = [symbol for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF"]
    return LibraryFacts(
        exports=frozenset(symbol.name for symbol in defined),
        undefined=frozenset(
            symbol.name
            for symbol in symbols
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_WEAK"
        ),
        gnu_unique=frozenset(s.name for s in defined if s["st_info"]["bind"] in GNU_UNIQUE),
        needed=tuple(t.needed for t in dynamic.iter_tags() if t.entry.d_tag == "DT_NEEDED"),
        machine=MACHINES.get(elf["e_machine"], f"{elf['e_machine']}, {elf.elfclass} bits"),
        soname=str(tags["DT_SONAME"].soname) if "DT_SONAME" in tags else None,
        manifest=tuple(sorted(filter(None, _rows(elf, defined)))),
        static_constructors=tuple(_constructors(elf, dynamic, symbols)),
        is_pinned="DT_FLAGS_1" in tags and bool(tags["DT_FLAGS_1"].entry.d_val & NODELETE),
    )


def _rows(elf: ELFFile, symbols: list[Symbol]) -> Iterator[str]:
    for symbol in symbols:
        if symbol.name.startswith(MANIFEST_PREFIX):
            size = min(symbol["st_size"], MAX_TEXT)
            yield _bytes_at(elf, symbol["st_value"], size).split(b"\0")[0].decode()


def _bytes_at(elf: ELFFile, address: int, size: int) -> bytes:
    offset = next(iter(elf.address_offsets(address, max(size, 1))), None)
    if offset is None:
        raise ValueError(f"address {address:#x} is in no segment of the file")
    elf.stream.seek(offset)
    return bytes(elf.stream.read(size))


def _constructors(elf: ELFFile, dynamic: DynamicSegment, symbols: list[Symbol]) -> Iterator[str]:
    names = _function_names(elf, symbols)
    addresses = [*_init_array(elf, dynamic), *_init_function(elf, dynamic)]
    unnamed = [address for address in addresses if address not in names]
    if unnamed and not _has_symbol_table(elf):
        del unnamed[0]  # stripped: the compiler's own one, whose name is gone too
    for address in addresses:
        if address in unnamed:
            yield f"a function without a name at {address:#x}"
        elif (name := names.get(address)) and not _is_compilers_own(name):
            yield name


def _is_compilers_own(name: str) -> bool:
    return name in COMPILERS_OWN or any(part in name for part in CUDA_OWN)


def _has_symbol_table(elf: ELFFile) -> bool:
    return elf.get_section_by_name(".symtab") is not None


def _function_names(elf: ELFFile, dynamic_symbols: list[Symbol]) -> Mapping[int, str]:
    table = elf.get_section_by_name(".symtab")
    symbols = [*dynamic_symbols, *(table.iter_symbols() if table is not None else ())]
    return {s["st_value"]: s.name for s in symbols if s["st_info"]["type"] == "STT_FUNC" and s.name}


def _init_function(elf: ELFFile, dynamic: DynamicSegment) -> Iterator[int]:
    """Give the address of `DT_INIT` where it is not the linker's own section `.init`."""
    section = elf.get_section_by_name(".init")
    for tag in dynamic.iter_tags("DT_INIT"):
        if section is None or section["sh_addr"] != tag.entry.d_val:
            yield tag.entry.d_val


def _init_array(elf: ELFFile, dynamic: DynamicSegment) -> Iterator[int]:
    start = next((t.entry.d_val for t in dynamic.iter_tags("DT_INIT_ARRAY")), 0)
    size = next((t.entry.d_val for t in dynamic.iter_tags("DT_INIT_ARRAYSZ")), 0)
    targets = _relocated(dynamic)
    word = elf.elfclass // 8
    order: Final = "little" if elf.little_endian else "big"
    for slot in range(start, start + size, word):
        target = targets.get(slot) or int.from_bytes(_bytes_at(elf, slot, word), order)
        if target not in {0, 2 ** (8 * word) - 1}:
            yield target


def _relocated(dynamic: DynamicSegment) -> Mapping[int, int]:
    """Where the loader will write what: address of a word, address written there."""
    targets = {}
    for table in dynamic.get_relocation_tables().values():
        for relocation in table.iter_relocations():
            entry = relocation.entry
            if "r_addend" in entry:
                symbol = entry["r_info_sym"]
                base = dynamic.get_symbol(symbol)["st_value"] if symbol else 0
                targets[entry["r_offset"]] = base + entry["r_addend"]
    return targets
