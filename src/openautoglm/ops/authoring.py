"""The class form of an operator: `forward`, and `backward` where it has a gradient.

Owns `Operator`, the class people write, and the reading of it. It makes the same contract as
`ops.define`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, get_type_hints

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import REQUIRED, Attr, In, Out
from openautoglm.ops.fields import shown
from openautoglm.ops.opdef import OpDef
from openautoglm.ops.saved import bound_backward

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openautoglm.ops.opdef import Amp, Infer

_PLAIN: Final = (float, int, bool, str)


class Operator(ABC):
    """An operator written as a class; `@ops.register` makes it callable.

    `forward` returns the outputs and is the semantics of the operator. Its arguments annotated
    float, int, bool or str are attributes, all others inputs, where `inputs` and `attrs` do not say
    more. `backward` takes the gradients of the outputs, then whatever inputs, outputs and
    attributes it names, and returns one gradient for each input.

    Example:
        >>> from openautoglm import ops
        >>> class Blend(ops.Operator):
        ...     def forward(self, x, y, share: float = 0.5):
        ...         return x * share + y * (1 - share)
        ...     def backward(self, g, share):
        ...         return g * share, g * (1 - share)
        >>> blend = ops.register(Blend)
        >>> blend
        <operator Blend(Tensor<f16|bf16|f32|f64> x, Tensor y, float share=0.5) -> Tensor out>
        >>> ops.remove("Blend")
    """

    name: ClassVar[str | None] = None
    """Its name in the registry; None for the name of the class."""
    inputs: ClassVar[Sequence[In] | None] = None
    attrs: ClassVar[Sequence[Attr] | None] = None
    outputs: ClassVar[Sequence[Out]] = (Out("out"),)
    infer: ClassVar[Infer | None] = None
    amp: ClassVar[Amp] = None

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - type checkers take any override of this
        """Return the outputs for inputs and attributes."""


def read_class(written: type[Operator]) -> OpDef:
    """Return the contract that a class states.

    Raises:
        OperatorDefinitionError: it states none, or contradicts itself.
    """
    given: object = written
    if not isinstance(given, type) or not issubclass(given, Operator):
        raise OperatorDefinitionError(
            "an operator in class form is a subclass of `ops.Operator`",
            got=shown(written),
            fix="write `class Name(Operator):` with a `forward`",
        )
    try:
        operator = written()
    except Exception as cause:
        raise OperatorDefinitionError(
            f"operator `{written.__name__}` cannot be made: {cause}",
            fix="give it a `forward`, and no arguments of its own",
        ) from cause
    doc: object = written.__doc__
    inputs, attrs = _arguments(operator.forward, written)
    opdef = OpDef(
        written.__name__ if written.name is None else written.name,
        inputs=inputs if written.inputs is None else written.inputs,
        attrs=attrs if written.attrs is None else written.attrs,
        outputs=written.outputs,
        infer=_infer_of(operator),
        reference=operator.forward,
        amp=written.amp,
        doc=inspect.cleandoc(doc) if isinstance(doc, str) else "",
    )
    backward = getattr(operator, "backward", None)
    return opdef if backward is None else replace(opdef, backward=bound_backward(opdef, backward))


def _infer_of(operator: Operator) -> Infer | None:
    """Return `infer` as it is called: a function of the class, or a method where it takes self."""
    function = type(operator).infer
    if not inspect.isfunction(function):
        return function
    first = next(iter(inspect.signature(function).parameters), None)
    method: Infer = getattr(operator, "infer")  # noqa: B009 - type checkers take `infer` for a function that has no self
    return method if first == "self" else function


def _arguments(
    forward: Callable[..., object], written: type[Operator]
) -> tuple[list[In], list[Attr]]:
    parameters = _parameters(forward, written)
    hints = _hints(forward)
    inputs: list[In] = []
    attrs: list[Attr] = []
    for name, parameter in parameters.items():
        kind = hints.get(name)
        default = parameter.default
        if kind in _PLAIN:
            given = REQUIRED if default is parameter.empty else default
            attrs.append(Attr(name, kind, given))
        elif default is parameter.empty:
            inputs.append(In(name))
        elif default is None:
            inputs.append(In(name, optional=True))
        elif type(default) in _PLAIN:
            attrs.append(Attr(name, type(default), default))
        else:
            raise OperatorDefinitionError(
                f"operator `{written.__name__}`: argument `{name}` of `forward` is neither an "
                "array nor a plain value",
                got=f"default {default!r}",
                fix="annotate it float, int, bool or str, or say `inputs` and `attrs`",
            )
    return inputs, attrs


def _parameters(
    forward: Callable[..., object], written: type[Operator]
) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(forward).parameters
    except (TypeError, ValueError) as cause:
        raise OperatorDefinitionError(
            f"operator `{written.__name__}`: `forward` is a method whose arguments can be read",
            got=shown(forward),
            fix="write `def forward(self, x): ...`",
        ) from cause


def _hints(function: Callable[..., object]) -> dict[str, type]:
    try:
        return get_type_hints(function)
    except Exception:  # noqa: BLE001 - names that only type checkers see, or no types at all; those of plain values stay readable
        plain: dict[object, type] = {kind.__name__: kind for kind in _PLAIN}
        written = inspect.get_annotations(function)
        return {
            n: plain.get(getattr(kind, "__name__", kind), object) for n, kind in written.items()
        }
