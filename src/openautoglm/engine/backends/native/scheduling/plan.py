"""One forward: which rows of which sequences go into it, as arrays.

Owns `Plan` and `Budget`. Knows rows and slots; makes no choice but how many rows a step has and who
gets them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.scheduling.faces import DecodingModel, Logits
    from openautoglm.engine.backends.native.scheduling.sequence import Row
    from openautoglm.engine.backends.native.scheduling.slots import Slots


PATIENCE: Final = 16
"""Steps after which more rows are tried again, when memory ran out for the first time."""
LONGEST_PATIENCE: Final = 4096


@final
class Budget:
    """How many rows a step may have: half when memory runs out, twice as many after a while.

    Args:
        most: never more.

    Attributes:
        rows: of a step from now on.
    """

    def __init__(self, most: int) -> None:
        self.rows = most
        self._most = most
        self._patience = PATIENCE
        self._calm = 0
        self._has_grown = False

    def halve(self, size: int) -> None:
        """Note that there was no memory for a step of so many rows."""
        self.rows = size // 2
        if self._has_grown:  # in vain, so that the next time waits longer
            self._patience = min(2 * self._patience, LONGEST_PATIENCE)
        self._has_grown = False
        self._calm = 0

    def note(self) -> None:
        """Note a step for which there was memory."""
        if self.rows == self._most:
            return
        self._calm += 1
        if self._calm > self._patience:
            self.rows = min(2 * self.rows, self._most)
            self._has_grown = True
            self._calm = 0


@final
class Plan:
    """Rows that go through the model together.

    Attributes:
        served: sequences that have a part in it.
        is_short: whether a sequence was left out that needs but its newest token.
        choosing: those whose next token can be chosen after it, the first at logits row `first`.
    """

    __slots__ = (
        "_adapters",
        "_last",
        "_parts",
        "_positions",
        "_slots",
        "_tokens",
        "choosing",
        "first",
        "is_short",
        "served",
    )

    def __init__(self) -> None:
        self.served: list[Row] = []
        self.is_short = False
        self.choosing: list[Row] = []
        self.first: list[int] = []
        self._parts: list[int] = []
        self._tokens: list[int] = []
        self._slots: list[int] = []
        self._positions: list[int] = []
        self._last: list[int] = []
        self._adapters: list[int] = []

    @property
    def size(self) -> int:
        """Rows so far."""
        return len(self._tokens)

    def add(self, row: Row, count: int) -> None:
        """Add the next `count` tokens of a sequence, and after its last one its drafts."""
        start = row.known
        self.served.append(row)
        self._parts.append(count)
        self._tokens += row.ids[start : start + count]
        if start + count == len(row.ids):
            drafts = row.drafts
            self._tokens += drafts
            self.choosing.append(row)
            self.first.append(len(self._last))
            self._last += range(len(self._tokens) - len(drafts) - 1, len(self._tokens))
            count += len(drafts)
        self._slots += [row.slot] * count
        self._adapters += [row.adapter] * count
        self._positions += range(start, start + count)

    def forward(self, model: DecodingModel, slots: Slots) -> Logits:
        """Run it and note what the cache holds then; a failure leaves all as it was."""
        tokens = np.array(self._tokens, np.int64)
        places = np.array(self._slots, np.int64)
        positions = np.array(self._positions, np.int64)
        last = np.array(self._last, np.int64)
        adapters = [np.array(self._adapters, np.int64)] if any(self._adapters) else []
        logits = model.forward(tokens, places, positions, last, *adapters)
        slots.record(tokens, places, positions)
        for row, count in zip(self.served, self._parts, strict=True):
            row.known += count
        return logits


def share_out(rows: Many[Row], budget: int, *, catch_up: int | None = None) -> Plan:
    """Plan a step of at most `budget` rows.

    Those that need but their newest token, or few, come first, so that none of them stalls; with
    them go their drafts. What is left goes to those that have more to catch up with, in the order
    given; at most `catch_up` rows of it when there are any of the others.
    """
    plan = Plan()
    behind = []
    for row in rows:
        lag = row.lag
        if row.is_near and plan.size + lag <= budget:
            plan.add(row, lag)
        elif lag > 1:
            behind.append(row)
        else:
            plan.is_short = True
    if plan.served and catch_up is not None:
        budget = min(budget, plan.size + catch_up)
    for row in behind:
        count = min(row.lag, budget - plan.size)
        if count <= 0:
            break
        plan.add(row, count)
    return plan
