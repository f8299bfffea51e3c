"""A prompt to the tokens a model reads, with what people wrote kept as plain text.

Owns `PromptReader`: the tokenizer, one of transformers or one that acts like it, its chat template,
and its control tokens. A content that spells a control token, such as `<|im_end|>`, is read as the
characters it is and cannot end its turn. It does not guard models whose template marks turns with
ordinary text instead of tokens. Knows nothing of weights or of decoding.
"""

from __future__ import annotations

import re
import threading
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.engine.prompt import as_messages
from openautoglm.errors import EngineClosedError, InvalidPromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openautoglm.engine.prompt import Message, Prompt
    from openautoglm.engine.structured import TokenizerView

PRIVATE: Final = range(0xF0000, 0xFFFFE)  # characters that stand for nothing


class _Added(Protocol):
    """A token that is looked for in a text before anything else is."""

    @property
    def content(self) -> str: ...
    @property
    def special(self) -> bool: ...
    @property
    def normalized(self) -> bool: ...


class _Tokenizer(Protocol):
    """What is used of a tokenizer, by the names and rules of transformers."""

    @property
    def chat_template(self) -> object: ...
    @property
    def unk_token_id(self) -> int | None: ...
    @property
    def all_special_tokens(self) -> Sequence[str]: ...
    @property
    def added_tokens_decoder(self) -> Mapping[int, _Added]: ...
    def convert_tokens_to_ids(self, tokens: list[str], /) -> list[int]: ...
    def convert_ids_to_tokens(self, ids: int, /) -> object: ...
    def __call__(
        self, text: str, /, *, add_special_tokens: bool, verbose: bool
    ) -> Mapping[str, list[int]]: ...
    def decode(
        self,
        ids: Sequence[int],
        /,
        *,
        skip_special_tokens: bool,
        clean_up_tokenization_spaces: bool,
    ) -> str: ...
    def apply_chat_template(
        self,
        messages: list[dict[str, str]],
        /,
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
    ) -> str: ...


