"""Many sequences through one model: who gets a slot, what each step computes, what came of it.

Owns `Scheduler`, `Rules` and `Tally`. No threads, no clock, no chance: the same calls give the same
events. Knows nothing of folders, templates or how a token is chosen.

What a sequence gets does not depend on the others, as long as the model computes each row on its
own: neither by their number, nor by a beginning they share, nor by guesses. It does not guard
against a model for which that is not so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.backends.native.scheduling.choices import Choices, Tally
from openautoglm.engine.backends.native.scheduling.lookup import Experience, Lookup
from openautoglm.engine.backends.native.scheduling.plan import Budget, share_out
from openautoglm.engine.backends.native.scheduling.prefix import MINIMUM, Place, Prefixes
from openautoglm.engine.backends.native.scheduling.sequence import Event, Row, refusal
from openautoglm.engine.backends.native.scheduling.slots import Slots
from openautoglm.engine.backends.native.scheduling.waiting import Waiting
from openautoglm.errors import (
    InvalidParameterError,
    ModelTooLargeError,
    OpenAutoGLMError,
)

if TYPE_CHECKING:
    from collections.abc import Hashable
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.scheduling.faces import DecodingModel, Sampler
    from openautoglm.engine.backends.native.scheduling.plan import Plan
    from openautoglm.engine.backends.native.scheduling.sequence import Sequence

NOWHERE: Final = Place(-1)
"""Where a row goes for which the cache has no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a scheduler may do. None of it changes a token.

    Attributes:
        most_tokens: tokens that the cache may have memory for, apart from `kept`; None for all.
        catch_up: rows of a step for prompts, where others decode meanwhile whose tokens are
            awaited: so many the longest they wait for the next. None for all there are.
        kept: slots that keep beginnings which prompts share; they serve no sequence.
        minimum: tokens below which a shared beginning is not looked for.
        guesses: whether tokens are guessed where an answer copies.
        step_rows: what a step costs however few rows it has, in rows.
        sequence_rows: what a sequence costs in a step however few of the rows are its own, in
            rows. A right guess saves one row, this, and its part of `step_rows`.
    """

    most_tokens: int | None = None
    catch_up: int | None = None
    kept: int = 0
    minimum: int = MINIMUM
    guesses: bool = True
    step_rows: float = 8.0
    sequence_rows: float = 0.75


@final
class Scheduler:
    """Decode many sequences step by step. For one thread.

    Args:
        model: computes.
        sampler: chooses tokens.
        most_rows: most rows of one step; default what the model takes. Halved when memory runs out,
            and doubled again when that was a while ago.
        rules: what it may do.

    Example:
        >>> from openautoglm.engine.backends.native.scheduling.sequence import Sequence
        >>> from openautoglm.testing.toy_decoder import ToyModel, ToySampler
        >>> scheduler = Scheduler(ToyModel(slots=2, context=32), ToySampler())
        >>> scheduler.add(Sequence(id=1, prompt=(3, 4, 5), max_tokens=2))
        >>> [event.finish_reason for _ in range(2) for event in scheduler.step()]
        [None, 'length']
    """

    def __init__(
        self,
        model: DecodingModel,
        sampler: Sampler,
        most_rows: int | None = None,
        *,
        rules: Rules | None = None,
    ) -> None:
        self.rules = Rules() if rules is None else rules
        self.tally = Tally()
        self._model = model
        self._choices = Choices(sampler, self.tally)
        self._experience = Experience()
        self.budget = Budget(min(model.rows, most_rows or model.rows))
        self._slots = Slots(model.slots, model.context, most_tokens=self.rules.most_tokens)
        self._prefixes = Prefixes(
            self._slots, model, kept=self.rules.kept, minimum=self.rules.minimum
        )
        self._waiting = Waiting(minimum=self.rules.minimum)
        self._held: list[tuple[Row, Place]] = []  # wait for a beginning that is being computed
        self._running: list[Row] = []
        self._rows: dict[int, Row] = {}  # by sequence
        self._same: dict[Hashable, Row] = {}
        self._events: list[Event] = []

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing and tell nothing."""
        return not (self._rows or self._events)

    @property
    def waiting(self) -> int:
        """Computations that have no slot yet."""
        return len(self._waiting) + len(self._held)

    @property
    def running(self) -> int:
        """Computations that have a slot."""
        return len(self._running)

    def add(self, asked: Sequence) -> None:
        """Take a sequence. One that cannot be computed has an error at the next step.

        Raises:
            InvalidParameterError: its id is under way already.
        """
        if asked.id in self._rows:
            raise InvalidParameterError(
                "a sequence of this id is under way", got=asked.id, fix="use each id once"
            )
        key = asked.key
        if key is not None and key in self._same:
            self._join(self._same[key], asked)
            return
        limit = min(self._model.context, self._slots.most_tokens)
        error = refusal(asked, limit=limit, vocabulary=self._model.vocabulary)
        if error is not None:
            self._events.append(Event(sequence=asked.id, finish_reason="error", error=error))
            return
        room = min(asked.max_tokens, limit - len(asked.prompt))
        can_guess = self.rules.guesses and asked.guesses
        lookup = Lookup(self._experience, len(asked.prompt)) if can_guess else None
        row = Row(asked, room=room, lookup=lookup)
        self._rows[asked.id] = row
        if key is not None:
            self._same[key] = row
        self._waiting.add(row)

    def cancel(self, sequence: int) -> None:
        """End a sequence; it is told at the next step. One that is not under way is ignored."""
        row = self._rows.pop(sequence, None)
        if row is None:
            return
        self._events.append(row.leave(sequence))
        if not row.sequences:
            row.reason = "cancelled"
            if row.slot >= 0:
                self._running.remove(row)
            elif all(row is not held for held, _ in self._held):
                self._waiting.drop()
            self._forget(row)

    def step(self) -> list[Event]:
        """Compute once and return what is new; [] when there is nothing to do."""
        self._admit()
        rows = [row for row in self._running if row.reason is None]
        if rows:
            if self.rules.guesses:
                self._guess(rows)
            self._run(rows)
        self._tell()
        events, self._events = self._events, []
        return events

    def _join(self, row: Row, asked: Sequence) -> None:
        self.tally.shared += 1
        self._rows[asked.id] = row
        missed = row.join(asked)
        if missed is not None:
            self._events.append(missed)

    def _admit(self) -> None:
        held, self._held = self._held, []
        for row, place in held:
            if row.reason is None:
                self._enter(row, place)
        while len(self._slots.free) > len(self._held) and not self._is_full:
            waiting = self._waiting.next()
            if waiting is None:
                return
            waiting.begin()
            if waiting.reason is None:
                self._enter(waiting, NOWHERE)
            else:
                self._running.append(waiting)  # all of it was forced: it ends in this step

    @property
    def _is_full(self) -> bool:
        """Whether a row waits for room, so that none may overtake it."""
        return any(place.leader < 0 for _, place in self._held)

    def _enter(self, row: Row, before: Place) -> None:
        """Give a row a slot, or hold it."""
        place = before
        if before.leader < 0 or not self._prefixes.is_coming(before):
            has_room = not self._is_full and self._has_room(row.reserve)
            place = self._prefixes.place(row.ids, row.adapter) if has_room else NOWHERE
        if place.slot < 0:
            self._held.append((row, place))
            return
        self._prefixes.enter(place, row.ids, reserve=row.reserve, adapter=row.adapter)
        row.slot, row.known = place.slot, place.known
        self._running.append(row)
        self.tally.found += place.known
        self.tally.copied = self._prefixes.copied

    def _has_room(self, tokens: int) -> bool:
        """Whether so many more tokens may be reserved; makes room in slots nobody has."""
        if not self._slots.has_room(tokens):
            return False
        for slot in self._slots.shed(tokens):
            self._model.release(slot)
        return True

    def _guess(self, rows: Many[Row]) -> None:
        ready = [row for row in rows if row.is_near]
        room = self.budget.rows - sum(row.lag for row in ready)
        if len(ready) < len(rows):
            room //= 2  # the rest is for those that have more to catch up with
        worth = 1 + self.rules.sequence_rows + self.rules.step_rows / len(rows)
        for row in ready:
            if row.lookup is not None and room > 0:
                row.drafts = row.lookup.propose(row.ids, min(room, row.left - 1), worth)
                room -= len(row.drafts)

    def _run(self, rows: Many[Row]) -> None:
        is_awaited = any(row.is_awaited for row in rows)
        catch_up = self.rules.catch_up if is_awaited else None
        plan = share_out(rows, self.budget.rows, catch_up=catch_up)
        try:
            logits = plan.forward(self._model, self._slots)
        except MemoryError as cause:
            self._shrink(rows, plan, cause)
        except OpenAutoGLMError as error:
            self._isolate(plan.served, error)
        else:
            self.tally.steps += 1
            self.tally.rows += plan.size
            self.budget.note()
            self._choices.make(plan, logits)
            if plan.is_short:  # those left out come first the next time
                served = set(map(id, plan.served))
                self._running.sort(key=lambda row: id(row) in served)

    def _shrink(self, rows: Many[Row], plan: Plan, cause: MemoryError) -> None:
        """Try again with half the rows."""
        for row in rows:
            row.drafts = []
        if plan.size > 1:
            self.budget.halve(plan.size)
            self._run(rows)
            return
        error = ModelTooLargeError(
            "memory ran out while generating",
            got=f"a step of one row, {len(plan.served[0].ids)} tokens into its sequence",
            fix="use fewer slots, a shorter context or a smaller mode",
        )
        error.__cause__ = cause
        plan.served[0].fail(error)

    def _isolate(self, rows: Many[Row], error: OpenAutoGLMError) -> None:
        """Find those that fail alone; the others go on."""
        if len(rows) == 1:
            rows[0].fail(error)
            return
        half = len(rows) // 2
        self._run(rows[:half])
        self._run(rows[half:])

    def _tell(self) -> None:
        has_ended = False
        for row in self._running:
            self._events += row.tell()
            has_ended = has_ended or row.reason is not None
        if has_ended:
            for row in self._running:
                if row.reason is not None:
                    self._forget(row)
            self._running = [row for row in self._running if row.reason is None]

    def _forget(self, row: Row) -> None:
        """Let go of what a row that ended had."""
        if row.slot >= 0:
            self._slots.let_go(row.slot)
        for sequence in row.sequences:
            del self._rows[sequence]
        key = row.asked.key
        if key is not None:
            del self._same[key]
