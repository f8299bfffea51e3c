"""What a kernel library states of its operators: contracts, and gradients that are operators.

Owns the way from the rows of a manifest to `OpDef`. Loads nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import NoKernelError, OperatorDefinitionError
from openautoglm.ops import catalog
from openautoglm.ops.opdef import Backward, OpDef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.native.manifest import OperatorRow
    from openautoglm.ops.registered import RegisteredOperator

BACKWARD_SUFFIX: Final = "_backward"


def contracts_of(rows: Sequence[OperatorRow]) -> dict[str, OpDef]:
    """Return the contracts a library states; `name_backward` is the gradient of `name`."""
    stated = {row.name: OpDef.from_schema(row.schema) for row in rows}
    for name in list(stated):
        backward = stated.get(name + BACKWARD_SUFFIX)
        if backward is not None:
            stated[name] = replace(stated[name], backward=_gradient(stated[name], backward))
    return stated


def _gradient(opdef: OpDef, backward: OpDef) -> Backward:
    """Return a gradient that calls the operator a library states for it.

    Its first inputs are the gradients of the outputs; the others, and its attributes, are named
    after inputs, outputs and attributes of the operator.
    """
    count = len(opdef.outputs)
    save = backward.input_names[count:]
    unknown = [n for n in save if n not in (*opdef.input_names, *opdef.output_names)]
    unknown += [n for n in backward.attr_names if n not in opdef.attr_names]
    if unknown or len(backward.outputs) != len(opdef.inputs):
        raise OperatorDefinitionError(
            f"`{backward.name}` is no gradient of `{opdef.name}`",
            got=backward.declaration(),
            fix="it takes the gradients of the outputs, then inputs, outputs and attributes by "
            "their names, and returns one gradient for each input",
        )
    places = [opdef.attr_names.index(name) for name in backward.attr_names]
    # the declaration is there for the contract: a forward whose backward changed is another one
    call = partial(_call_backward, _Link(), backward.declaration(), count + len(save), places)
    return Backward(call, save=save)


@final
class _Link:
    """The operator that a gradient calls: one version of it, whatever the name means later."""

    def __init__(self) -> None:
        self.operator: RegisteredOperator | None = None


def _call_backward(
    link: _Link, _declaration: str, arrays: int, places: Sequence[int], *arguments: object
) -> object:
    if link.operator is None:
        raise NoKernelError("a gradient is called before its library was loaded")
    values = arguments[arrays:]
    return link.operator(*arguments[:arrays], *(values[i] for i in places))


def connect_gradient(operator: RegisteredOperator) -> None:
    """Give an operator's gradient the operator it calls, once."""
    made = None if operator.opdef.backward is None else operator.opdef.backward.function
    link = made.args[0] if isinstance(made, partial) and made.func is _call_backward else None
    if isinstance(link, _Link) and link.operator is None:
        link.operator = catalog.get(operator.name + BACKWARD_SUFFIX)
