"""One call of an operator in Python: checks, choice, outputs, the kernel; any array library.

This is the way of every call that is not ordinary: NumPy's, preferences, predicates, errors worded
for people. Ordinary calls on torch tensors go to the native table instead (`torch_bridge`).
Knows nothing of gradients.
"""

from __future__ import annotations

import operator
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openautoglm.errors import (
    KernelFailedError,
    NoKernelError,
    OpenAutoGLMError,
    OperatorArgumentError,
)
from openautoglm.native.cells import numpy_through_python
from openautoglm.ops import arrays
from openautoglm.ops.call import infer_outputs
from openautoglm.ops.choose import CallFacts
from openautoglm.ops.table import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.ops.arguments import ArraySpec, In
    from openautoglm.ops.choose import Arrays, Choice
    from openautoglm.ops.kernel import Kernel
    from openautoglm.ops.opdef import InputSpec
    from openautoglm.ops.table import KernelTable


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRun:
    """One call that a watcher saw.

    Attributes:
        op: the operator.
        kernel: which kernel ran.
        device: where.
        seconds: how long it took; on a GPU, how long the launch took.
    """

    op: str
    kernel: str
    device: str
    seconds: float


_watchers: ContextVar[tuple[Callable[[KernelRun], None], ...]] = ContextVar(
    "openautoglm_kernel_watchers", default=()
)
_MAX_PLANS: Final = 256


@contextmanager
def watching(watcher: Callable[[KernelRun], None]) -> Iterator[None]:
    """Tell `watcher` of every kernel that runs through Python inside the block, in this thread."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        with numpy_through_python():
            yield
    finally:
        _watchers.reset(token)


def call(table: KernelTable, inputs: Sequence[object], attrs: Sequence[object]) -> Any:  # noqa: ANN401 - arrays
    """Return the outputs of a call: one array, or a tuple of them.

    Raises:
        OperatorArgumentError: an argument is not what the operator takes.
        NoKernelError: no kernel takes the call; the message says why each refused.
        KernelFailedError: the kernel raised.
    """
    like = _first_array(inputs)
    ready = readable(table, inputs)
    plan = _plan(table, ready, attrs)
    outs = tuple(arrays.empty(spec, _first_array(ready)) for spec in plan.outputs)
    run(table, plan.kernel, ready, attrs, outs)
    returned = tuple(arrays.in_library_of(out, like) for out in outs)
    return returned[0] if len(returned) == 1 else returned


def readable(table: KernelTable, inputs: Sequence[object]) -> Sequence[object]:
    """Return the inputs of a call; those that are on a GPU and not torch's as views of torch."""
    if not arrays.is_foreign(_first_array(inputs)):
        return inputs
    specs_of(table, inputs)  # words what is no array
    return [arrays.as_torch_all(value) for value in inputs]


def _plan(table: KernelTable, inputs: Sequence[object], attrs: Sequence[object]) -> Plan:
    """Return the kernel and the outputs of a call; those of an equal one before it where it can."""
    plans = table.plans  # emptied by putting another dict in its place, so this one stays true
    looks = _looks(inputs, attrs) if table.is_steady else None
    known = None if looks is None else plans.get(looks)
    if known is not None:
        return known
    specs = specs_of(table, inputs)
    wanted = infer_outputs(table.opdef, specs, attrs)
    facts = facts_of(table, inputs, specs, attrs)
    choice = table.choose(facts)
    if choice.winner is None:
        raise no_kernel(table, facts, choice)
    plan = Plan(kernel=choice.winner, outputs=tuple(wanted))
    if looks is not None and len(plans) < _MAX_PLANS:
        plans[looks] = plan
    return plan


