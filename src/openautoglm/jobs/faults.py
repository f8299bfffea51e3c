"""Errors as JSON holds them, and back: what processes and the ledger pass on of one.

Owns `error_of` and `in_short`; `running.told` makes them. A cause is not passed on.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from openautoglm import errors
from openautoglm.errors import JobStateError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.orders import Fault


def error_of(fault: Fault) -> OpenAutoGLMError:
    """Return the error of that code again, `JobStateError` where there is none of it."""
    kind = _kinds().get(fault.code, JobStateError)
    return kind(fault.problem, got=fault.got or None, fix=fault.fix or None)


def in_short(fault: Fault) -> str:
    """Return an error in one line, as the reason of a state.

    Example:
        >>> from openautoglm.jobs.orders import Fault
        >>> in_short(Fault(code="OAG301", problem="no model", got="x", fix="name one"))
        'no model: x; name one'
    """
    got = f": {' '.join(fault.got.split())}" if fault.got else ""
    fix = f"; {' '.join(fault.fix.split())}" if fault.fix else ""
    return f"{fault.problem}{got}{fix}"


@cache
def _kinds() -> Mapping[str, type[OpenAutoGLMError]]:
    kinds = (getattr(errors, name) for name in errors.__all__)
    return {kind.code: kind for kind in kinds}
