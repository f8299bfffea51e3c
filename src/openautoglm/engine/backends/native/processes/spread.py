"""Where the rows of one batch are computed: in this process, or in worker processes.

Owns `Spread`. Knows nothing of how either is done.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from openautoglm.engine.backend import Request
    from openautoglm.engine.backends.native.batch import Begin, Begun, Tell
    from openautoglm.engine.backends.native.processes.pool import Pool

WINDOWS: Final = 4
"""Rows of a batch under way at once, for each sequence that is decoded at once."""
PATIENCE_S: Final = 2.0
"""How long a batch stays in this process where the pool is optional."""


@final
class Spread:
    """Place the rows of one batch.

    With a pool that is optional they go there once the batch has proved to be a long one: it has
    lasted a while, and there are rows that wait.

    Args:
        here: begins a row in this process.
        pool: worker processes, or None.
        slots: rows that a process decodes at once.
    """

    def __init__(self, here: Begin, pool: Pool | None, *, slots: int) -> None:
        self._here = here
        self._pool = pool
        self._window = WINDOWS * slots
        self._until_s = time.monotonic() + PATIENCE_S
        self._is_out = pool is not None and not pool.is_optional

    def size(self, under_way: int) -> int:
        """Return how many rows may be under way, given how many are."""
        pool = self._pool
        if pool is None:
            return self._window
        is_long = under_way >= self._window and time.monotonic() >= self._until_s
        if is_long and not self._is_out:
            self._is_out = pool.serves()
            self._until_s = time.monotonic() if self._is_out else float("inf")
        return self._window * (pool.most + pool.is_optional) if self._is_out else self._window

    def begin(self, request: Request, tell: Tell) -> Begun:
        """Begin a row where it is its turn."""
        if self._pool is None or not self._is_out:
            return self._here(request, tell)
        if not self._pool.is_optional:
            return self._pool.begin(request, tell)
        try:
            return self._pool.begin(request, tell, self._here)
        except OSError:  # no more descriptors, or a sandbox that gives none
            return self._here(request, tell)
