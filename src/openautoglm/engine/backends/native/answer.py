"""One answer on its way from the worker's thread to whoever asked for it.

Owns `Answer`, and `streamed`, which gives out one piece by piece. Knows requests and generations;
knows nothing of how tokens come about.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import zip_longest
from queue import SimpleQueue
from typing import TYPE_CHECKING, final

from openautoglm.engine.backends.native.scheduling.sampler import ScoredToken
from openautoglm.engine.generation import Generation, Timings, TokenLogprob

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from openautoglm.engine.backends.native.batch import Begun, Tell
    from openautoglm.engine.backends.native.scheduling.sequence import Event, Sequence


@final
class Answer:
    """Collect what comes of one sequence. The worker's thread writes it, nobody else does.

    Args:
        asked: the sequence.
        cancel: set to end it at its next token.
        model: the model's name.
        tell: called on the worker's thread, with each piece of text and with the answer when it
            is whole, or with the answer alone.
        has_pieces: whether pieces are told.
        text_of: gives the text of a token, where it shall be said how likely each was.
    """

    def __init__(
        self,
        asked: Sequence,
        *,
        cancel: threading.Event,
        model: str,
        tell: Callable[[str | Generation], None],
        has_pieces: bool,
        text_of: Callable[[int], str] | None = None,
    ) -> None:
        self.asked = asked
        self._is_abandoned = False
        self._cancel = cancel
        self._model = model
        self._tell = tell
        self._has_pieces = has_pieces
        self._text_of = text_of
        self._logprobs: list[TokenLogprob] = []
        self._pieces: list[str] = []
        self._count = 0
        self._queued_s = time.monotonic()
        self._started_s = self._queued_s
        self._first_s: float | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants more of it."""
        return self._is_abandoned or self._cancel.is_set()

    def abandon(self) -> None:
        """Say, from any thread, that nobody wants more of it."""
        self._is_abandoned = True

    def begin(self) -> None:
        """Start the clock."""
        self._started_s = time.monotonic()

    def take(self, event: Event) -> None:
        """Take what is new."""
        now_s = time.monotonic()
        if self._first_s is None and (event.tokens or event.finish_reason == "stop"):
            self._first_s = now_s - self._started_s
        self._count += len(event.tokens)
        if self._text_of is not None:
            self._score(event, self._text_of)
        if event.text:
            self._pieces.append(event.text)
            if self._has_pieces:
                self._tell(event.text)
        if event.finish_reason is not None:
            self._tell(self._whole(event, now_s))

    def _whole(self, event: Event, now_s: float) -> Generation:
        return Generation(
            text="".join(self._pieces),
            finish_reason=event.finish_reason or "cancelled",
            prompt_tokens=len(self.asked.prompt),
            completion_tokens=self._count,
            timings=Timings(
                queue_s=self._started_s - self._queued_s,
                first_token_s=self._first_s,
                total_s=now_s - self._started_s,
            ),
            model=self._model,
            error=event.error,
            logprobs=tuple(self._logprobs),
        )

    def _score(self, event: Event, text_of: Callable[[int], str]) -> None:
        for token, scored in zip_longest(event.tokens, event.logprobs):
            if isinstance(scored, ScoredToken):
                top = tuple((text_of(other), logprob) for other, logprob in scored.top)
                one = TokenLogprob(token=text_of(token), logprob=scored.logprob, top=top)
            else:  # it was forced: nothing else could come
                one = TokenLogprob(token=text_of(token), logprob=0.0)
            self._logprobs.append(one)


def streamed(begin: Callable[[Tell], Begun]) -> Iterator[str | Generation]:
    """Yield the pieces of one answer, then the answer; leaving early abandons it.

    Args:
        begin: starts it once the first piece is asked for.

    Raises:
        OpenAutoGLMError: what the answer failed with.
    """
    news: SimpleQueue[str | Generation] = SimpleQueue()
    answer = begin(news.put)
    try:
        while isinstance(new := news.get(), str):
            yield new
        if new.error is not None:
            raise new.error
        yield new
    finally:
        answer.abandon()


def noting(left_out: int, tell: Tell) -> Tell:
    """Return what tells a generation how many tokens of its prompt were left out."""

    def noted(new: str | Generation) -> None:
        tell(new if isinstance(new, str) else replace(new, left_out=left_out))

    return noted if left_out else tell
