"""Which inputs and outputs a backward keeps, read from the names of its arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.ops.opdef import OpDef


def saved_names(
    opdef: OpDef, function: Callable[..., object], save: Sequence[str] | None
) -> tuple[str, ...]:
    """Return `save`, or the inputs and outputs that the function's arguments name, in order.

    The first arguments are the gradients of the outputs, whatever they are called.
    """
    if save is not None:
        return tuple(save)
    names = list(inspect.signature(function).parameters)[len(opdef.outputs) :]
    known = {*opdef.input_names, *opdef.output_names}
    return tuple(name for name in names if name in known)
