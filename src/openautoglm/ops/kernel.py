"""One implementation of an operator, and what it asks of the machine.

Owns `Kernel` and `Capability`. Knows neither how a kernel is chosen nor how it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.definition import check_callable
from openautoglm.ops.dtypes import DTYPES, listed
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
        if self.isa is not None and self.isa not in ISA_NAMES:
            raise OperatorDefinitionError(
                "a capability names an instruction set that is not known",
                got=self.isa,
                fix=f"use one of {listed(sorted(ISA_NAMES), last='or')}",
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise OperatorDefinitionError(
                "a capability asks for a newer device than it allows",
                got=f"min={self.min}, max={self.max}",
                fix="exchange the two",
            )


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
        if isinstance(self.dtypes, Mapping):
            frozen = {name: tuple(dtypes) for name, dtypes in self.dtypes.items()}
            object.__setattr__(self, "dtypes", MappingProxyType(frozen))
            taken = [dtype for dtypes in frozen.values() for dtype in dtypes]
        else:
            taken = list(self.dtypes or ())
        unknown = [dtype for dtype in taken if dtype not in DTYPES]
        if unknown or (self.dtypes is not None and not taken):
            raise OperatorDefinitionError(
                f"kernel `{self.name}` of `{self.op}`: dtypes are names of {listed(DTYPES)}",
                got=listed(taken),
                fix="name at least one, or leave dtypes out where any will do",
            )

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
    name: object = kernel.name
    if name == "":
        raise OperatorDefinitionError(
            f"a kernel of `{kernel.op}` has no name", got="''", fix="name it after what it is"
        )
    if not isinstance(name, str) or any(sign in name for sign in _SEPARATORS):
        raise OperatorDefinitionError(
            f"a kernel of `{kernel.op}` has a name that cannot be used",
            got=repr(name),
            fix=f"take a text without any of {' '.join(_SEPARATORS)}",
        )


def _check_types(kernel: Kernel) -> None:
    priority: object = kernel.priority
    capability: object = kernel.capability
    when: object = kernel.when
    is_whole = isinstance(priority, int) and not isinstance(priority, bool)
    rules = (
        ("function", callable(kernel.function), "a function", kernel.function),
        ("priority", is_whole, "a whole number", priority),
        ("capability", isinstance(capability, Capability), "a Capability", capability),
        ("when", when is None or callable(when), "a function", when),
        ("dtypes", not isinstance(kernel.dtypes, str), 'a tuple, as in ("f32",)', kernel.dtypes),
    )
    for field_name, holds, expected, value in rules:
        if not holds:
            raise OperatorDefinitionError(
                f"kernel `{kernel.name}` of `{kernel.op}`: {field_name} is {expected}",
                got=repr(value),
                fix=f"pass {expected}, or leave {field_name} out",
            )


def _check_kind(kernel: Kernel) -> None:
    where = f"kernel `{kernel.name}` of `{kernel.op}`"
    if kernel.language not in LANGUAGES:
        raise OperatorDefinitionError(
            f"{where}: the language is {listed(LANGUAGES, last='or')}",
            got=repr(kernel.language),
            fix="use the one whose calling convention it has",
        )
    if kernel.device is not None and kernel.device not in DEVICES:
        raise OperatorDefinitionError(
            f"{where}: the device is {listed(DEVICES, last='or')}",
            got=repr(kernel.device),
            fix="leave it out where any device will do",
        )
    if kernel.device == "cuda" and kernel.capability.isa is not None:
        raise OperatorDefinitionError(
            f"{where}: an instruction set is a processor's, the kernel is a GPU's",
            got=f"isa={kernel.capability.isa!r}, device='cuda'",
            fix="ask for a compute capability: Capability(min=(8, 0))",
        )
