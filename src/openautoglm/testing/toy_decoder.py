"""A decoder without weights, for tests of what runs one: it says what its cache makes it say.

Owns `ToyModel`, `ToySampler`, `ToyAdapter`, `ToyParams`, `ToyConstraint`, and `decode` with its
`ToyAnswer`.
Whoever mixes up slots, positions or prefixes gets other tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, final

import numpy as np

from openautoglm.engine.backends.native.scheduling.faces import FAILED, Chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from openautoglm.engine.backends.native.scheduling.faces import Draw
    from openautoglm.engine.backends.native.scheduling.scheduler import Scheduler
    from openautoglm.engine.backends.native.scheduling.sequence import Event
    from openautoglm.engine.backends.native.scheduling.sequence import Sequence as Asked
    from openautoglm.errors import OpenAutoGLMError

    Integers: TypeAlias = NDArray[np.int64]
    Logits: TypeAlias = NDArray[np.float32]

EMPTY: Final = -1
ADAPTER: Final = 1 << 20
"""How far apart the same token lies under two adapters."""
ODD: Final = 0x9E3779B97F4A7C15
BITS: Final = 64
FORCING: Final = 5
ENDING: Final = 7


@final
class ToyModel:
    """Logits are a hash of the tokens that the cache holds up to a row's position.

    Args:
        slots: sequences the cache has room for.
        context: positions of a slot.
        rows: most rows of a call.
        vocabulary: width of the logits.
        window: tokens that count; few make answers that repeat themselves. 0 for all.
        most: rows above which memory runs out.
        fault: called with the tokens a row has seen; may raise, or return True for NaN.
    """

    def __init__(  # noqa: PLR0913 - each is one way to be another model
        self,
        *,
        slots: int,
        context: int,
        rows: int = 64,
        vocabulary: int = 16,
        window: int = 0,
        most: int | None = None,
        fault: Callable[[tuple[int, ...]], bool] | None = None,
    ) -> None:
        self.slots = slots
        self.context = context
        self.rows = rows
        self.vocabulary = vocabulary
        self.calls: list[int] = []  # rows of each
        self.cache = np.full((slots, context), EMPTY, np.int64)
        self._window = window
        self.most = rows if most is None else most
        self._fault = fault

    def forward(
        self,
        tokens: Integers,
        slots: Integers,
        positions: Integers,
        last: Integers,
        adapters: Integers | None = None,
    ) -> Logits:
        """Store the tokens, apart by adapter, then hash what lies before the rows `last`."""
        if len(tokens) > self.rows or min(tokens) < 0 or max(tokens) >= self.vocabulary:
            raise AssertionError(f"{len(tokens)} rows of {self.rows}, or tokens out of range")
        if len(tokens) > self.most:
            raise MemoryError
        marks = 0 if adapters is None else adapters * ADAPTER
        self.cache[slots, positions] = tokens + marks
        rows = [self._logits(int(slots[row]), int(positions[row])) for row in last]
        self.calls.append(len(tokens))
        return np.array(rows, np.float32).reshape(len(rows), self.vocabulary)

    def copy_prefix(self, source_slot: int, target_slot: int, positions: int) -> None:
        """Copy the first positions of one slot to another."""
        self.cache[target_slot, :positions] = self.cache[source_slot, :positions]

    def release(self, slot: int) -> None:
        """Forget what a slot holds."""
        self.cache[slot] = EMPTY

    def _logits(self, slot: int, position: int) -> NDArray[np.float64]:
        seen = tuple(self.cache[slot, : position + 1].tolist())
        if EMPTY in seen:
            raise AssertionError(f"slot {slot} was read up to {position}, which has holes")
        if self._fault is not None and self._fault(seen):
            return np.full(self.vocabulary, np.nan)
        counted = seen[-self._window :] if self._window else seen
        return hashed(hash(counted), self.vocabulary)


class ToyAdapter(NamedTuple):
    """An adapter that is nothing but its number."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyParams:
    """How `ToySampler` chooses.

    Attributes:
        temperature: how much chance counts; 0 for none.
        presence: taken from the logit of every token of the output so far.
        logprobs: whether to give the chosen tokens' logits.
    """

    temperature: float = 0.0
    presence: float = 0.0
    logprobs: bool = False


