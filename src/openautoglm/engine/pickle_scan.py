"""Which imports a torch `.bin` file would make, found without unpickling it.

Owns the allow-list of names that plain tensors need. The file's opcodes are only read. What it does
not guard against: a fault in the allowed functions themselves; `torch.load(weights_only=True)` is
the second guard. Knows nothing of torch.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from typing import IO, TYPE_CHECKING, Final, final

from openautoglm.errors import UnsafeWeightsError, WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORAGES: Final = (
    "Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
    "ComplexFloat", "ComplexDouble",
)  # fmt: skip
ALLOWED: Final = frozenset(
    {
        ("collections", "OrderedDict"),
        ("torch", "Size"),
        ("torch", "device"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch.storage", "UntypedStorage"),
        ("torch.storage", "TypedStorage"),
        ("torch.nn.parameter", "Parameter"),
    }
    | {("torch", f"{kind}Storage") for kind in STORAGES}
)
MAX_PICKLE_BYTES: Final = 64 * 2**20  # only names and shapes; the tensors lie beside it
LEGACY_PICKLES: Final = 5  # magic, protocol, system, object, storage keys
STRINGS: Final = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
PUTS: Final = {"PUT", "BINPUT", "LONG_BINPUT"}
GETS: Final = {"GET", "BINGET", "LONG_BINGET"}
EXTENSIONS: Final = {"EXT1", "EXT2", "EXT4"}
FIX: Final = "ask its author for a .safetensors file, or convert it where it may do no harm"


def check_bin(path: Path) -> None:
    """Refuse a `.bin` weights file that imports anything tensors do not need.

    Raises:
        UnsafeWeightsError: it names an import outside the allow-list; nothing was executed.
        WeightsCorruptError: it is neither of torch's two formats, or is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_zip(path)
        else:
            _check_legacy(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as cause:
        if isinstance(cause, UnsafeWeightsError):
            raise
        raise _corrupt(path, cause) from cause


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) != len(names):
            raise UnsafeWeightsError(
                f"`{path.name}` holds two files of one name", got="a forged archive", fix=FIX
            )
        if any("/code/" in name for name in names):
            raise UnsafeWeightsError(
                f"`{path.name}` is a TorchScript archive, which is a program", fix=FIX
            )
        pickles = [info for info in archive.infolist() if info.filename.endswith(".pkl")]
        if not pickles:
            raise _corrupt(path, "no data.pkl inside")
        for info in pickles:
            if info.file_size > MAX_PICKLE_BYTES:
                raise _corrupt(path, f"{info.filename} has {info.file_size} bytes")
            _check_stream(path, io.BytesIO(archive.read(info)))
        damaged = archive.testzip()
    if damaged is not None:
        raise _corrupt(path, f"the checksum of {damaged} does not match")


def _check_legacy(path: Path) -> None:
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            _check_stream(path, file)


def _check_stream(path: Path, stream: IO[bytes]) -> None:
    for module, name in _imports(path, stream):
        if (module, name) not in ALLOWED:
            raise UnsafeWeightsError(
                f"`{path.name}` would run code when loaded", got=f"imports {module}.{name}", fix=FIX
            )


def _imports(path: Path, stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for each import of one pickle, in order."""
    strings = _Strings()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in {"GLOBAL", "INST"}:
                module, _, name = str(argument).partition(" ")
                yield module, name
            elif opcode.name == "STACK_GLOBAL":
                yield strings.last_two()
            elif opcode.name in EXTENSIONS:
                yield "copyreg", f"extension {argument}"
            strings.see(opcode.name, argument)
    except (ValueError, IndexError, OverflowError, MemoryError) as cause:
        raise _corrupt(path, cause) from cause


@final
class _Strings:
    """Remember which strings lie on top of the pickle's stack, as far as imports need it.

    Whatever it cannot follow becomes "?", which no allow-list holds.
    """

    def __init__(self) -> None:
        self._top: list[str] = []
        self._memo: dict[int, str] = {}

    def see(self, opcode: str, argument: object) -> None:
        if opcode in STRINGS:
            self._push(str(argument))
        elif opcode == "MEMOIZE":
            self._memo[len(self._memo)] = self._top[-1] if self._top else "?"
        elif opcode in PUTS and isinstance(argument, int):
            self._memo[argument] = self._top[-1] if self._top else "?"
        elif opcode in GETS and isinstance(argument, int):
            self._push(self._memo.get(argument, "?"))
        else:
            self._push("?")

    def last_two(self) -> tuple[str, str]:
        module, name = (["?", "?", *self._top])[-2:]
        return module, name

    def _push(self, text: str) -> None:
        self._top = [*self._top[-1:], text]


def _corrupt(path: Path, got: object) -> WeightsCorruptError:
    return WeightsCorruptError(
        f"the weights file `{path.name}` is damaged, or no torch file",
        got=got,
        fix="download or copy the file again",
    )
