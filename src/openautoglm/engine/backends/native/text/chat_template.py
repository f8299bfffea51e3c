"""A chat's messages written as the text its model was trained on.

Owns `ChatTemplate`: jinja in a sandbox, under the rules that templates are written for, which are
those of transformers. A template comes with a model and is not trusted: it sees plain values only
and reaches nothing else. What it does not guard against: one that never ends.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, NoReturn, final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

TAG: Final = "CONTINUE_FINAL_MESSAGE_TAG "  # put after the text that the model is to go on with


@final
class ChatTemplate:
    """Write chats. Safe to use from several threads.

    Args:
        text: the template.
        names: what it may use besides the messages, such as `bos_token`.

    Example:
        >>> template = ChatTemplate("{{ bos_token }}{{ messages[0].content }}", {"bos_token": "<"})
        >>> template.write([{"role": "user", "content": "hi"}])
        '<hi'
    """

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self._text = text
        self._names = names

    def write(self, messages: Sequence[Mapping[str, str]], *, is_begun: bool = False) -> str:
        """Return the text of a chat, up to where the answer begins.

        Args:
            messages: the turns, each with `role` and `content`.
            is_begun: the last message is the beginning of the answer and stays open.

        Raises:
            jinja2.TemplateError: the template is no template, or refuses the messages.
            ValueError: the template leaves the last message out, so that nothing can go on.
        """
        turns = [dict(message) for message in messages]
        if is_begun:
            turns[-1]["content"] += TAG
        text = self._compiled.render(
            messages=turns,
            tools=None,
            documents=None,
            add_generation_prompt=not is_begun,
            **self._names,
        )
        return _before_tag(text, messages[-1]["content"]) if is_begun else text

    @cached_property
    def _compiled(self) -> Template:
        from jinja2.ext import loopcontrols

        from openautoglm.engine.backends.native.text import template_language as language

        world = language.Sandbox(
            trim_blocks=True, lstrip_blocks=True, extensions=[language.Generation, loopcontrols]
        )
        world.filters["tojson"] = _to_json
        world.globals |= {
            "raise_exception": _raise,
            "strftime_now": _now,
            "dict": language.Dictionary(),
            "namespace": language.Names,
        }
        return world.from_string(self._text)


def _before_tag(text: str, last: str) -> str:
    mark = TAG.strip()
    if last.strip() not in text or mark not in text:
        raise ValueError("the chat template leaves out the beginning of the answer")
    at = text.rindex(mark)
    is_kept = text.startswith(TAG, at)
    return text[:at] if is_kept else text[:at].rstrip()  # trimmed: the tag took the space's place


def _to_json(
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - the filter's parameters as templates know them
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - as above
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: object) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(str(message))


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)  # noqa: DTZ005 - the user's own time, as templates expect
