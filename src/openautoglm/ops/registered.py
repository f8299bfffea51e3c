"""Operators as people use them: called like a function, extended by kernels, asked why.

Owns `RegisteredOperator`, what `define` makes. The torch side is added at the first call with
torch's tensors; before that nothing here imports torch. Knows nothing of how libraries are loaded.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from openautoglm.errors import OpenAutoGLMError, OperatorDefinitionError, UnknownNameError
from openautoglm.native.direct import error_of
from openautoglm.ops import arrays, dispatch
from openautoglm.ops.call import bind_arguments, infer_outputs
from openautoglm.ops.description import describe
from openautoglm.ops.direct import front_of
from openautoglm.ops.dtypes import listed
from openautoglm.ops.explain import Explanation
from openautoglm.ops.kernel import (
    ANYWHERE,
    REFERENCE_NAME,
    Kernel,
    Language,
    check_python_kernel,
    reference_kernel,
)
from openautoglm.ops.saved import bound_backward
from openautoglm.ops.table import KernelTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.kernel import Capability, Dtypes
    from openautoglm.ops.opdef import OpDef

F = TypeVar("F", bound="Callable[..., object]")

_NUMPY_LACKS = ("bf16", "f8_e4m3fn", "f8_e5m2")
_binding: Final = threading.RLock()


class RegisteredOperator:
    """A contract and the kernels that keep it; call it on arrays of any library.

    Made by `ops.define` or `@ops.register`. Outputs are new, contiguous arrays of the library of
    the first input. Safe to call from several threads, also while kernels come and go.

    Not for subclassing: the object moves to a class of its own. Its calls go to the kernel in C
    where they can; its `__call__`, from the first tensor on, is made for this signature.

    Example:
        >>> import numpy
        >>> from openautoglm import ops
        >>> ops.get("add")(numpy.ones(2), numpy.ones(2)).tolist()
        [2.0, 2.0]
    """

    _torch_front: Callable[..., Any]
    _front: object  # what the compiled core knows of its calls; not there where it knows nothing

    def __init__(self, opdef: OpDef) -> None:
        self.opdef = opdef
        self.table = KernelTable(opdef)
        self.__name__ = opdef.name
        self.__doc__ = describe(opdef)
        self.is_torch_bound = False
        self._bind_torch = _binder(self)
        if opdef.reference is not None:
            filled = _filling(opdef.reference)
            self.table.add(reference_kernel(opdef, filled))
        front = front_of(opdef, self.table.cell)
        if front is not None:
            self._front = front
            self.__class__ = _kind(self, RegisteredOperator.__call__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - arrays of any library
        """Return the outputs; arguments as the schema says, inputs first.

        Raises:
            OperatorArgumentError: an argument is not what the operator takes.
            NoKernelError: no kernel takes the call.
            KernelFailedError: the kernel raised.
        """
        if _has_torch((*args, *kwargs.values())):
            self._bind_torch()
            return self._torch_front(self, *args, **kwargs)
        inputs, attrs = bind_arguments(self.opdef, args, kwargs)
        return dispatch.call(self.table, inputs, attrs)

    def __repr__(self) -> str:
        return f"<operator {self.opdef.declaration()}>"

    @property
    def name(self) -> str:
        """Its name in the registry."""
        return self.opdef.name

    @property
    def door(self) -> Callable[..., object]:
        """The native way in: `door(*inputs, *attributes, *outputs)`, positional, outputs given.

        No Python stands between the caller and the kernel. It takes what a native kernel takes as
        it is, raises RuntimeError for all else, and records no gradient.

        Raises:
            OperatorDefinitionError: the compiled core is not there.
        """
        if self.table.cell is None:
            raise OperatorDefinitionError(
                f"`{self.name}` has no native door: the compiled core is not there",
                fix="call the operator itself, or install where a C++ compiler is",
            )
        if hasattr(sys.modules.get("torch"), "Tensor"):
            from openautoglm.ops.torch_bridge import open_doors

            open_doors(self.table.cell)
        return self.table.cell.door

    def kernel(  # noqa: PLR0913 - the fields of a kernel, by name
        self,
        name: str,
        *,
        device: str | None = None,
        dtypes: Dtypes = None,
        language: Language = "python",
        priority: int = 0,
        capability: Capability = ANYWHERE,
        when: Callable[..., bool] | None = None,
        contiguous: bool = False,
    ) -> Callable[[F], F]:
        """Register a function as a kernel: `function(*inputs, *attributes, out=...)` fills `out`.

        Example:
            >>> from openautoglm import ops
            >>> twice = ops.define("twice_", inputs=[ops.In("x")], reference=lambda x: x * 2)
            >>> @twice.kernel("by_adding", device="cpu", priority=1)
            ... def by_adding(x, *, out):
            ...     out[...] = x + x
            >>> ops.remove("twice_")

        Raises:
            OperatorDefinitionError: it cannot be a kernel of this operator.
            NameTakenError: a kernel of this name is there.
        """
        if callable(name):
            raise OperatorDefinitionError(
                f"a kernel of `{self.name}` is registered under a name",
                got="a decorator without parentheses",
                fix='write `@op.kernel("name")`',
            )

        def register(function: F) -> F:
            asked: object = language
            is_numpy = isinstance(asked, str) and asked == "numpy"
            made = Kernel(
                name=name,
                op=self.name,
                function=function,
                device="cpu" if is_numpy and device is None else device,
                dtypes=self._numpy_dtypes() if is_numpy and dtypes is None else dtypes,
                language=language,
                priority=priority,
                capability=capability,
                when=when,
                contiguous=contiguous,
            )
            check_python_kernel(made, self.opdef)
            self.table.add(made)
            return function

        return register

    def remove_kernel(self, name: str) -> None:
        """Remove a kernel; calls in flight finish on it. The reference stays.

        Raises:
            UnknownNameError: no kernel has this name.
            OperatorDefinitionError: it is the reference, which is part of the contract.
        """
        given: object = name
        present = [kernel.name for kernel in self.table.kernels]
        if not isinstance(given, str) or given not in present:
            raise UnknownNameError(
                f"operator `{self.name}` has no kernel `{given}`",
                got=f"kernels: {listed(present)}",
                fix="name one of these",
            )
        if name == REFERENCE_NAME:
            raise OperatorDefinitionError(
                f"the reference of `{self.name}` cannot be removed: it says what the operator is",
                fix="remove the operator: `ops.remove(name)`",
            )
        self.table.remove(name)

    def backward(
        self, without_parentheses: None = None, /, *, save: Sequence[str] | None = None
    ) -> Callable[[F], F]:
        """Say how gradients are made: `function(*output gradients, whatever it names)`.

        Behind the gradients it names inputs, outputs and attributes, any of them, in its own
        order. With `save` it is `function(*output gradients, *saved, *attributes)` by position.

        It returns one gradient for each input in order, None where there is none. Write it with
        operators and torch functions that are differentiable, and second derivatives are right.

        Raises:
            OperatorDefinitionError: there is one already, the operator was used with torch, or
                the function names what the operator does not have.
        """
        if without_parentheses is not None:
            raise OperatorDefinitionError(
                f"the backward of `{self.name}` is registered by a call",
                got="a decorator without parentheses",
                fix="write `@op.backward()`",
            )

        def register(function: F) -> F:
            if self.opdef.backward is not None or self.is_torch_bound:
                raise OperatorDefinitionError(
                    f"the backward of `{self.name}` is part of its contract and stands",
                    fix="say it right after `define`, or `ops.replace` the operator",
                )
            made = bound_backward(self.opdef, function, save)
            self.opdef = replace(self.opdef, backward=made)
            self.table.opdef = self.opdef
            self.__doc__ = describe(self.opdef)
            return function

        return register

    def prefer(self, *names: str) -> AbstractContextManager[None]:
        """Prefer kernels or libraries, in this order, inside a `with` block.

        It counts in this thread or task, and in tasks started inside for as long as the block
        lasts. Meanwhile every call of this operator goes through Python, in all threads.
        """
        return self.table.prefer(*names)

    def stand(self, *names: str) -> None:
        """Prefer kernels or libraries from now on, in all threads; none for no preference.

        `OPENAUTOGLM_KERNELS` says the same for a whole run: `add=reference;mul=fast,native`.
        """
        self.table.stand(*names)

    def explain(self, *args: object, **kwargs: object) -> Explanation:
        """Tell which kernel would serve this call, and why each other one would not."""
        given, attrs = bind_arguments(self.opdef, args, kwargs)
        inputs = dispatch.readable(self.table, given)
        specs = dispatch.specs_of(self.table, inputs)
        infer_outputs(self.opdef, specs, attrs)
        facts = dispatch.facts_of(self.table, inputs, specs, attrs)
        choice = self.table.choose(facts)
        is_dense = dispatch.are_dense(self.table, inputs)
        return Explanation(
            op=self.name,
            winner=None if choice.winner is None else choice.winner.name,
            refusals=tuple((r.kernel.name, r.reason) for r in choice.refusals),
            copies=choice.copies or (choice.winner is not None and not is_dense),
        )

    def infer(self, *specs: ArraySpec | None, **attrs: object) -> list[ArraySpec]:
        """Return what the outputs would be for inputs that are only described."""
        _, values = bind_arguments(self.opdef, (0,) * len(self.opdef.inputs), attrs)
        return infer_outputs(self.opdef, specs, values)

    def counts(self) -> dict[str, int]:
        """Return how many calls each kernel has served."""
        return self.table.counts()

    def _raise_failure(self, counter: int, kind: str, message: str) -> NoReturn:
        """Raise what a kernel's failure stands for; the core calls it on NumPy's arrays."""
        cause = error_of(kind, message)
        if isinstance(cause, OpenAutoGLMError):
            raise cause
        raise dispatch.failed(self.name, self.table.counted_by(counter), cause) from cause

    def _numpy_dtypes(self) -> tuple[str, ...] | None:
        first = next(iter(self.opdef.inputs), None)
        return None if first is None else tuple(d for d in first.dtypes if d not in _NUMPY_LACKS)


def _has_torch(arguments: Sequence[object]) -> bool:
    for value in arguments:
        if arrays.is_torch(value):
            return True
        if isinstance(value, (list, tuple)) and any(arrays.is_torch(item) for item in value):
            return True
    return False


def _binder(operator: RegisteredOperator) -> Callable[[], None]:
    """Return what adds the torch side, once.

    Dynamo runs it while it traces a first call and takes its answer as a constant, so that a
    function can be compiled before the operator has seen a tensor.
    """

    def bind() -> None:
        from openautoglm.ops.torch_bridge import let_through, make_front

        with _binding:
            if operator.is_torch_bound:
                return
            front = make_front(operator.table)
            operator._torch_front = front  # noqa: SLF001 - it is the operator's own
            operator.__class__ = _kind(operator, front)
            operator.is_torch_bound = True
            let_through(operator.table.cell, getattr(operator, "_front", None))

    bind._dynamo_marked_constant = True  # type: ignore[attr-defined] # noqa: SLF001 - as torch.compiler.assume_constant_result does, without torch
    return bind


def _kind(operator: RegisteredOperator, call: Callable[..., Any]) -> type[RegisteredOperator]:
    """Return the operator's class for a `__call__` of its own.

    Where the core knows its calls they go through C, and `__call__` is what Dynamo reads and what
    does all the core does not.
    """
    cell = operator.table.cell
    if cell is None or cell.core is None or not hasattr(operator, "_front"):
        return type("RegisteredOperator", (RegisteredOperator,), {"__call__": call})
    return cell.core.operator_type(RegisteredOperator, call)


def _filling(reference: Callable[..., Any]) -> Callable[..., None]:
    """Return a kernel that fills `out` with what a reference returns."""

    def fill(*arguments: object, out: Any) -> None:  # noqa: ANN401 - arrays
        result = reference(*arguments)
        outs = out if isinstance(out, tuple) else (out,)
        results = result if isinstance(result, tuple) else (result,)
        for target, value in zip(outs, results, strict=True):
            arrays.copy_into(target, value)

    return fill
