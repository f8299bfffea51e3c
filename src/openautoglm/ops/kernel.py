"""One implementation of an operator, and what it asks of the machine.

Owns `Kernel` and `Capability`. Knows neither how a kernel is chosen nor how it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias, get_args

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.definition import check_callable
from openautoglm.ops.dtypes import DTYPES, listed
from openautoglm.ops.fields import (
    are_texts,
    check_field,
    check_flag,
    check_function,
    check_reference,
    check_whole,
    read_tuple,
    shown,
)
from openautoglm.ops.machine import ISA_NAMES

if TYPE_CHECKING:
    from openautoglm.ops.opdef import OpDef

Language: TypeAlias = Literal["python", "numpy", "torch", "cpp", "cuda", "triton", "c"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
NATIVE: Final[frozenset[Language]] = frozenset({"cpp", "cuda", "c"})
"""Languages whose kernels are called without Python in between."""
DEVICES: Final = ("cpu", "cuda")

_SEPARATORS: Final = ";=,"
"""What stands between names in `OPENAUTOGLM_KERNELS`."""

REFERENCE_NAME: Final = "reference"
REFERENCE_PRIORITY: Final = -100

Version: TypeAlias = tuple[int, int]
Dtypes: TypeAlias = tuple[str, ...] | Mapping[str, tuple[str, ...]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a kernel needs beside its device.

    Attributes:
        min: the oldest CUDA compute capability it runs on, such as (8, 0).
        max: the newest one.
        isa: an instruction set of `ISA_NAMES`.

    Raises:
        OperatorDefinitionError: it contradicts itself.
    """

    min: Version | None = None
    max: Version | None = None
    isa: str | None = None

    def __post_init__(self) -> None:
        check_reference("a capability", "isa", self.isa)
        if self.isa is not None and self.isa not in ISA_NAMES:
            raise OperatorDefinitionError(
                "a capability names an instruction set that is not known",
                got=self.isa,
                fix=f"use one of {listed(sorted(ISA_NAMES), last='or')}",
            )
        for field_name in ("min", "max"):
            version: object = getattr(self, field_name)
            holds = version is None or _is_version(version)
            check_field("a capability", field_name, version, holds=holds, expected="like (8, 0)")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise OperatorDefinitionError(
                "a capability asks for a newer device than it allows",
                got=f"min={self.min}, max={self.max}",
                fix="exchange the two",
            )


def _is_version(value: object) -> bool:
    """Return whether this is a compute capability: major and minor."""
    return isinstance(value, tuple) and list(map(type, value)) == [int, int]


