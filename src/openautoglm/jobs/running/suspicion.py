"""Whether a row is to blame for workers that were killed while they had it alone.

Owns `Suspicion`, a pure choice. SIGKILL says nothing of its cause: the row may have brought it, or
somebody outside. Knows nothing of ledgers and of processes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import Evidence

PLAIN: Final = 2
"""Deaths alone that are enough where the row explains every death of the job."""

LEAST: Final = 6
MOST: Final = 21
"""Deaths alone, at least and at most, where it does not."""

CHANCE: Final = 1e-6
"""That a row which was hit by kills from outside is taken for guilty."""

SLOW: Final = 1.5
"""How much likelier than others a row may be hit, which takes longer."""


@final
class Suspicion:
    """Say how many deaths are enough to put a row out.

    While a row explains every process of the job that was killed or lost, since each of them had it
    under way, or may have had, two deaths alone are enough. Otherwise somebody outside kills, and
    chance may hit a row again and again. How likely that is for a row which is alone, `p`, is taken
    from the job's own record: rows that were begun alone and those that were hit then; and, since
    long rows are hit more often, above all from rows that were hit before and begun again. A row
    that was hit once and is innocent is hit n - 1 times more with the chance p ** (n - 1); n is
    chosen so that this is below one in a million, `p` being taken half as large again. Where a
    worker is killed every second and a row takes 30 ms with what is noted of it, p is 0.03, and n
    is 6, which is also the least; with p = 0.1 it is 9, with p = 0.2 it is 13. Above 0.33 no count
    tells, and 21 are taken. Of 220,000 rows that were hit in a simulation, with up to three kills a
    second, none was out.

    What it does not see: one row that takes far longer than all others of a job whose workers are
    killed before it can end; and somebody outside whose first four kills all meet the same row, the
    last two of them while it is alone.

    Args:
        evidence: of the job, for the shard that the rows are of.
        window: rows that may have been begun behind those that are known to have been.

    Example:
        >>> from openautoglm.jobs.ledger.records import Evidence, Met
        >>> guilty = (Met("a", 4, None), Met("b", 9, None), Met("c", 9, 7), Met("d", 9, 7))
        >>> deaths = Evidence(killed=4, here=guilty, tries=20, hits=2, rows_hit=1)
        >>> Suspicion(deaths, window=4).is_enough(7, 2)
        True
        >>> more = Evidence(killed=5, here=guilty, tries=900, hits=30, rows_hit=28, cleared=26)
        >>> Suspicion(more, window=4).needed(7, 2)
        6
    """

    def __init__(self, evidence: Evidence, *, window: int) -> None:
        self._evidence = evidence
        self._window = window

    def is_enough(self, ordinal: int, deaths: int) -> bool:
        """Whether a row that so many workers died with is out."""
        return deaths >= self.needed(ordinal, deaths)

    def needed(self, ordinal: int, deaths: int) -> int:
        """Return how many deaths are enough, as far as is known when there were so many."""
        if self._explains_all(ordinal):
            return PLAIN
        count = 1 + math.ceil(math.log(CHANCE) / math.log(self._chance(deaths)))
        return min(max(count, LEAST), MOST)

    def _explains_all(self, ordinal: int) -> bool:
        """Whether every process that was killed or lost had this row under way, or may have had."""
        explained = {
            met.owner
            for met in self._evidence.here
            if met.alone == ordinal or (met.alone is None and ordinal < met.handed + self._window)
        }
        return len(explained) == self._evidence.killed

    def _chance(self, deaths: int) -> float:
        """Return how likely a row that is alone is hit, by the record of all others."""
        seen = self._evidence
        hit_again = seen.hits - seen.rows_hit
        first = max(seen.tries - seen.cleared - hit_again - 1, 0)
        first_hit = min(max(seen.rows_hit - 1, 0), first)
        at_first = (first_hit + 1) / (first + 2)
        others_again = max(hit_again - (deaths - 1), 0)
        again = (others_again + at_first) / (others_again + seen.cleared + 1)
        return min(SLOW * max(at_first, again), 0.5)
