"""One answer in the making: what was asked, the tokens so far, and why it ended.

Owns `Sequence`, `Event` and `Row`. Knows nothing of slots' neighbours, steps or the model.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.engine.stopping import Stopping
from openautoglm.errors import (
    BackendRequestError,
    InvalidParameterError,
    InvalidPromptError,
    OpenAutoGLMError,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

    from openautoglm.engine.backends.native.scheduling.faces import Adapter, Constraint, Words
    from openautoglm.engine.backends.native.scheduling.lookup import Lookup
    from openautoglm.engine.generation import FinishReason
    from openautoglm.engine.stopping import Detokenizer

NONE_BANNED: frozenset[int] = frozenset()
NEAR: Final = 16
"""Forced tokens that are read in one step with the rows that only need their newest token."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sequence:
    """What to generate.

    Attributes:
        id: the caller's name for it, its own among those under way.
        prompt: token ids, at least one.
        max_tokens: most tokens to generate; the context may end it sooner.
        min_tokens: no token of `eos` and no stop string before so many; a constraint goes first.
        params: how to choose tokens; the sampler's own type. Sequences are computed once only
            when it can be hashed.
        seed: where the random numbers begin; None when none are needed.
        eos: tokens that end it and are not part of it.
        stop: strings that end it and are not part of it; they need `text`.
        text: turns tokens into text; None gives tokens alone.
        adapter: whose weights are added to the model's; None for the model alone.
        constraint: what it may say.
        grammar: equal for constraints that allow the same; None keeps it from being shared.
        guesses: whether guesses may be tried; they change no token.
        is_awaited: whether someone waits for each token, not for the whole.
        is_free: whether others may go before it where that is quicker for all.
    """

    id: int
    prompt: tuple[int, ...]
    max_tokens: int
    min_tokens: int = 0
    params: object = None
    seed: int | None = None
    eos: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    text: Detokenizer | None = None
    adapter: Adapter | None = None
    constraint: Constraint | None = None
    grammar: Hashable | None = None
    guesses: bool = True
    is_awaited: bool = False
    is_free: bool = False

    @property
    def adapter_number(self) -> int:
        """The adapter's own number, 0 for none."""
        return 0 if self.adapter is None else self.adapter.number

    @property
    def key(self) -> Hashable | None:
        """Equal for sequences that come out the same; None where that cannot be known."""
        if self.constraint is not None and self.grammar is None:
            return None
        key = (
            *(self.prompt, self.max_tokens, self.min_tokens, self.params, self.seed),
            *(self.eos, self.stop, self.text is None, self.grammar, self.adapter_number),
        )
        try:
            hash(key)
        except TypeError:
            return None
        return key


@final
class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is new of one sequence.

    Attributes:
        sequence: its id.
        tokens: new tokens; the one that ended it by `eos` is none of them.
        text: what they settle, stop strings left out; "" without a detokenizer.
        logprobs: one a token, as the sampler gave them; None for a token that was forced.
        finish_reason: why it ended, None while it goes on.
        error: what went wrong, with finish_reason "error".
    """

    sequence: int
    tokens: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[object, ...] = ()
    finish_reason: FinishReason | None = None
    error: OpenAutoGLMError | None = None


@dataclass(slots=True)
class News:
    """What came since it was last told."""

    tokens: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    logprobs: list[object] = field(default_factory=list)

    def event(self, row: Row, sequence: int) -> Event:
        """Return it as an event of one of the row's sequences."""
        return Event(
            sequence=sequence,
            tokens=tuple(self.tokens),
            text="".join(self.text),
            logprobs=tuple(self.logprobs) if row.has_logprobs else (),
            finish_reason=row.reason,
            error=row.error,
        )


