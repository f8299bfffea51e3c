"""The decode loop: many rows at once, each with its own stop, seed, grammar and clock.

Owns `decode`. Knows nothing of folders, templates or tokenizers. Without the library's own
`generate`, so that streaming, cancelling and stopping are exact to the token.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

import torch

from openautoglm.engine.backends.transformers.choice import choose
from openautoglm.engine.backends.transformers.width import best_width
from openautoglm.errors import ModelTooLargeError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from openautoglm.engine.backends.transformers.network import Network
    from openautoglm.engine.backends.transformers.places import Places
    from openautoglm.engine.backends.transformers.row import Row

MAX_BATCH_TOKENS: Final = 32_768  # rows times the longest; bounds the memory of a batch
REFILL: Final = 4
"""A batch is filled up again when one part in so many of it is free."""
PADDING: Final = 4
"""Prompts are read together while at most one part in so many of what is read is padding."""
_LITTLE: Final = 64
"""So many positions of padding cost less than reading prompts in one more go."""


def decode(
    network: Network, windows: Iterable[Sequence[Row]], *, width: int = 1
) -> Iterator[tuple[Row, str]]:
    """Generate rows, up to `width` together; yield (row, piece of its text) for each step of each.

    What a row's constraint forces is not chosen: the model reads it with the token before it where
    it allows that and it pays, and otherwise token by token.

    A row is finished when its `reason` is set, which is told once. It leaves the batch, and where
    the model allows it others take its place. Where memory runs out the batch is halved and its
    rows go on from where they were; a row for which it is short alone fails.

    Args:
        network: the model.
        windows: rows that may be generated in any order within a window, best as they stand; read
            when there is room and nobody waits.
        width: most rows at once.
    """
    return _Batch(network, windows, width).run()


@final
class _Batch:
    """Rows that are decoded together, and those that wait for a place."""

    def __init__(self, network: Network, windows: Iterable[Sequence[Row]], width: int) -> None:
        self._network = network
        self._windows = iter(windows)
        self._width = width
        self._waiting: deque[Row] = deque()
        self._active: list[Row] = []
        self._logits = torch.empty(0)
        self._places: Places | None = None

    def run(self) -> Iterator[tuple[Row, str]]:
        while True:
            yield from self._fill()
            if not self._active:
                return
            yield from self._step()

    def _fill(self) -> Iterator[tuple[Row, str]]:
        """Give free places to rows that wait."""
        while True:
            new: list[Row] = []
            is_end = True
            for row in self._next_rows():
                is_end = False
                yield row, self._begin(row)
                if row.reason is None:
                    new.append(row)
            buckets = self._buckets(new)
            while buckets:
                try:
                    self._read(buckets[0])
                except OpenAutoGLMError as error:
                    yield from self._fall_back(buckets, error)
                    break
                buckets.pop(0)
            if self._active or is_end:
                return

    def _begin(self, row: Row) -> str:
        if row.reason is not None:
            return ""
        return row.cancel() if row.request.cancel.is_set() else row.start(self._network.eos)

    def _next_rows(self) -> Iterator[Row]:
        """Take the rows that come into the batch now; none where it is better to wait."""
        free = self._width - len(self._active)
        is_full = free < max(1, self._width // REFILL)
        if self._active and (is_full or not self._network.can_join):
            return
        longest = 0 if self._places is None else self._places.longest
        taken = len(self._active)
        while taken < self._width and (self._waiting or self._look_further()):
            row = self._waiting[0]
            longest = max(longest, len(row.read))
            is_large = (taken + 1) * longest > MAX_BATCH_TOKENS
            if taken and (is_large or not self._network.can_share):
                return
            yield self._waiting.popleft()
            taken += 1

    def _look_further(self) -> bool:
        """Read windows until rows wait; False at the end."""
        while not self._waiting:
            window = next(self._windows, None)
            if window is None:
                return False
            self._waiting.extend(window)
        return True

    def _buckets(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Cut rows, shortest first, into those whose prompts are read together."""
        if len(rows) < 2 or not self._network.can_join:  # noqa: PLR2004 - one row has no padding
            return [list(rows)] if rows else []
        found: list[list[Row]] = [[]]
        total = 0
        for row in sorted(rows, key=lambda each: len(each.read)):
            length = len(row.read)
            cells = (len(found[-1]) + 1) * length
            padding = cells - total - length
            if padding > max(_LITTLE, cells // PADDING):
                found.append([])
                total = 0
            found[-1].append(row)
            total += length
        return found

    def _read(self, rows: list[Row]) -> None:
        """Read prompts, and put the rows beside those that are active."""
        logits, places = self._network.first([row.read for row in rows])
        if self._places is None:
            self._logits, self._places = logits, places
        else:
            self._places.join(places)
            self._logits = torch.cat([self._logits, logits])
        self._active += rows
        for row in rows:
            row.known = len(row.read)

    def _step(self) -> Iterator[tuple[Row, str]]:
        """Choose a token for each row that has read all of its own, and go on reading."""
        eos = self._network.eos
        chosen = self._choose(eos)
        for row in self._active:
            if row in chosen:
                yield row, row.take(chosen[row], eos) if row.reason is None else ""
            if row.reason is None and row.request.cancel.is_set():
                yield row, row.cancel()
        stay = [index for index, row in enumerate(self._active) if row.reason is None]
        self._active = [self._active[index] for index in stay]
        if self._places is None or not stay:
            self._places = None
            return
        self._places.keep(stay)
        try:
            self._go_on(self._places)
        except OpenAutoGLMError as error:
            rows, self._active, self._places = self._active, [], None
            yield from self._fall_back([rows], error)

    def _choose(self, eos: frozenset[int]) -> dict[Row, int]:
        ready = [index for index, row in enumerate(self._active) if not row.lag]
        rows = [self._active[index] for index in ready]
        logits = self._logits if len(ready) == len(self._active) else self._logits[ready]
        return dict(zip(rows, choose(logits, rows, eos), strict=True))

    def _go_on(self, places: Places) -> None:
        """Read the next tokens of each row, those that were forced together where it pays."""
        width = self._step_width([row.lag for row in self._active], places)
        blocks = [row.unread(width) for row in self._active]
        self._logits = self._network.next(blocks, places)
        for row, block in zip(self._active, blocks, strict=True):
            row.known += len(block)

    def _step_width(self, lags: Sequence[int], places: Places) -> int:
        """Return how many tokens a row may read now; several where the model allows it."""
        network = self._network
        if max(lags) == 1 or not network.can_jump:
            return 1
        if len(lags) == 1 and not places.is_padded:
            return lags[0]
        if not network.can_mix:
            return 1
        width = best_width(lags)
        return width if places.has_space(width) else min(lags)

    def _fall_back(
        self, buckets: Sequence[Sequence[Row]], error: OpenAutoGLMError
    ) -> Iterator[tuple[Row, str]]:
        """Let rows wait again for a smaller batch, or end them where that would not help."""
        rows = [row for bucket in buckets for row in bucket]
        together = len(self._active) + len(buckets[0])
        if isinstance(error, ModelTooLargeError) and together > 1:
            self._width = max(1, together // 2)
            self._waiting.extendleft(reversed(rows))
            return
        for row in rows:
            row.fail(error)
            yield row, ""