ANYWHERE: Final = Capability()
"""Asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One implementation of an operator.

    Attributes:
        name: what `prefer` and `explain` call it.
        op: the operator's name.
        device: `cpu` or `cuda`; None where it runs on any.
        dtypes: what the first input may be, or what each named input may be; None for any.
        language: Python kinds are called `fn(*inputs, *attrs, out=...)`, native ones
            `fn(*inputs, *attrs, *outs)`.
        function: the implementation; fills outputs that the caller has allocated.
        priority: the highest that takes a call wins.
        capability: what it needs of the machine.
        when: `when(*inputs, *attrs)` says whether it takes the call; None for always.
        contiguous: it wants contiguous inputs; others are copied before the call.
        library: the library it came with, None where it was registered in Python.
        generation: counts the loads of that library.

    Raises:
        OperatorDefinitionError: it contradicts itself.
    """

    name: str
    op: str
    function: Callable[..., object]
    device: str | None = None
    dtypes: Dtypes = field(default=None, hash=False)
    language: Language = "python"
    priority: int = 0
    capability: Capability = ANYWHERE
    when: Callable[..., bool] | None = None
    contiguous: bool = False
    library: str | None = None
    generation: int = 0

    def __post_init__(self) -> None:
        _check_name(self)
        _check_types(self)
        _check_kind(self)
        object.__setattr__(self, "dtypes", _read_dtypes(self))

    @property
    def is_native(self) -> bool:
        """Whether it is called without Python in between."""
        return self.language in NATIVE

    def dtypes_by_input(self, inputs: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        """Return what each input may be, of those inputs the kernel is particular about."""
        if isinstance(self.dtypes, Mapping):
            return self.dtypes
        return {} if self.dtypes is None or not inputs else {inputs[0]: self.dtypes}


def check_kernel(kernel: Kernel, opdef: OpDef) -> None:
    """Refuse a kernel that cannot serve this operator.

    Raises:
        OperatorDefinitionError: it names inputs or dtypes that the operator does not have.
    """
    where = f"kernel `{kernel.name}` of `{opdef.name}`"
    allowed = {part.name: part.dtypes for part in opdef.inputs}
    for name, dtypes in kernel.dtypes_by_input(opdef.input_names).items():
        if name not in allowed:
            raise OperatorDefinitionError(
                f"{where}: it names dtypes for `{name}`, which is no input",
                got=f"inputs: {listed(allowed)}",
                fix="name an input of the operator",
            )
        extra = [dtype for dtype in dtypes if dtype not in allowed[name]]
        if extra:
            raise OperatorDefinitionError(
                f"{where}: input `{name}` is never {listed(extra, last='or')}",
                got=f"the operator takes {listed(allowed[name])}",
                fix="drop what the operator does not take, or widen the operator",
            )


def check_python_kernel(kernel: Kernel, opdef: OpDef) -> None:
    """Refuse functions that cannot be called as kernels of this operator are.

    Raises:
        OperatorDefinitionError: the function or the predicate takes other arguments.
    """
    where = f"kernel `{kernel.name}` of `{opdef.name}`"
    arguments = (*opdef.input_names, *opdef.attr_names)
    if not kernel.is_native:
        check_callable(where, kernel.function, arguments, keywords=("out",))
    if kernel.when is not None:
        check_callable(f"{where}: when", kernel.when, arguments)


def reference_kernel(opdef: OpDef, function: Callable[..., object]) -> Kernel:
    """Return the kernel of last resort: any device, any dtype, behind all others.

    Args:
        opdef: the operator.
        function: fills `out`, as Python kernels do; made from `opdef.reference`, which returns.
    """
    return Kernel(
        name=REFERENCE_NAME, op=opdef.name, function=function, priority=REFERENCE_PRIORITY
    )


def _check_name(kernel: Kernel) -> None:
    check_field("a kernel", "op", kernel.op, holds=isinstance(kernel.op, str), expected="a name")
    name: object = kernel.name
    if isinstance(name, str) and not name:
        raise OperatorDefinitionError(
            f"a kernel of `{kernel.op}` has no name", got="''", fix="name it after what it is"
        )
    if not isinstance(name, str) or any(sign in name for sign in _SEPARATORS):
        raise OperatorDefinitionError(
            f"a kernel of `{kernel.op}` has a name that cannot be used",
            got=shown(name),
            fix=f"take a text without any of {' '.join(_SEPARATORS)}",
        )


def _check_types(kernel: Kernel) -> None:
    where = f"kernel `{kernel.name}` of `{kernel.op}`"
    capability: object = kernel.capability
    holds = callable(kernel.function)
    check_field(where, "function", kernel.function, holds=holds, expected="a function")
    check_whole(where, "priority", kernel.priority)
    check_whole(where, "generation", kernel.generation)
    holds = isinstance(capability, Capability)
    check_field(where, "capability", capability, holds=holds, expected="a Capability")
    check_function(where, "when", kernel.when)
    check_flag(where, "contiguous", kernel.contiguous)
    check_reference(where, "library", kernel.library)


def _read_dtypes(kernel: Kernel) -> Dtypes:
    """Return the dtypes of a kernel, frozen, or refuse what are none."""
    where = f"kernel `{kernel.name}` of `{kernel.op}`"
    if kernel.dtypes is None:
        return None
    if not isinstance(kernel.dtypes, Mapping):
        return _read_names(kernel.dtypes, where)
    by_input = {name: _read_names(dtypes, where) for name, dtypes in kernel.dtypes.items()}
    if not by_input:
        _refuse_dtypes(where, ())
    return MappingProxyType(by_input)


def _read_names(dtypes: object, where: str) -> tuple[str, ...]:
    names = read_tuple(dtypes, where, 'dtypes is a tuple, as in ("f32",)')
    if not names or not are_texts(names) or not DTYPES.keys() >= set(names):
        _refuse_dtypes(where, names)
    return names


def _refuse_dtypes(where: str, names: tuple[object, ...]) -> NoReturn:
    raise OperatorDefinitionError(
        f"{where}: dtypes are names of {listed(DTYPES)}",
        got=listed(map(str, names)),
        fix="name at least one, or leave dtypes out where any will do",
    )


def _check_kind(kernel: Kernel) -> None:
    where = f"kernel `{kernel.name}` of `{kernel.op}`"
    language: object = kernel.language
    device: object = kernel.device
    if not isinstance(language, str) or language not in LANGUAGES:
        raise OperatorDefinitionError(
            f"{where}: the language is {listed(LANGUAGES, last='or')}",
            got=shown(language),
            fix="use the one whose calling convention it has",
        )
    if device is not None and not (isinstance(device, str) and device in DEVICES):
        raise OperatorDefinitionError(
            f"{where}: the device is {listed(DEVICES, last='or')}",
            got=shown(device),
            fix="leave it out where any device will do",
        )
    if kernel.device == "cuda" and kernel.capability.isa is not None:
        raise OperatorDefinitionError(
            f"{where}: an instruction set is a processor's, the kernel is a GPU's",
            got=f"isa={kernel.capability.isa!r}, device='cuda'",
            fix="ask for a compute capability: Capability(min=(8, 0))",
        )