@final
class Row:
    """One computation, for one sequence or for several that are the same.

    Attributes:
        ids: prompt and output.
        adapter: number of the adapter it is computed with; 0 for none.
        known: of how many of them the cache has the keys and values.
        sequences: ids of those that get what comes of it.
        is_awaited: whether someone waits for each of its tokens.
        drafts: guesses that are part of the step under way.
        right: how many of them came true.
    """

    __slots__ = (
        *("asked", "ids", "prompt_tokens", "adapter", "known", "slot", "sequences"),
        *("reason", "error"),
        *("is_awaited", "mask", "banned", "notes", "has_logprobs", "drafts", "right", "lookup"),
        *("_room", "_news", "_told", "_stopping"),
    )

    def __init__(self, asked: Sequence, *, room: int, lookup: Lookup | None = None) -> None:
        self.asked = asked
        self.ids = list(asked.prompt)
        self.prompt_tokens = len(self.ids)
        self.adapter = asked.adapter_number
        self.known = 0
        self.slot = -1
        self.sequences = [asked.id]
        self.is_awaited = asked.is_awaited
        self.reason: FinishReason | None = None
        self.error: OpenAutoGLMError | None = None
        self.mask: Words | None = None
        is_free = asked.constraint is None  # a constraint may leave nothing but an end
        self.banned = asked.eos if asked.min_tokens > 0 and is_free else NONE_BANNED
        self.notes: object = None
        self.has_logprobs = False
        self.drafts: list[int] = []
        self.right = 0
        self.lookup = lookup
        self._room = room
        self._news = News()
        self._told = News()  # kept for a sequence that joins later
        self._stopping = _stopping(asked)

    @property
    def params(self) -> object:
        """How to choose tokens."""
        return self.asked.params

    @property
    def seed(self) -> int | None:
        """Where the random numbers begin."""
        return self.asked.seed

    @property
    def left(self) -> int:
        """How many tokens may still be generated."""
        return self._room - (len(self.ids) - self.prompt_tokens)

    @property
    def lag(self) -> int:
        """How many tokens are there that the cache does not have yet."""
        return len(self.ids) - self.known

    @property
    def is_near(self) -> bool:
        """Whether little is missing for its next token: the newest, or a few that were forced."""
        lag = len(self.ids) - self.known
        return lag == 1 or (lag <= NEAR and self.known >= self.prompt_tokens)

    @property
    def reserve(self) -> int:
        """Tokens the cache must have room for."""
        return self.prompt_tokens + self._room

    def prepare(self) -> None:
        """Bring `mask` and `banned` up to date for the next token; ends the row if that fails."""
        constraint = self.asked.constraint
        if constraint is not None:
            try:
                self.mask = constraint.mask()
            except Exception as error:  # noqa: BLE001 - it is this row's, whatever it is
                self.fail(error)
        elif self.banned and len(self.ids) - self.prompt_tokens >= self.asked.min_tokens:
            self.banned = NONE_BANNED

    def allows(self, token: int) -> bool:
        """Whether the row's constraint lets a token come; true also where asking ends the row."""
        constraint = self.asked.constraint
        try:
            return constraint is None or constraint.allows(token)
        except Exception as error:  # noqa: BLE001 - it is this row's, whatever it is
            self.fail(error)
            return True

    def take(self, token: int, logprob: object = None) -> None:
        """Take the token that was chosen, and those that a constraint forces after it."""
        try:
            if token in self.asked.eos:
                self.end("stop")
                return
            self._add(token, logprob)
            if self.asked.constraint is not None:
                self._jump(self.asked.constraint)
        except Exception as error:  # noqa: BLE001 - it is this row's, whatever it is
            self.fail(error)

    def is_right(self) -> bool:
        """Go along the drafts as far as they came true; whether the next token can be chosen."""
        ids, drafts = self.ids, self.drafts
        while (
            self.right < len(drafts)
            and self.known < len(ids)
            and drafts[self.right] == ids[self.known]
        ):
            self.right += 1
            self.known += 1
        return self.reason is None and self.known == len(ids)

    def begin(self) -> None:
        """Take the tokens that a constraint forces at the start."""
        if self.asked.constraint is not None:
            try:
                self._jump(self.asked.constraint)
            except Exception as error:  # noqa: BLE001 - it is this row's, whatever it is
                self.fail(error)

    def end(self, reason: FinishReason) -> None:
        """End here."""
        if self.reason is not None:
            return
        self.reason = reason
        if self._stopping is not None:
            self._news.text.append(self._stopping.end())
            if self._stopping.is_stopped and reason == "length":
                self.reason = "stop"

    def fail(self, error: Exception) -> None:
        """End here because of an error."""
        self.reason, self.error = "error", _told(error)

    def tell(self) -> list[Event]:
        """Return what is new, for each sequence."""
        news = self._news
        if not news.tokens and self.reason is None:
            return []
        events = [news.event(self, sequence) for sequence in self.sequences]
        self._told.tokens += news.tokens
        self._told.text += news.text
        self._told.logprobs += news.logprobs
        self._news = News()
        return events

    def join(self, asked: Sequence) -> Event | None:
        """Add a sequence that is the same; return what it missed."""
        sequence = asked.id
        self.sequences.append(sequence)
        self.is_awaited = self.is_awaited or asked.is_awaited
        return self._told.event(self, sequence) if self._told.tokens else None

    def leave(self, sequence: int) -> Event:
        """Take a sequence out that is cancelled; return its end."""
        self.sequences.remove(sequence)
        held = ""
        if not self.sequences and self._stopping is not None:
            with suppress(Exception):  # a tokenizer's; nobody wants the rest
                held = self._stopping.end()
        return Event(sequence=sequence, text=held, finish_reason="cancelled")

    def _add(self, token: int, logprob: object) -> None:
        self.ids.append(token)
        news = self._news
        news.tokens.append(token)
        news.logprobs.append(logprob)
        asked = self.asked
        is_done = asked.constraint is not None and asked.constraint.accept(token)
        if self._stopping is not None:
            news.text.append(self._stopping.push(token))
            is_done = is_done or self._stopping.is_stopped
        if is_done:
            self.end("stop")
        elif len(self.ids) - self.prompt_tokens >= self._room:
            self.end("length")

    def _jump(self, constraint: Constraint) -> None:
        while self.reason is None:
            forced = constraint.forced()
            if not forced:
                return
            for token in forced:
                if self.reason is None:
                    self._forced(token)

    def _forced(self, token: int) -> None:
        if token in self.asked.eos:
            self.end("stop")
        else:
            self._add(token, None)


