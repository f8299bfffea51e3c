"""Which row comes next: those that threads take, those that wait to be tried again.

Owns `Feed`. Rows are drawn a few at a time, by a thread that has nothing else to do, outside the
lock; there is no hand-over between threads for each row. It gives out no more than what may be lost
when the process dies: rows under way and rows whose outcome is not in the ledger are `window`
together. Knows nothing of ledgers: what it needs from there it asks of the keeper (`Change`).
"""

from __future__ import annotations

import threading
from collections import deque
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from openautoglm.jobs.running.open_shard import Task
from openautoglm.jobs.running.solitude import Solitude
from openautoglm.jobs.running.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.running.breaker import Breaker
    from openautoglm.jobs.running.open_shard import OpenShard
    from openautoglm.jobs.running.rate import Pace
    from openautoglm.jobs.running.retrying import Backoff
    from openautoglm.jobs.running.solitude import Change
    from openautoglm.jobs.running.tries import Trouble

UNSETTLED: Final = 100
"""Rows besides those under way whose outcome may not be in the ledger yet."""
CHUNK: Final = 64
"""Rows that are drawn at a time."""
SOON_S: Final = 0.005
"""How close to each other two looks for rows are, where these are held back."""
LOW: Final = 32
"""Drawn rows at which more are drawn."""


class Move(Enum):
    """What a thread does that gets no row."""

    WAIT = "wait"
    DRAW = "draw"
    STOP = "stop"


