"""Which kernel serves a call, and why each other one does not.

Pure: facts about the call and the machine come in as arguments, a choice with all its refusals
goes out. Runs no kernel; a kernel's own predicate is the one foreign thing it calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from openautoglm.ops.dtypes import listed
from openautoglm.ops.machine import X86_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openautoglm.ops.kernel import Kernel, Language, Version
    from openautoglm.ops.machine import Machine

Arrays: TypeAlias = Literal["torch", "numpy", "cupy", "jax", "dlpack"]
NOUNS: Final[dict[Arrays, str]] = {
    "torch": "torch tensors",
    "numpy": "numpy arrays",
    "cupy": "cupy arrays",
    "jax": "jax arrays",
    "dlpack": "arrays of another library",
}
NEEDS_TORCH: Final[frozenset[Language]] = frozenset({"torch", "triton"})
"""Languages that take torch tensors only; all others take any array, by DLPack."""
UNASKED: Final = "its predicate needs the arguments of a call"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What is known of a call before a kernel is chosen.

    Attributes:
        device: `cpu` or `cuda`.
        inputs: the operator's input names.
        dtypes: one for each input, None where it is absent.
        arrays: the library the arrays are of.
        contiguous: whether all inputs are.
        index: the number of the device.
        arguments: inputs and attributes in order, for predicates; None where there is no call yet.
    """

    device: str
    inputs: tuple[str, ...]
    dtypes: tuple[str | None, ...]
    arrays: Arrays = "torch"
    contiguous: bool = True
    index: int = 0
    arguments: tuple[object, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kernel that does not serve a call, and why."""

    kernel: Kernel
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The kernel that serves a call, if any.

    Attributes:
        winner: None where every kernel refused.
        refusals: all other kernels, in the order in which they would have been taken.
        copies: the winner wants contiguous inputs, and the call's are not.
        depends_on_arguments: a kernel before the winner might take the call; its predicate was not
            asked, since the facts hold no arguments.
    """

    winner: Kernel | None
    refusals: tuple[Refusal, ...]
    copies: bool = False
    depends_on_arguments: bool = False


def choose(
    kernels: Iterable[Kernel], facts: CallFacts, machine: Machine, prefer: Sequence[str] = ()
) -> Choice:
    """Choose the kernel of a call.

    Kernels are asked in this order: those that `prefer` names, by kernel or by library, in its
    order; the highest priority; native before Python; by name.

    Example:
        >>> from openautoglm.ops.kernel import Kernel
        >>> from openautoglm.ops.machine import machine
        >>> fast = Kernel(name="fast", op="neg", device="cuda", function=print)
        >>> facts = CallFacts(device="cpu", inputs=("x",), dtypes=("f32",))
        >>> choose([fast], facts, machine()).refusals[0].reason
        'cuda kernel, the call is on cpu'
    """
    winner: Kernel | None = None
    refusals: list[Refusal] = []
    depends = False
    for kernel in sorted(kernels, key=lambda kernel: _rank(kernel, prefer)):
        reason = _refusal(kernel, facts, machine)
        if reason is None and winner is None:
            winner = kernel
            continue
        if reason is None and winner is not None:
            reason = _why_behind(kernel, winner, prefer)
        depends = depends or (winner is None and reason == UNASKED)
        refusals.append(Refusal(kernel, reason or ""))
    return Choice(
        winner=winner,
        refusals=tuple(refusals),
        copies=winner is not None and winner.contiguous and not facts.contiguous,
        depends_on_arguments=depends,
    )


def _rank(kernel: Kernel, prefer: Sequence[str]) -> tuple[int, int, bool, str, int]:
    preferred = _preference(kernel, prefer)
    return preferred, -kernel.priority, not kernel.is_native, kernel.name, -kernel.generation


def _preference(kernel: Kernel, prefer: Sequence[str]) -> int:
    places = [i for i, name in enumerate(prefer) if name in (kernel.name, kernel.library)]
    return places[0] if places else len(prefer)


def _refusal(kernel: Kernel, facts: CallFacts, machine: Machine) -> str | None:
    return (
        _device_refusal(kernel, facts)
        or _arrays_refusal(kernel, facts)
        or _dtype_refusal(kernel, facts)
        or _isa_refusal(kernel.capability.isa, machine)
        or _cuda_refusal(kernel, facts, machine)
        or _predicate_refusal(kernel, facts)
    )


def _device_refusal(kernel: Kernel, facts: CallFacts) -> str | None:
    if kernel.device in (None, facts.device):
        return None
    return f"{kernel.device} kernel, the call is on {facts.device}"


def _arrays_refusal(kernel: Kernel, facts: CallFacts) -> str | None:
    if kernel.language not in NEEDS_TORCH or facts.arrays == "torch":
        return None
    return f"expects {NOUNS['torch']}, the call has {NOUNS[facts.arrays]}"


def _dtype_refusal(kernel: Kernel, facts: CallFacts) -> str | None:
    given = dict(zip(facts.inputs, facts.dtypes, strict=True))
    for name, allowed in kernel.dtypes_by_input(facts.inputs).items():
        dtype = given.get(name)
        if dtype is not None and dtype not in allowed:
            return f"takes {listed(allowed)}, {name} is {dtype}"
    return None


def _isa_refusal(isa: str | None, machine: Machine) -> str | None:
    if isa is None or isa in machine.isa:
        return None
    if isa in X86_NAMES and machine.arch == "x86_64" and not isa.startswith("x86-64"):
        return f"needs {isa}, which this machine lacks"
    return f"needs {isa}, this machine has {machine.level}"


def _cuda_refusal(kernel: Kernel, facts: CallFacts, machine: Machine) -> str | None:
    oldest, newest = kernel.capability.min, kernel.capability.max
    if facts.device != "cuda" or (oldest is None and newest is None):
        return None
    needs = _sm_range(oldest, newest)
    if facts.index >= len(machine.cuda):
        return f"needs {needs}, no CUDA device {facts.index} was found"
    found = machine.cuda[facts.index]
    if (oldest is None or found >= oldest) and (newest is None or found <= newest):
        return None
    return f"needs {needs}, this device has {_sm(found)}"


def _sm_range(oldest: Version | None, newest: Version | None) -> str:
    if oldest is not None and newest is not None:
        return _sm(oldest) if oldest == newest else f"{_sm(oldest)} to {_sm(newest)}"
    return f"{_sm(oldest)} or newer" if oldest is not None else f"{_sm(newest)} or older"


def _sm(version: Version | None) -> str:
    return "any" if version is None else f"sm_{version[0]}{version[1]}"


def _predicate_refusal(kernel: Kernel, facts: CallFacts) -> str | None:
    if kernel.when is None:
        return None
    if facts.arguments is None:
        return UNASKED
    try:
        takes = kernel.when(*facts.arguments)
    except Exception as cause:  # noqa: BLE001 - a broken predicate costs its own kernel, not the call
        return f"predicate raised {type(cause).__name__}: {cause}"
    return None if takes else "predicate said no"


def _why_behind(kernel: Kernel, winner: Kernel, prefer: Sequence[str]) -> str:
    if _preference(kernel, prefer) != _preference(winner, prefer):
        return f"`{winner.name}` is preferred"
    if kernel.priority != winner.priority:
        return f"lower priority than `{winner.name}`"
    if kernel.is_native != winner.is_native:
        return f"same priority as `{winner.name}`, which is native"
    if kernel.name != winner.name:
        return f"same priority as `{winner.name}`, which is first by name"
    return f"same priority and name as `{winner.name}`, which is of a newer generation"