@final
class PromptReader:
    """Turn prompts into tokens and tokens into text. Safe to use from several threads."""

    def __init__(self, tokenizer: _Tokenizer) -> None:
        self._tokenizer: _Tokenizer | None = tokenizer
        self._view: TokenizerView | None = None
        self._lock = threading.Lock()
        special, written = _control_tokens(tokenizer)
        ids = tokenizer.convert_tokens_to_ids([*special, *written])
        self._control_ids = frozenset(ids) - {tokenizer.unk_token_id}  # any text may hold that one
        self._special = _any_of(special)
        self._control = _any_of(special | written)
        self._normalizes = any(
            token.normalized and self._control.fullmatch(token.content)
            for token in tokenizer.added_tokens_decoder.values()
        )

    def close(self) -> None:
        """Let go of the tokenizer."""
        self._tokenizer = self._view = None

    def view(self, width: int, eos: frozenset[int]) -> TokenizerView:
        """Return what constrained decoding needs of the tokenizer; made once.

        Args:
            width: of the model's logits.
            eos: tokens that end a text.
        """
        from openautoglm.engine.structured import TokenizerView

        with self._lock:
            if self._view is None:
                self._view = TokenizerView(self._open(), width, tuple(sorted(eos)))
            return self._view

    def read(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt, in the model's chat template when it has one.

        Raises:
            InvalidPromptError: the template refuses the messages, or nothing is left of them.
        """
        if self._has_template:
            return self._read_chat(as_messages(prompt))
        text = prompt if isinstance(prompt, str) else _joined(prompt)
        return _some(self._encode(text, add_special_tokens=True), text)

    def count(self, text: str) -> int:
        """Return how many tokens a text takes as (part of) the content of a message."""
        if not self._has_template:
            return len(self._encode(text))
        places = _Places(self._control, [text])
        return len(self._encode_parts(places.hide(text), places))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special tokens left out."""
        return self._open().decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    @property
    def _has_template(self) -> bool:
        return bool(getattr(self._open(), "chat_template", None))

    def _read_chat(self, messages: Sequence[Message]) -> list[int]:
        template = str(self._open().chat_template)
        places = _Places(self._control, [*(m.content for m in messages), template])
        hidden = [m._replace(content=self._hide(m, places)) for m in messages]
        text = self._templated(hidden)
        lost = [token for token, mark in places.marks.items() if mark not in text]
        if lost:
            raise _cannot_keep(lost[0])
        return _some(self._encode_parts(text, places), text)

    def _hide(self, message: Message, places: _Places) -> str:
        """Put a mark in the place of each control token that a content spells.

        A model's own answer keeps those that are not special, such as `</think>`: its template
        may look for them.
        """
        by_model = message.role == "assistant"
        text = places.hide(message.content, self._special if by_model else None)
        if self._normalizes:
            found = self._control_ids.intersection(self._encode(text))
            if found and not by_model:  # spelled in another way that comes to the same
                raise _cannot_keep(self._open().convert_ids_to_tokens(min(found)))
        return text

    def _encode_parts(self, text: str, places: _Places) -> list[int]:
        """Encode what stands between marks as usual and what they stand for as plain text."""
        if not places.marks:
            return self._encode(text)
        tokens = {mark: token for token, mark in places.marks.items()}
        parts = re.split(f"([{''.join(tokens)}])", text)
        return list(
            chain.from_iterable(
                self._encode_plain(tokens[part]) if part in tokens else self._encode(part)
                for part in parts
                if part
            )
        )

    def _encode_plain(self, token: str) -> list[int]:
        """Encode the text of a control token in two pieces, neither of which is one."""
        ids = self._encode(token[:1]) + self._encode(token[1:])
        if self._control_ids.intersection(ids):
            raise _cannot_keep(token)
        return ids

    def _templated(self, messages: Sequence[Message]) -> str:
        from jinja2 import TemplateError

        tokenizer = self._open()
        is_begun = messages[-1].role == "assistant"  # the answer's beginning is given
        try:
            text = tokenizer.apply_chat_template(
                [message._asdict() for message in messages],
                tokenize=False,
                add_generation_prompt=not is_begun,
                continue_final_message=is_begun,
            )
        except Exception as cause:  # a template comes with its model and may do anything
            is_said = isinstance(cause, (TemplateError, ValueError)) and str(cause)
            raise InvalidPromptError(
                "the model's chat template refuses these messages",
                got=str(cause) if is_said else f"{type(cause).__name__}: {cause}",
                fix="change the order or the roles of the messages; where none pass, copy the "
                "chat template of the model again",
            ) from cause
        return text

    def _open(self) -> _Tokenizer:
        if self._tokenizer is None:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._tokenizer

    def _encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        with self._lock:  # a fast tokenizer may not be borrowed by two threads
            encoded = self._open()(text, add_special_tokens=add_special_tokens, verbose=False)
        return encoded["input_ids"]


@final
class _Places:
    """Which private character stands for which control token in one prompt.

    Args:
        control: finds the tokens.
        texts: all that the characters must not occur in.
    """

    def __init__(self, control: re.Pattern[str], texts: Iterable[str]) -> None:
        self._control = control
        self._texts = texts
        self._free = (chr(n) for n in PRIVATE)
        self.marks: dict[str, str] = {}  # token to mark

    def hide(self, text: str, control: re.Pattern[str] | None = None) -> str:
        """Return the text with a mark in the place of every control token."""
        return (control or self._control).sub(lambda found: self._mark(found[0]), text)

    def _mark(self, token: str) -> str:
        if token not in self.marks:
            self.marks[token] = next(
                mark for mark in self._free if not any(mark in text for text in self._texts)
            )
        return self.marks[token]


def _control_tokens(tokenizer: _Tokenizer) -> tuple[set[str], set[str]]:
    """Return the special tokens, and others that the chat template writes as marks."""
    template = str(getattr(tokenizer, "chat_template", None) or "")
    added = tokenizer.added_tokens_decoder.values()
    special = {*tokenizer.all_special_tokens, *(t.content for t in added if t.special)}
    written = {t.content for t in added if _is_bracketed(t.content) and t.content in template}
    return special, written - special


def _is_bracketed(text: str) -> bool:
    return bool(re.fullmatch(r"[<\[{(].+[>\]})]", text))


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _joined(prompt: Sequence[Message]) -> str:
    """Join messages for a model without a chat template: sensible only while one side speaks."""
    if any(message.role == "assistant" for message in prompt):
        raise InvalidPromptError(
            "this model has no chat template, so it cannot tell who said what",
            got=f"roles: {', '.join(message.role for message in prompt)}",
            fix="pass a text, or add chat_template.jinja to the model folder",
        )
    return "\n\n".join(message.content for message in prompt)


def _some(tokens: list[int], text: str) -> list[int]:
    if tokens:
        return tokens
    raise InvalidPromptError(
        "the model's tokenizer makes no token of the prompt",
        got=repr(text[:40]),
        fix="pass a text in a language the model knows, and one its chat template keeps",
    )


def _cannot_keep(token: object) -> InvalidPromptError:
    return InvalidPromptError(
        "the prompt spells a control token of the model and cannot be read as plain text",
        got=repr(token),
        fix="remove it from the text, or put a space into it",
    )
