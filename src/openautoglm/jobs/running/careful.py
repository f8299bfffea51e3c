"""Which rows of a shard are worked on alone, because workers died of them or may have.

Owns `Care`. A shard of which two attempts in a row ended badly is worked on carefully: every row
that may have been under way when a worker died is the only one in its process, and is noted in the
ledger before. One that a worker died of is out, or, where it may be innocent (`Suspicion`), done
again when all others are. What it does not find: rows that kill a worker only together. Knows
nothing of processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from openautoglm.jobs.running.suspicion import Suspicion

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import Claim
    from openautoglm.jobs.running.tries import Lot

CRASHES: Final = 2
"""Bad endings in a row after which a shard is worked on carefully."""


@final
class Care:
    """Draw the lot of each row of a claim.

    Args:
        claim: what is held.
        window: rows that may have been begun behind those that are known to have been; those that
            died before are taken to have had the same.

    Attributes:
        is_on: the shard is worked on carefully.

    Example:
        >>> from openautoglm.data.source import Shard
        >>> from openautoglm.jobs.ledger.records import Claim
        >>> claim = Claim(
        ...     job="j", shard=Shard(index=0), only=None, owner="me", attempt=4, crashes=3,
        ...     handed=2, suspects={1: 1}, certain=frozenset({1}),
        ... )
        >>> care = Care(claim, window=2)
        >>> [care.lot(ordinal) for ordinal in range(6)]
        ['alone', 'out', 'alone', 'alone', 'usual', 'usual']
    """

    def __init__(self, claim: Claim, *, window: int) -> None:
        self.is_on = claim.crashes >= CRASHES
        self._handed = claim.handed
        self._window = window
        suspicion = Suspicion(claim.evidence, window=window)
        self._out = frozenset(
            ordinal
            for ordinal, deaths in claim.suspects.items()
            if ordinal in claim.certain or suspicion.is_enough(ordinal, deaths)
        )
        self._last = frozenset(claim.suspects) - self._out

    @property
    def is_at_work(self) -> bool:
        """Whether further rows may come that are worked on alone for what happened before."""
        return self.is_on and self._window >= 0

    def lot(self, ordinal: int) -> Lot:
        """Return how a row is worked on. Ask once for each row without an outcome, in order."""
        if ordinal in self._out:
            return "out"
        if ordinal in self._last:
            return "last"
        if not self.is_on:
            return "usual"
        if ordinal >= self._handed:
            self._window -= 1
        return "usual" if self._window < 0 else "alone"
