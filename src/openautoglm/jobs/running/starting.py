"""What a worker needs at its start and cannot have yet, such as a model server that is down.

Owns `patiently`. Knows nothing of what is opened.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

from openautoglm.errors.passing import asked_wait_s, may_pass
from openautoglm.jobs.running.retrying import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

PATIENCE_S: Final = 30.0
"""How long to try: a server that is started again comes back, one that was never there does not."""
FIRST_WAIT_S: Final = 0.5
LOOK_S: Final = 0.05

_log: Final = logging.getLogger("openautoglm.jobs")


def patiently(
    begin: Callable[[], Result], is_told: Callable[[], bool], *, patience_s: float = PATIENCE_S
) -> Result:
    """Return what `begin` does, tried again where its error may pass.

    Args:
        begin: opens something.
        is_told: whether the worker is to stop.
        patience_s: how long to try.

    Raises:
        Exception: what `begin` raised, where it cannot pass, or time is up.
    """
    backoff = Backoff(FIRST_WAIT_S)
    ends_s = time.monotonic() + patience_s
    failures = 0
    while True:
        try:
            return begin()
        except Exception as error:
            failures += 1
            next_s = time.monotonic() + max(asked_wait_s(error), backoff.steady_wait_s(failures))
            if not may_pass(error) or next_s > ends_s:
                raise
            _log.warning("the worker cannot begin yet: %s", error)
            if _is_told_before(next_s, is_told):
                raise


def _is_told_before(next_s: float, is_told: Callable[[], bool]) -> bool:
    while time.monotonic() < next_s:
        if is_told():
            return True
        time.sleep(LOOK_S)
    return False
