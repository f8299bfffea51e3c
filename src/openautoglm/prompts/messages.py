"""Chat messages, as a template holds them and a model takes them: a role and a text.

Knows nothing of variables.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, cast, get_args

if TYPE_CHECKING:
    from openautoglm.errors import OpenAutoGLMError

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


class ChatMessage(TypedDict):
    """One message of a conversation, as models take it."""

    role: Role
    content: str


Prompt: TypeAlias = str | list[ChatMessage]


def checked_messages(
    messages: Sequence[object], error: type[OpenAutoGLMError]
) -> tuple[tuple[Role, str], ...]:
    """Return messages as pairs of role and text.

    Raises:
        OpenAutoGLMError: of the class `error`: there are none, or one is not a role and a text; its
            number, counted from 1, is named.
    """
    if not messages:
        raise error(
            "a chat without messages",
            got="[]",
            fix='give at least one: {"role": "user", "content": "…"}',
        )
    return tuple(_checked(n, message, error) for n, message in enumerate(messages, start=1))


def _checked(number: int, message: object, error: type[OpenAutoGLMError]) -> tuple[Role, str]:
    if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
        raise error(
            f"message {number} is not a role and a content",
            got=", ".join(map(str, message)) if isinstance(message, Mapping) else repr(message),
            fix='write {"role": "user", "content": "…"}',
        )
    role, content = message["role"], message["content"]
    if role not in ROLES:
        near = difflib.get_close_matches(str(role), ROLES, n=1)
        raise error(
            f"message {number} has an unknown role",
            got=repr(role),
            fix=f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(ROLES)}",
        )
    if not isinstance(content, str):
        raise error(
            f"the content of message {number} is not text",
            got=type(content).__name__,
            fix="write the text of the message; images and tool calls are not supported",
        )
    return cast("Role", role), content
