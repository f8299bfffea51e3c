"""The rows of text in a kernel library: which operators it states, which kernels it has.

Owns how a row is read; `openautoglm/abi.h` says how it is written. Knows nothing of files, and
of a schema only that it begins with the operator's name.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

from openautoglm.errors import LibraryRefusedError, OperatorDefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence

ABI_VERSION: Final = "1"
DTYPES: Final = frozenset(
    (
        *("f16", "bf16", "f32", "f64", "f8_e4m3fn", "f8_e5m2", "bool"),
        *("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"),
    )
)
DEVICES: Final = frozenset({"cpu", "cuda"})
SYMBOL_PREFIX: Final = "__tvm_ffi_"
SYMBOL: Final = re.compile(rf"{SYMBOL_PREFIX}\w+", re.ASCII)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """An operator a library states: its name and its schema as the author wrote it."""

    name: str
    schema: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRow:
    """One kernel of a library.

    Attributes:
        op: the operator it serves; a gradient serves `<name>_backward`.
        symbol: the function to call, a symbol of the library.
        device: "cpu" or "cuda".
        dtypes: what the first input may be; empty means all that the operator takes.
        isa: the instruction set it needs, as `x86-64-v3`, or `sm_80` on CUDA; empty for any.
        priority: of the kernels that take a call, the highest is called.
        flags: "contiguous" where it wants contiguous inputs, "c" where it is written in C.
    """

    op: str
    symbol: str
    device: str
    dtypes: tuple[str, ...]
    isa: str
    priority: int
    flags: frozenset[str]

    @property
    def is_contiguous(self) -> bool:
        """Whether the caller must make the inputs contiguous."""
        return "contiguous" in self.flags

    @property
    def language(self) -> Literal["c", "cpp", "cuda"]:
        """What it is written in."""
        if self.device == "cuda":
            return "cuda"
        return "c" if "c" in self.flags else "cpp"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All rows of a library, in the order of their text."""

    operators: tuple[OperatorRow, ...]
    kernels: tuple[KernelRow, ...]


def parse(rows: Sequence[str]) -> Manifest:
    r"""Read the rows of a library.

    Raises:
        LibraryRefusedError: no rows, another ABI, a row that cannot be read, or a name twice.
        OperatorDefinitionError: an operator is registered under another name than its schema's.

    Example:
        >>> row = "kernel\tadd\t__tvm_ffi_oag_add\tCPU\tF32, F64,\tx86-64-v3\t10\tcontiguous"
        >>> parse(["abi\t1", row]).kernels[0].dtypes
        ('f32', 'f64')
    """
    _check_abi([row for row in rows if row.split("\t")[0] == "abi"])
    operators, kernels = [], []
    for row in rows:
        match row.split("\t"):
            case ["abi", _]:
                pass
            case ["op", name, *schema] if name.isidentifier() and schema:
                operators.append(_operator(name, " ".join(schema)))
            case ["kernel", *fields]:
                kernels.append(_kernel(row, fields))
            case _:
                raise _unreadable(row)
    _check_once("operator", [operator.name for operator in operators])
    _check_once("kernel symbol", [kernel.symbol for kernel in kernels])
    return Manifest(operators=tuple(operators), kernels=tuple(kernels))


def _check_abi(rows: Sequence[str]) -> None:
    if not rows:
        raise LibraryRefusedError(
            "the library has no manifest: it is no kernel library",
            fix="include <openautoglm/op.h> and build it with `oag op build DIR`",
        )
    wrong = [row for row in rows if row != f"abi\t{ABI_VERSION}"]
    if wrong:
        raise LibraryRefusedError(
            f"the library is built for another ABI; this program has ABI {ABI_VERSION}",
            got=f"ABI {', '.join(row.partition(chr(9))[2] for row in wrong)}",
            fix="build it again with the header of this version",
        )


def _operator(name: str, schema: str) -> OperatorRow:
    stated = schema.partition("(")[0].strip()
    if stated != name:
        raise OperatorDefinitionError(
            f"operator `{name}` is registered with the schema of `{stated}`",
            got=f'{name}, "{schema}"',
            fix="write the same name in both places",
        )
    return OperatorRow(name=name, schema=schema)


def _kernel(row: str, fields: Sequence[str]) -> KernelRow:
    try:
        op, symbol, device, dtypes, isa, priority, flags = fields
        number = int(priority)
    except ValueError as cause:
        raise _unreadable(row) from cause
    names = _words(dtypes)
    if (
        not op.isidentifier()
        or SYMBOL.fullmatch(symbol) is None
        or device.lower() not in DEVICES
        or not DTYPES.issuperset(names)
    ):
        raise _unreadable(row)
    return KernelRow(
        op=op,
        symbol=symbol,
        device=device.lower(),
        dtypes=names,
        isa=isa,
        priority=number,
        flags=frozenset(_words(flags)),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())


def _unreadable(row: str) -> LibraryRefusedError:
    return LibraryRefusedError(
        "a row of the library's manifest cannot be read",
        got=repr(row),
        fix="the rows are what REGISTER_OPERATOR and REGISTER_KERNEL write, see openautoglm/abi.h",
    )


def _check_once(what: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LibraryRefusedError(
            f"the library states an {what} twice" if what[0] == "o" else f"a {what} stands twice",
            got=", ".join(twice),
            fix="register it once",
        )
