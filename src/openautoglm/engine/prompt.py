"""What may be asked of a model: a text, or the messages of a chat.

Owns `Message` and `read_prompt`; what a message is, `prompts.messages` says. Knows nothing of
templates or tokenizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from openautoglm.errors import InvalidPromptError
from openautoglm.prompts.messages import checked_messages

PromptInput: TypeAlias = str | Sequence[Mapping[str, object]]
EXAMPLE = '[{"role": "user", "content": "…"}]'


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    content: str


Prompt: TypeAlias = str | tuple[Message, ...]


def read_prompt(value: object) -> Prompt:
    """Check what a caller passed as a prompt and freeze it.

    Raises:
        InvalidPromptError: empty, or neither a text nor messages with a role and content each.

    Example:
        >>> read_prompt([{"role": "user", "content": "hi"}])
        (Message(role='user', content='hi'),)
    """
    if isinstance(value, str):
        _check_not_blank(value)
        return whole(value)
    if isinstance(value, (bytes, bytearray, Mapping)) or not isinstance(value, Sequence):
        raise InvalidPromptError(
            "a prompt is a text or a list of messages",
            got=f"{type(value).__name__}",
            fix=f"pass a str, or {EXAMPLE}",
        )
    checked = checked_messages(value, InvalidPromptError)
    messages = tuple(Message(role, whole(content)) for role, content in checked)
    if not any(m.content.strip() for m in messages if m.role == "user"):
        raise InvalidPromptError(
            "the chat has no user message that says anything",
            got=f"roles: {', '.join(m.role for m in messages)}",
            fix='add {"role": "user", "content": "…"}',
        )
    return messages


def last_user_text(prompt: Prompt) -> str:
    """Return the text the user asked last: the prompt itself, or the last user message."""
    if isinstance(prompt, str):
        return prompt
    return next(m.content for m in reversed(prompt) if m.role == "user")


def as_messages(prompt: Prompt) -> tuple[Message, ...]:
    """Return the prompt as a chat; a plain text is one user message."""
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def _check_not_blank(text: str) -> None:
    if not text.strip():
        raise InvalidPromptError(
            "the prompt is empty", got=repr(text[:20]), fix="pass a text that asks something"
        )


def whole(text: str, name: str = "the prompt") -> str:
    """Return a text that can be encoded.

    Raises:
        InvalidPromptError: it holds half of a surrogate pair.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as cause:
        raise InvalidPromptError(
            f"{name} is not valid Unicode: it holds half of a surrogate pair",
            got=f"{text[cause.start]!r} at character {cause.start}",
            fix='decode the input as UTF-8 with errors="replace"',
        ) from cause
    return text