def _looks(inputs: Sequence[Any], attrs: Sequence[object]) -> object | None:
    """Return all that a plan depends on, for NumPy's arrays; None for a call with any other."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    kind = numpy.ndarray
    shapes: list[object] = []
    for array in inputs:
        if type(array) is not kind:
            return None
        shapes += (array.dtype, array.shape)
    return (*shapes, *attrs, *map(type, attrs))


def run(
    table: KernelTable,
    kernel: Kernel,
    inputs: Sequence[object],
    attrs: Sequence[object],
    outs: tuple[object, ...],
) -> None:
    """Run one kernel on arrays of any library, filling `outs`."""
    ready = [
        _handed(value, kernel, part) for part, value in zip(table.opdef.inputs, inputs, strict=True)
    ]
    table.count(kernel)
    watchers = _watchers.get()
    started = time.perf_counter() if watchers else 0.0
    try:
        _invoke(kernel, ready, attrs, outs)
    except OpenAutoGLMError:
        raise
    except Exception as cause:
        raise failed(kernel.op, kernel.name, cause) from cause
    for watcher in watchers:
        device = str(getattr(outs[0], "device", "cpu"))
        seconds = time.perf_counter() - started
        watcher(KernelRun(op=kernel.op, kernel=kernel.name, device=device, seconds=seconds))


def failed(op: str, kernel: str, cause: Exception) -> KernelFailedError:
    """Return the error of a call whose kernel raised."""
    return KernelFailedError(
        f"kernel `{kernel}` of `{op}` failed",
        got=f"{type(cause).__name__}: {cause}",
        fix=f"prefer another kernel, or see `ops.check({op!r})`",
    )


def are_dense(table: KernelTable, inputs: Sequence[object]) -> bool:
    """Return whether every input that the operator wants contiguous is."""
    pairs = zip(table.opdef.inputs, inputs, strict=True)
    wanted = [value for part, value in pairs if part.layout == "contiguous"]
    return all(arrays.is_contiguous(array) for array in _flat(wanted))


def specs_of(table: KernelTable, inputs: Sequence[object]) -> list[InputSpec]:
    """Describe the inputs of a call."""
    specs: list[InputSpec] = []
    for part, value in zip(table.opdef.inputs, inputs, strict=True):
        if value is None:
            specs.append(None)
        elif not part.many:
            specs.append(arrays.spec_of(value, part.name))
        elif isinstance(value, (list, tuple)):
            specs.append(tuple(arrays.spec_of(item, part.name) for item in value))
        else:
            raise OperatorArgumentError(
                f"argument `{part.name}` of `{table.opdef.name}`: expected a list of arrays",
                got=type(value).__name__,
                fix="pass a list",
            )
    return specs


def facts_of(
    table: KernelTable,
    inputs: Sequence[object],
    specs: Sequence[InputSpec],
    attrs: Sequence[object],
) -> CallFacts:
    """Return what a choice needs to know of a call."""
    first = next((s for spec in specs for s in _flat_specs(spec)), None)
    device, _, index = ("cpu" if first is None else first.device).partition(":")
    like = _first_array(inputs)
    library: Arrays = "numpy" if like is None else arrays.library_of(like) or "numpy"
    return CallFacts(
        device=device,
        index=int(index or 0),
        inputs=table.opdef.input_names,
        dtypes=tuple(_dtype(spec) for spec in specs),
        arrays=library,
        contiguous=all(arrays.is_contiguous(array) for array in _flat(inputs)),
        arguments=(*inputs, *attrs),
    )


def no_kernel(table: KernelTable, facts: CallFacts, choice: Choice) -> NoKernelError:
    """Return the error that lists every refusal."""
    lines = [f"{refusal.kernel.name}: {refusal.reason}" for refusal in choice.refusals]
    lines += [f"library `{n}` was unloaded with its kernels" for n in sorted(table.unloaded)]
    dtypes = ", ".join(str(dtype) for dtype in facts.dtypes)
    return NoKernelError(
        f"no kernel of `{table.opdef.name}` takes {dtypes} on {facts.device}",
        got="; ".join(lines) or "the operator has no kernels",
        fix=f"load it again, then take the operator anew: `ops.get({table.opdef.name!r})`"
        if table.unloaded
        else "register one, or change dtype or device",
    )


def _invoke(
    kernel: Kernel, inputs: Sequence[object], attrs: Sequence[object], outs: tuple[object, ...]
) -> None:
    if kernel.is_native:
        kernel.function(*inputs, *attrs, *outs)
        return
    targets: tuple[Any, ...] = tuple(_viewed(out, kernel) for out in outs)
    shapes = [tuple(target.shape) for target in targets]
    result = kernel.function(*inputs, *attrs, out=targets[0] if len(targets) == 1 else targets)
    if result is not None:
        _check_returned(kernel, result, targets)
    for before, target in zip(shapes, targets, strict=True):
        if tuple(target.shape) != before:
            raise KernelFailedError(
                f"kernel `{kernel.name}` of `{kernel.op}` changed the shape of its output",
                got=f"{tuple(target.shape)}, given {before}",
                fix="write into `out` as it is: `out[...] = ...`",
            )


def _check_returned(kernel: Kernel, result: object, targets: tuple[object, ...]) -> None:
    """Refuse a result that is not the outputs given: those would be left as they were."""
    if kernel.language == "triton":  # a launch returns its handle
        return
    results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    if len(results) == len(targets) and all(map(operator.is_, results, targets)):
        return
    raise KernelFailedError(
        f"kernel `{kernel.name}` of `{kernel.op}` returned a result of its own",
        got=f"{type(result).__name__}, which nobody reads",
        fix="write into `out`: `out[...] = ...`",
    )


def _handed(value: object, kernel: Kernel, part: In) -> object:
    """Return an argument as the kernel takes it, or say which one cannot be handed over."""
    try:
        return _ready(value, kernel, dense=kernel.contiguous or part.layout == "contiguous")
    except (BufferError, RuntimeError, TypeError, ValueError) as cause:
        raise OperatorArgumentError(
            f"argument `{part.name}` of `{kernel.op}` cannot be handed to kernel `{kernel.name}`",
            got=f"{type(value).__name__}: {cause}",
            fix="pass a plain array of numbers on one device",
        ) from cause


def _ready(value: object, kernel: Kernel, *, dense: bool) -> object:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_ready(item, kernel, dense=dense) for item in value]
    return _viewed(arrays.contiguous(value) if dense else value, kernel)


def _viewed(array: object, kernel: Kernel) -> object:
    """Return the array as the kernel's language takes it."""
    if kernel.language == "numpy":
        return arrays.as_numpy(array)
    if kernel.language in ("torch", "triton"):
        return arrays.as_torch(array)
    if arrays.is_torch(array):
        return arrays.detached(array) if kernel.is_native else array
    return arrays.as_writable(array) if kernel.is_native else arrays.as_numpy(array)


def _first_array(inputs: Sequence[object]) -> object:
    return next(iter(_flat(inputs)), None)


def _flat(inputs: Sequence[object]) -> Iterator[object]:
    for value in inputs:
        if isinstance(value, (list, tuple)):
            yield from value
        elif value is not None:
            yield value


def _flat_specs(spec: InputSpec) -> Iterator[ArraySpec]:
    if isinstance(spec, tuple):
        yield from spec
    elif spec is not None:
        yield spec


def _dtype(spec: InputSpec) -> str | None:
    return next((array.dtype for array in _flat_specs(spec)), None)
