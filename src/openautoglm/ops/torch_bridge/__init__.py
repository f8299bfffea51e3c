"""Operators as torch sees them: schema, fake, gradient, autocast, vmap, and the way in from Python.

Imported at an operator's first call with torch's tensors. Every operator has two torch operators,
the public one with its gradient (`oag::name`, for graphs) and the raw one without (`oag::_name`,
for eager calls); both run whatever the kernel table says at that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.ops.torch_bridge.direct import ready
from openautoglm.ops.torch_bridge.front import make_front
from openautoglm.ops.torch_bridge.slots import ready_core

if TYPE_CHECKING:
    from openautoglm.native.cells import Cell

__all__ = ["let_through", "make_front", "open_doors"]


def open_doors(cell: Cell) -> None:
    """Let native doors read torch's tensors in place, where this torch allows it."""
    if cell.core is not None:
        ready_core()
        ready(cell.core)


def let_through(cell: Cell | None, front: object) -> None:
    """Let the plain calls of an operator go past torch's dispatcher, where this torch allows it."""
    if (
        cell is not None
        and cell.core is not None
        and front is not None
        and ready(cell.core) is None
    ):
        cell.core.bind(front)
