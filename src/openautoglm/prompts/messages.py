"""Chat messages as a template holds them: a role and a text.

Knows nothing of variables.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict, cast, get_args

from openautoglm.errors import TemplateSyntaxError

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


class ChatMessage(TypedDict):
    """One message of a conversation, as models take it."""

    role: Role
    content: str


Prompt: TypeAlias = str | list[ChatMessage]


def checked_messages(messages: Sequence[object]) -> tuple[tuple[Role, str], ...]:
    """Return messages as pairs of role and text.

    Raises:
        TemplateSyntaxError: there are none, or one is not a role and a text; its number is named.
    """
    if not messages:
        raise TemplateSyntaxError(
            "a chat template without messages",
            fix='give at least one: {"role": "user", "content": "…"}',
        )
    return tuple(_checked(number, message) for number, message in enumerate(messages, start=1))


def _checked(number: int, message: object) -> tuple[Role, str]:
    if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
        raise TemplateSyntaxError(
            f"message {number} is not a role and a content",
            got=", ".join(map(str, message)) if isinstance(message, Mapping) else repr(message),
            fix='write {"role": "user", "content": "…"}',
        )
    role, content = message["role"], message["content"]
    if role not in ROLES:
        near = difflib.get_close_matches(str(role), ROLES, n=1)
        raise TemplateSyntaxError(
            f"message {number} has an unknown role",
            got=repr(role),
            fix=f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(ROLES)}",
        )
    if not isinstance(content, str):
        raise TemplateSyntaxError(
            f"the content of message {number} is not text",
            got=type(content).__name__,
            fix="write the text of the message",
        )
    return cast("Role", role), content
