"""A prompt that is too long, made to fit where the caller asked for that.

Owns `fit` and `Cut`. What the template writes stays whole, and so do system messages: older turns
are left out first, then a part of what the user said last. Knows nothing of tokenizers.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

from openautoglm.engine.backend import room_for
from openautoglm.engine.prompt import Message, as_messages
from openautoglm.errors import InvalidParameterError, InvalidPromptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openautoglm.engine.prompt import Prompt

Part: TypeAlias = Literal["start", "middle", "end"]
GAP: Final = " … "
"""Stands where the middle was."""
NEAR: Final = 0.98
"""Part of the limit that is near enough to look no further."""
TRIES: Final = 12


@dataclass(frozen=True, slots=True)
class Cut:
    """A prompt that fits: its tokens, and how many it had more."""

    ids: list[int]
    left_out: int = 0


def read_part(options: Mapping[str, object]) -> Part | None:
    """Return which part of a message the option `truncate` gives up, None for none.

    Raises:
        InvalidParameterError: it is neither a bool nor a part.
    """
    given = options.get("truncate", False)
    if isinstance(given, bool):
        return "middle" if given else None
    if given not in get_args(Part):
        raise InvalidParameterError(
            "`truncate` says which part of a message that is too long is left out",
            got=repr(given),
            fix='truncate=True for the middle, or "start", "middle", "end"',
        )
    return cast("Part", given)


def fit(
    prompt: Prompt,
    read: Callable[[Prompt], list[int]],
    *,
    context: int | None,
    max_length: int,
    part: Part | None,
) -> Cut:
    """Return the tokens of a prompt, shortened where it does not fit the context.

    A prompt that fits is left alone, even where it leaves little room. One that does not makes room
    for `max_length` tokens, or at least half the context.

    Args:
        prompt: what was asked.
        read: returns the tokens of a prompt in its template.
        context: tokens of prompt and answer together.
        max_length: most tokens of the answer.
        part: what is left out of a message; None refuses a prompt that does not fit.

    Raises:
        InvalidPromptError: it does not fit, not even without what may be left out.
    """
    ids = read(prompt)
    if context is None or len(ids) < context:
        return Cut(ids)
    if part is None:
        room_for(len(ids), max_length=max_length, context_length=context)
    limit = max(context - max_length, context // 2)
    messages = as_messages(prompt)
    turns = _old_turns(messages)
    dropped = bisect_left(
        range(len(turns)), True, key=lambda n: len(read(_without(messages, turns[:n]))) <= limit
    )
    messages = _without(messages, turns[:dropped])
    shorter = read(messages) if dropped else ids
    if len(shorter) > limit:
        shorter = _shortened(messages, read, (len(shorter), limit), part or "middle")
    if not shorter:  # nothing the user said last can be kept
        raise InvalidPromptError(
            "the prompt does not fit the model's context, whatever part of the last user message "
            "is left out",
            got=f"{len(ids)} tokens, the context is {context} and {context - limit} are for the "
            "answer",
            fix="shorten the system message or the answer that is to go on, or use a longer "
            "`context`",
        )
    return Cut(shorter, len(ids) - len(shorter))


def _old_turns(messages: Sequence[Message]) -> list[frozenset[int]]:
    """Return the places of each turn before the last: a user's message and what follows it."""
    starts = [i for i, message in enumerate(messages) if message.role == "user"]
    told = [i for i, message in enumerate(messages) if message.role != "system"]
    bounds = [min(told), *starts[1:]] if starts else []
    return [frozenset(i for i in told if begin <= i < end) for begin, end in pairwise(bounds)]


def _without(messages: Sequence[Message], turns: Sequence[frozenset[int]]) -> tuple[Message, ...]:
    gone = frozenset[int]().union(*turns)
    return tuple(message for i, message in enumerate(messages) if i not in gone)


def _shortened(
    messages: tuple[Message, ...],
    read: Callable[[Prompt], list[int]],
    tokens: tuple[int, int],
    part: Part,
) -> list[int]:
    """Return the tokens with about as many characters of the last user message as fit; [] if none.

    The number of characters is found between one that fits and one that does not.

    Args:
        messages: what does not fit.
        read: see `fit`.
        tokens: how many it has, and how many it may have.
        part: see `fit`.
    """
    at = max(i for i, message in enumerate(messages) if message.role == "user")
    text = messages[at].content
    low, high = 0, len(text)
    fitting: list[int] = []
    many, limit = tokens  # at `high`, and allowed
    few = 0  # at `low`: a guess at first
    for _ in range(TRIES):
        if high - low <= 1 or len(fitting) >= limit * NEAR:
            break
        share = (limit - few) / max(many - few, 1)
        keep = min(max(low + int((high - low) * share), low + 1), high - 1)
        part_of = messages[at]._replace(content=_cut(text, keep, part))
        ids = read((*messages[:at], part_of, *messages[at + 1 :]))
        if len(ids) <= limit:
            low, few, fitting = keep, len(ids), ids
        else:
            high, many = keep, len(ids)
    return fitting


def _cut(text: str, keep: int, part: Part) -> str:
    if part == "end":
        return text[:keep]
    if part == "start":
        return text[len(text) - keep :]
    after = keep // 2
    return text[: keep - after] + GAP + text[len(text) - after :]