def refusal(asked: Sequence, *, limit: int, vocabulary: int) -> OpenAutoGLMError | None:
    """Return why a sequence cannot be computed, None if it can.

    Args:
        asked: what to generate.
        limit: most tokens of a sequence, prompt and output.
        vocabulary: tokens are below this.
    """
    size = len(asked.prompt)
    if not size:
        return InvalidPromptError("the prompt has no tokens", fix="give it at least one")
    if size >= limit:
        return InvalidPromptError(
            "the prompt is too long for the context",
            got=f"{size} tokens, and one at least to generate; the context holds {limit}",
            fix="shorten the prompt, or load the model with a longer context",
        )
    strange = [token for token in asked.prompt if not 0 <= token < vocabulary]
    if strange:
        return InvalidPromptError(
            "the prompt has a token that the model has not",
            got=f"token {strange[0]}; the vocabulary has {vocabulary}",
            fix="use the tokenizer the model came with",
        )
    if asked.max_tokens < 1 or (asked.stop and asked.text is None):
        return InvalidParameterError(
            "a sequence generates at least one token, and stop strings need a detokenizer",
            got=f"max_tokens={asked.max_tokens}, stop={asked.stop!r}",
            fix="set `max_tokens` to 1 or more, and `text` where `stop` is",
        )
    return None


def _told(error: Exception) -> OpenAutoGLMError:
    """Return an error of what a row brought along, a constraint or a tokenizer, as one of ours."""
    if isinstance(error, OpenAutoGLMError):
        return error
    problem = BackendRequestError(
        "the constraint or the tokenizer of a row failed",
        got=f"{type(error).__name__}: {error}"[:300],
        fix="the other rows go on; see the cause for where it failed",
    )
    problem.__cause__ = error
    return problem


def _stopping(asked: Sequence) -> Stopping | None:
    if asked.text is None:
        return None
    return Stopping(asked.text, stop=asked.stop, min_tokens=asked.min_tokens)
