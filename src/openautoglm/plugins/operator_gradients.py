"""The gradient of an operator that runs in a worker: its `backward` is called there.

Owns both sides of the way. In the host the backward is an operator of its own, so that graphs and
transforms take it for one: it takes the gradients of the outputs, what `backward` saves, the inputs
whose shapes tell those of the gradients, and returns one gradient for each input. What it does not
carry: second derivatives, and the gradient of an operator that takes a list of arrays.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from openautoglm.errors import KernelFailedError, TransformUnsupportedError
from openautoglm.ops import ArraySpec, Backward, In, OpDef, Out, RegisteredOperator
from openautoglm.ops.dtypes import EVERY_DTYPE, FLOATS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.ops.arguments import AttrValue
    from openautoglm.ops.opdef import InputSpec


_NOTHING: Final = ArraySpec((0,), "f32")
_FIX: Final = 'run the plugin in the host\'s process: isolation = "L0"'


class Calling(Protocol):
    """What is needed of an operator in a worker."""

    def call(self, method: str, /, *args: object) -> object:
        """Call a method and return what it returned."""


def with_gradient(opdef: OpDef, saves: Sequence[str], remote: Calling) -> OpDef:
    """Return the contract of an operator in a worker with the backward that it has there.

    Args:
        opdef: its contract without a backward.
        saves: what its backward saves.
        remote: the operator in its worker.
    """
    if any(part.many for part in opdef.inputs):
        said = f"the gradient of operator `{opdef.name}`, which takes a list, stays in its worker"
        return replace(opdef, backward=Backward(partial(_refuse, said, "backward through it")))
    keeps = (*saves, *(name for name in opdef.input_names if name not in saves))
    gradient = RegisteredOperator(_gradient_of(opdef, keeps, remote))
    numbers = range(len(opdef.inputs))

    def backward(*arguments: object) -> object:
        found = gradient(*arguments)
        kept = arguments[len(opdef.outputs) :][: len(keeps)]
        made = found if isinstance(found, tuple) else (found,)
        inputs = [kept[keeps.index(name)] for name in opdef.input_names]
        return tuple(made[n] if _has_gradient(inputs[n]) else None for n in numbers)

    return replace(opdef, backward=Backward(backward, save=keeps))


def gradients(opdef: OpDef, arguments: Sequence[object]) -> list[object]:
    """Call the backward of an operator in its worker, on what `with_gradient` sends.

    Returns:
        A gradient in shape and dtype of its input for each; None where there is none.
    """
    backward = cast("Backward", opdef.backward)
    outputs, inputs = len(opdef.outputs), len(opdef.inputs)
    keeps = (*backward.save, *(name for name in opdef.input_names if name not in backward.save))
    kept = dict(zip(keeps, arguments[outputs:], strict=False))
    attrs = arguments[outputs + len(keeps) :]
    saved = [kept[name] for name in backward.save]
    found = backward.function(*arguments[:outputs], *saved, *attrs)
    made = list(found) if isinstance(found, (tuple, list)) else [found]
    if len(made) != inputs:
        raise KernelFailedError(
            f"backward of `{opdef.name}` returned {len(made)} gradients",
            got=f"the operator has {inputs} inputs",
            fix="return one for each input, None where there is none",
        )
    return [
        _fitted(opdef.name, name, one, kept[name])
        for name, one in zip(opdef.input_names, made, strict=True)
    ]


def _gradient_of(opdef: OpDef, keeps: Sequence[str], remote: Calling) -> OpDef:
    """Return the contract of the operator that makes the gradients."""
    optional = {part.name for part in opdef.inputs if part.optional}
    outputs = len(opdef.outputs)
    places = [outputs + keeps.index(name) for name in opdef.input_names]

    def infer(
        specs: tuple[InputSpec, ...], _attrs: Mapping[str, AttrValue]
    ) -> tuple[ArraySpec, ...]:
        inputs = [cast("ArraySpec | None", specs[place]) for place in places]
        return tuple(_NOTHING if x is None or x.dtype not in FLOATS else x for x in inputs)

    def reference(*arguments: Any) -> object:  # noqa: ANN401 - tensors and attributes
        found = cast("Sequence[Any]", remote.call("backward", *arguments))
        inputs = [arguments[place] for place in places]
        nothing = arguments[0].new_zeros(0)
        made = [
            nothing if not _has_gradient(x) else x.new_zeros(x.shape) if one is None else one
            for one, x in zip(found, inputs, strict=True)
        ]
        return made[0] if len(made) == 1 else tuple(made)

    said = f"second derivatives of operator `{opdef.name}` are not carried out of its worker"
    grads = [In(f"grad_{n}", dtypes=EVERY_DTYPE) for n in range(outputs)]
    kept = [
        In(f"kept_{n}", dtypes=EVERY_DTYPE, optional=name in optional)
        for n, name in enumerate(keeps)
    ]
    return OpDef(
        f"{opdef.name}_backward",
        inputs=(*grads, *kept),
        attrs=[replace(attr, name=f"attr_{n}") for n, attr in enumerate(opdef.attrs)],
        outputs=[Out(f"of_{n}") for n in range(len(opdef.inputs))],
        infer=infer,
        reference=reference,
        amp="keep",
        backward=Backward(partial(_refuse, said, "backward through a backward")),
    )


def _refuse(said: str, got: str, *_: object) -> object:
    raise TransformUnsupportedError(said, got=got, fix=_FIX)


def _has_gradient(value: Any) -> bool:  # noqa: ANN401 - a tensor, or None
    return value is not None and bool(value.is_floating_point())


def _fitted(operator: str, name: str, gradient: Any, value: Any) -> object:  # noqa: ANN401 - tensors
    """Return a gradient in the shape of its input, as torch sums it up."""
    if gradient is None or not _has_gradient(value):
        return None
    try:
        found: object = gradient.sum_to_size(value.shape).to(value.dtype)
    except (AttributeError, RuntimeError) as cause:
        raise KernelFailedError(
            f"backward of `{operator}`: the gradient of `{name}` does not fit it",
            got=f"{tuple(getattr(gradient, 'shape', ()))}, the input has {tuple(value.shape)}",
            fix="return a tensor of the shape of its input",
        ) from cause
    return found