@final
class ToySampler:
    """Takes the greatest logit, after presence, chance, mask and what is banned."""

    def choose(self, logits: Logits, draws: Sequence[Draw]) -> Chosen:
        """Choose one token per row."""
        pairs = [_choose(row, draw) for row, draw in zip(logits, draws, strict=True)]
        tokens = np.array([token for token, _ in pairs], np.int64)
        return Chosen(tokens, [value for _, value in pairs])

    def remembers(self, draw: Draw) -> bool:
        """Whether chance or presence count."""
        params = _params(draw)
        return bool(params.temperature or params.presence)

    def takes_largest(self, draw: Draw) -> bool:
        """Whether nothing else counts, nor is told."""
        params = _params(draw)
        return not (self.remembers(draw) or params.logprobs or draw.banned)


@final
class ToyConstraint:
    """Allows odd and even tokens below 16 by turns, forces a few after each 5, ends after a 7.

    Args:
        jumps: whether what is forced is told in advance.
    """

    def __init__(self, *, jumps: bool = True) -> None:
        self._count = 0
        self._due: list[int] = []
        self._jumps = jumps

    def mask(self) -> NDArray[np.int32]:
        """Return one bit per token that may come."""
        tokens = self._due[:1] or range(self._count % 2, 16, 2)
        return np.array([sum(1 << token for token in tokens)], np.int32)

    def allows(self, token: int) -> bool:
        """Whether a token may come."""
        return bool(self.mask()[0] >> token & 1)

    def accept(self, token: int) -> bool:
        """Take a token; whether it is the last."""
        if not self.allows(token):
            raise AssertionError(f"token {token} is not allowed here")
        self._count += 1
        self._due = self._due[1:] or ([2, 4, 9] if token == FORCING else [])
        return token == ENDING

    def forced(self) -> list[int]:
        """Return the tokens that must come next."""
        return list(self._due) if self._jumps else []


@dataclass(slots=True)
class ToyAnswer:
    """All events of one sequence, put together."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    logprobs: list[object] = field(default_factory=list)
    reason: str | None = None
    error: OpenAutoGLMError | None = None

    def take(self, event: Event) -> None:
        """Add the next event."""
        if self.reason is not None:
            raise AssertionError("an event came after the last")
        self.tokens += event.tokens
        self.text += event.text
        self.logprobs += event.logprobs
        self.reason, self.error = event.finish_reason, event.error

    @property
    def facts(self) -> tuple[object, ...]:
        """What must not depend on other sequences."""
        return self.tokens, self.text, self.logprobs, self.reason, type(self.error)


def follow(scheduler: Scheduler, answers: dict[int, ToyAnswer], steps: int = 10_000) -> None:
    """Step until nothing is left, and put what comes to the answers."""
    for _ in range(steps):
        if scheduler.is_idle:
            return
        for event in scheduler.step():
            answers.setdefault(event.sequence, ToyAnswer()).take(event)


def decode(scheduler: Scheduler, *asked: Asked) -> dict[int, ToyAnswer]:
    """Return the answers of sequences, by id, in the order of their first events."""
    for sequence in asked:
        scheduler.add(sequence)
    answers: dict[int, ToyAnswer] = {}
    follow(scheduler, answers)
    if not scheduler.is_idle:
        raise AssertionError("sequences were left over")
    return answers


def hashed(seed: int, count: int) -> NDArray[np.float64]:
    """Return `count` numbers in [0, 1) that a seed decides."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(ODD)
    mixed ^= np.uint64(seed % 2**BITS)
    for shift in (31, 29):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(ODD)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _params(draw: Draw) -> ToyParams:
    return draw.params if isinstance(draw.params, ToyParams) else ToyParams()


def _choose(logits: NDArray[np.float32], draw: Draw) -> tuple[int, float | None]:
    if np.isnan(logits).any():
        return FAILED, None
    params = _params(draw)
    output = draw.ids[draw.prompt_tokens :]
    values: NDArray[Any] = logits.astype(np.float64)
    if params.presence:
        values[sorted(set(output))] -= params.presence
    if params.temperature:
        values += params.temperature * hashed(hash((draw.seed or 0, len(output))), len(values))
    if draw.mask is not None:
        bits = np.unpackbits(draw.mask.view(np.uint8), count=len(values), bitorder="little")
        values[bits == 0] = -np.inf
    values[sorted(draw.banned)] = -np.inf
    token = int(values.argmax())
    return token, float(logits[token]) if params.logprobs else None
