"""What became of rows, on its way to the ledger.

Owns `JournalBuffer`. Knows no ledger.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.ledger.records import RowOutcome
    from openautoglm.jobs.running.open_shard import OpenShard

FULL: Final = 64
"""Outcomes at which they are written, however short the time. Below `feed.UNSETTLED`, so that
threads go on while that is done."""


@final
class JournalBuffer:
    """Gather outcomes from threads for the keeper.

    Args:
        wake: tells the keeper that it is time to write.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._rows: dict[OpenShard, list[RowOutcome]] = {}
        self._count = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return self._count >= FULL

    def add(self, shard: OpenShard, outcome: RowOutcome) -> None:
        """Take what became of a row."""
        with self._lock:
            self._rows.setdefault(shard, []).append(outcome)
            self._count += 1
            is_time = self._count == FULL
        if is_time:
            self._wake()

    def drain(self) -> dict[OpenShard, list[RowOutcome]]:
        """Return all there is, by shard."""
        with self._lock:
            rows, self._rows, self._count = self._rows, {}, 0
            return rows
