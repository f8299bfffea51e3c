"""What the compiled core is told of an operator, so that plain calls reach the kernel at once.

Owns the reading of a contract into names and rules. The core refuses what is not plain, and Python
does the call: whatever is not said here costs time, not correctness.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from openautoglm.ops.arguments import INT64, REQUIRED

if TYPE_CHECKING:
    from openautoglm.native.cells import Cell
    from openautoglm.native.direct import Front, Rule
    from openautoglm.ops.arguments import Attr
    from openautoglm.ops.opdef import OpDef

_EXACT: Final = 2**53
"""Up to here a float holds every whole number."""


def front_of(opdef: OpDef, cell: Cell | None) -> Front | None:
    """Return what the core keeps of an operator; None where all calls go through Python."""
    if cell is None or cell.core is None or not opdef.inputs:
        return None
    limits = [limit for attr in opdef.attrs for limit in (attr.low, attr.high) if limit is not None]
    if any(abs(limit) > _EXACT for limit in limits):
        return None
    names = (*opdef.input_names, *opdef.attr_names)
    return cell.core.front(cell.number, names, tuple(map(_rule, opdef.attrs)))


def _rule(attr: Attr) -> Rule:
    default = None if attr.default is REQUIRED else attr.default
    low, high = attr.low, attr.high
    if attr.type is int:
        low = None if low is None else max(math.ceil(low), INT64.start)
        high = None if high is None else min(math.floor(high), INT64.stop - 1)
    return default, low, high, attr.choices