@final
class Feed:
    """Give rows to threads.

    Args:
        concurrency: rows under way at most.
        tries: of a row.
        backoff: waits between them.
        breaker: holds all rows back where most fail.
        pace: how fast rows may go.
        wake: tells the keeper that there is something for it to do.
        clock: of all times here.

    Attributes:
        under_way: rows that threads have.
        ended: rows that came back, in whatever way.
        error: what reading the source raised; then nothing more is given out.
    """

    def __init__(  # noqa: PLR0913 - its parts, made by who starts a worker
        self,
        *,
        concurrency: int,
        tries: int,
        backoff: Backoff,
        breaker: Breaker,
        pace: Pace,
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.window: Final = concurrency + UNSETTLED
        self.under_way = 0
        self.ended = 0
        self.error: Exception | None = None
        self._tries, self._backoff = tries, backoff
        self._breaker, self._pace = breaker, pace
        self._wake, self._clock = wake, clock
        self._changed = threading.Condition(threading.Lock())
        self._ending = threading.Event()
        self._ready: deque[Task] = deque()
        self._waiting = Waiting(most=2 * concurrency + 256)
        self._shards: deque[OpenShard] = deque()  # the first is being read
        self._is_drawing = self._is_stopped = False
        self._idle = 0
        self._unsettled = 0  # given out, and not settled by the keeper
        self._unnoted = 0  # given out for the first time, and not noted as handed
        self._probe: Task | None = None
        self._solitude = Solitude()

    # threads

    def take(self, ended: Task | None = None, *, tokens: int | None = None) -> Task | None:
        """Return the next row, when there is one; None where the thread is to end.

        Args:
            ended: the row that the thread had before, which has an outcome.
            tokens: what it cost; None where it was tried often enough.
        """
        while True:
            with self._changed:
                if ended is not None:
                    self._end(ended, tokens)
                    ended = None
                while (found := self._choose()) is Move.WAIT:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
            if isinstance(found, Task):
                return found
            if found is Move.STOP:
                return None
            self._draw()

    def again(self, task: Task, trouble: Trouble) -> bool:
        """Have a row tried again later; False where it was tried often enough."""
        with self._changed:
            now_s = self._clock()
            is_probe, is_first = self._is_probe(task), task.tries == 1
            task.counted += self._breaker.failed(
                now_s, asked_s=trouble.wait_s, is_probe=is_probe, is_first=is_first
            )
            if task.counted >= self._tries:
                return False
            if not task.shard.is_lost:
                wait_s = max(trouble.wait_s, self._backoff.wait_s(task.counted))
                self._waiting.until(now_s + wait_s, task)
            self._put_off(task)
        self._wake()  # it looks when the row is due
        return True

    def park(self, task: Task, same: bytes) -> None:
        """Let a row wait for `release`."""
        with self._changed:
            if self._is_probe(task):
                self._breaker.withdraw()
            task.tries -= 1
            if not task.shard.is_lost:
                self._waiting.park(same, task)
            self._put_off(task)

    def release(self, same: bytes) -> None:
        """Let the rows go on that were parked."""
        with self._changed:
            count = self._waiting.release(same, self._clock())
            self._changed.notify(min(count, self._idle))

    def fail(self, error: Exception) -> None:
        """End, since a thread cannot go on."""
        with self._changed:
            self.error = self.error or error
            self._is_stopped = True
            self._ending.set()
            self._changed.notify_all()
        self._wake()

    def pause(self, seconds: float) -> None:
        """Wait, or less where the worker ends."""
        self._ending.wait(seconds)

    # the keeper

    def wants_shard(self) -> bool:
        """Whether another shard should be there before the one that is read is drained."""
        with self._changed:
            if self._is_stopped or len(self._shards) > 1 or self._waiting.is_full:
                return False
            if self._solitude.is_near and self._shards:  # it would share the blame
                return False
            left = self._shards[0].left if self._shards else 0
        return left is None or left <= 2 * self.window

    @property
    def storms(self) -> int:
        """How often all rows were held back, since most of them failed."""
        return self._breaker.storms

    @property
    def may_use_more(self) -> bool:
        """Whether a further thread would have a row at once."""
        has_rows = bool(self._ready) or (bool(self._shards) and not self._is_drawing)
        is_free = not self._solitude.is_near and self._unsettled < self.window
        return has_rows and is_free and not self._idle and not self._breaker.is_storm

    def change(self) -> Change | None:
        """What the ledger is to note about rows that are worked on alone; None for nothing."""
        with self._changed:
            return self._solitude.change

    def noted(self, task: Task | None) -> None:
        """Go on: this row is noted in the ledger, or none is."""
        with self._changed:
            self._solitude.noted(task)
            self._changed.notify(self._idle if task is None else 1)

    def add(self, shard: OpenShard) -> None:
        """Take rows of this shard too."""
        with self._changed:
            self._shards.append(shard)
            self._changed.notify(1)

    def add_last(self, shard: OpenShard) -> None:
        """Take the rows of a shard that are done when all others are."""
        with self._changed:
            self._ready.extendleft(reversed(shard.last))
            shard.last = []
            self._changed.notify(1)

    def drop(self, shard: OpenShard) -> None:
        """Forget a shard that is lost."""
        with self._changed:
            shard.is_lost = True
            self._waiting.drop(shard)
            self._ready = deque(task for task in self._ready if task.shard is not shard)
            if shard in self._shards and not (self._is_drawing and shard is self._shards[0]):
                self._shards.remove(shard)
            self._solitude.drop(shard)
            self._changed.notify(self._idle)

    def begun(self) -> int:
        """Return how many rows were begun that the ledger does not know of."""
        return self._unnoted

    def settle(self, outcomes: int, begun: int) -> None:
        """Note that so many outcomes, and so many beginnings, are in the ledger."""
        with self._changed:
            self._unsettled -= outcomes
            self._unnoted -= begun
            if self._idle:
                self._changed.notify(min(self._idle, max(outcomes, begun)))

    def tick(self) -> float | None:
        """Let rows go whose time came; return in how many seconds there is more to do here."""
        with self._changed:
            now_s = self._clock()
            held_s = max(self._pace.wait_s(now_s), self._breaker.until_s - now_s)
            if held_s > 0:
                return max(held_s, SOON_S)
            gate = self._breaker.gate(now_s)
            if gate == "shut" or self._solitude.is_near:
                return None
            count = self._waiting.due(now_s) + len(self._ready) + bool(self._shards)
            self._changed.notify(min(self._idle, 1 if gate == "one" else count))
            next_s = self._waiting.next_s
            return None if next_s is None or next_s <= now_s else next_s - now_s

    def stop(self) -> None:
        """Give out no more rows."""
        with self._changed:
            self._is_stopped = True
            self._ending.set()
            self._changed.notify_all()

    # under the lock

    def _choose(self) -> Task | Move:
        """Return the next row, or what a thread is to do without one."""
        if self._is_stopped:
            return Move.STOP
        if self._unsettled >= self.window or self._unnoted >= self.window or self._is_held():
            return Move.WAIT
        is_low = len(self._ready) < LOW and bool(self._shards) and not self._is_drawing
        if is_low and not self._waiting.is_full:
            self._is_drawing = True
            return Move.DRAW
        now_s = self._clock()
        task = self._next(now_s)
        if task is None:
            return Move.WAIT
        self._go(task, now_s)
        return task

    def _is_held(self) -> bool:
        """Whether no row may go now, whichever it is."""
        if self._solitude.is_on:
            return True
        if not (self._breaker.is_storm or self._pace.is_limited):
            return False
        now_s = self._clock()
        return self._breaker.gate(now_s) == "shut" or self._pace.wait_s(now_s) > 0

    def _next(self, now_s: float) -> Task | None:
        """Take out the next row; None where none may go."""
        if self._ready and self._ready[0].lot in {"alone", "last"}:
            if self._solitude.may_go(self._ready[0], under_way=self.under_way):
                return self._ready.popleft()
            self._wake()
            return None
        if not self._solitude.may_others():
            self._wake()
            return None
        new = self._ready if not self._waiting.is_full else None
        if new and self._breaker.is_storm:
            return new.popleft()  # a probe costs a try: of a row that has all of them
        waiting = self._waiting.take(now_s)
        return new.popleft() if new and waiting is None else waiting

    def _go(self, task: Task, now_s: float) -> None:
        if not task.tries:
            self._unnoted += 1
            task.shard.handed = max(task.shard.handed, task.ordinal + 1)
        is_asked = task.record.error is None and task.lot != "out"
        if is_asked and self._breaker.gate(now_s) == "one":
            self._breaker.probe()
            self._probe = task
        self._pace.begun()
        self._unsettled += 1
        self.under_way += 1

    def _end(self, task: Task, tokens: int | None) -> None:
        """Note that a row has its outcome."""
        if tokens is not None:
            was_storm = self._breaker.is_storm
            self._breaker.passed(is_probe=self._is_probe(task))
            self._pace.used(tokens)
            if was_storm:
                self._changed.notify(self._idle)
        self._came_back(task)

    def _put_off(self, task: Task) -> None:
        """Note that a row came back without an outcome, alive."""
        self._unsettled -= 1
        self._came_back(task)
        if task.lot in {"alone", "last"}:
            task.lot = "usual"

    def _came_back(self, task: Task) -> None:
        self.under_way -= 1
        self.ended += 1
        if self._solitude.ended(task):
            self._wake()

    def _is_probe(self, task: Task) -> bool:
        """Whether everybody waits for this row; asked once, when it comes back."""
        if task is not self._probe:
            return False
        self._probe = None
        return True

    # drawing: one thread at a time, without the lock while it reads

    def _draw(self) -> None:
        shard = self._shards[0]
        try:
            tasks = [] if shard.is_lost or shard.is_read else list(islice(shard.tasks, CHUNK))
        except Exception as error:  # noqa: BLE001 - a source may raise anything; the worker ends with it
            self.fail(error)
            return
        with self._changed:
            self._is_drawing = False
            if len(tasks) < CHUNK or shard.is_lost:
                self._shards.popleft()
            if not shard.is_lost:
                self._keep(shard, tasks)
            if self._idle:
                self._changed.notify(min(self._idle, len(tasks) + 1))
        if self.wants_shard() or shard.is_read:
            self._wake()

    def _keep(self, shard: OpenShard, tasks: list[Task]) -> None:
        shard.drawn += len(tasks)
        shard.is_read = len(tasks) < CHUNK
        for task in tasks:
            (shard.last if task.lot == "last" else self._ready).append(task)
