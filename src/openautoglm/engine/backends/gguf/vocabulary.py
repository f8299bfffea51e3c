"""The tokenizer of a GGUF file, by llama.cpp, in the names and rules of transformers.

Owns `GgufTokenizer`, which `PromptReader` reads prompts with. Knows nothing of models' weights.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import numpy as np

from openautoglm.engine.backends.gguf.library import llama
from openautoglm.engine.backends.native.text.chat_template import ChatTemplate
from openautoglm.errors import BackendUnavailableError, EngineClosedError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llguidance import LLTokenizer

    from openautoglm.engine.backends.gguf.model import LlamaModel

UNKNOWN, UNUSED, CONTROL, ADDED = 1, 2, 8, 16
"""Bits that llama.cpp marks tokens with: no text of its own, no token, the model's alone, added."""
SPECIAL: Final = b"\xff"
"""What llguidance wants in front of a token that no text spells."""
SENTENCEPIECE: Final = (1, 4)
"""Kinds of vocabulary whose texts begin with a space that nobody wrote."""
LONGEST_PIECE: Final = 256
"""Bytes that nearly every token fits."""
Buffer: TypeAlias = "ctypes.Array[ctypes.c_char]"


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is looked for in a text before anything else is."""

    content: str
    special: bool
    normalized: bool = False


@final
class GgufTokenizer:
    """Texts to tokens and back. Safe to use from several threads until its model is closed.

    Args:
        model: holds the vocabulary.
        template: the chat template of the file, None where it has none.
        has_prefix: whether a text is read as if a space were before it, where the vocabulary is of
            a kind that has such a rule.
    """

    def __init__(self, model: LlamaModel, template: str | None, *, has_prefix: bool = True) -> None:
        api = self._api = llama()
        self._model = model
        self._size = model.vocabulary
        self._pieces: dict[int, bytes] = {}
        kind = api.llama_vocab_type(self._vocab)
        if not kind:
            raise BackendUnavailableError(
                "the GGUF file has no tokenizer",
                got="tokenizer.ggml.model is none",
                fix="convert the model again with its tokenizer",
            )
        self._has_prefix = has_prefix and kind in SENTENCEPIECE
        marks = [api.llama_vocab_get_attr(self._vocab, token) for token in range(self._size)]
        self._marks: Final = np.array(marks, np.int32)
        self.eos = frozenset(
            token
            for token in np.flatnonzero(self._marks & (CONTROL | ADDED)).tolist()
            if api.llama_vocab_is_eog(self._vocab, token)
        ) | {token for token in (api.llama_vocab_eos(self._vocab),) if token >= 0}
        self.chat_template = template
        names = {
            "bos_token": self._text_of(api.llama_vocab_bos(self._vocab)),
            "eos_token": self._text_of(api.llama_vocab_eos(self._vocab)),
        }
        self._template = ChatTemplate(template or "", {k: v for k, v in names.items() if v})

    @property
    def highest(self) -> int:
        """The highest id."""
        return self._size - 1

    @property
    def unk_token_id(self) -> int | None:
        """The id of what has no token."""
        found = np.flatnonzero(self._marks & UNKNOWN)
        return int(found[0]) if len(found) else None

    @property
    def all_special_tokens(self) -> list[str]:
        """The tokens that are for the model alone."""
        return [token.content for token in self.added_tokens_decoder.values() if token.special]

    @cached_property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """The tokens that are looked for before a text is cut, by id."""
        ids = np.flatnonzero(self._marks & (CONTROL | ADDED)).tolist()
        texts = ((token, self._text_of(token)) for token in ids)
        return {
            token: AddedToken(text, special=bool(self._marks[token] & CONTROL))
            for token, text in texts
            if text
        }

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        """Return the ids of added tokens."""
        ids = {added.content: token for token, added in self.added_tokens_decoder.items()}
        return [ids[token] for token in tokens if token in ids]

    def convert_ids_to_tokens(self, ids: int) -> object:
        """Return the text of a token."""
        return self._text_of(ids)

    def __call__(
        self, text: str, *, add_special_tokens: bool, verbose: bool
    ) -> Mapping[str, list[int]]:
        """Cut a text into tokens; the result's `input_ids`."""
        del verbose
        given = text.encode("utf-8", "replace")
        room = len(given) + 8
        for _ in range(2):
            tokens = (ctypes.c_int32 * room)()
            count = self._api.llama_tokenize(
                self._vocab, given, len(given), tokens, room, add_special_tokens, True
            )
            if count >= 0:
                return {"input_ids": tokens[:count]}
            room = -count
        raise AssertionError("llama.cpp asked for more room than it had asked for")

    def decode(
        self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str:
        """Return the text of tokens; it is never cleaned up."""
        del clean_up_tokenization_spaces
        hidden = UNUSED | (CONTROL | UNKNOWN if skip_special_tokens else 0)
        shown = (token for token in ids if not self._marks[token] & hidden)
        text = b"".join(map(self._piece, shown)).decode("utf-8", "replace")
        return text.removeprefix(" ") if self._has_prefix else text

    def apply_chat_template(
        self,
        messages: list[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
    ) -> str:
        """Write a chat as text; errors as `ChatTemplate`."""
        if tokenize or add_generation_prompt == continue_final_message:
            raise AssertionError("a chat is written as text, and begins an answer or goes on")
        return self._template.write(messages, is_begun=continue_final_message)

    def trie(self, vocabulary_size: int, eos: Sequence[int]) -> LLTokenizer:
        """Return what llguidance needs of the vocabulary.

        Args:
            vocabulary_size: width of the model's logits.
            eos: tokens that end a text.

        Raises:
            BackendUnavailableError: texts cannot be masked with a vocabulary of this kind.
        """
        buffer = ctypes.create_string_buffer(LONGEST_PIECE)
        tokens = [self._known_as(token, buffer) for token in range(self._size)]
        tokens += [b""] * (vocabulary_size - self._size)
        home = need("llguidance", extra="gguf", why="structured output on this machine")
        tokenize = ctypes.cast(self._api.llama_cpp._lib.llama_tokenize, ctypes.c_void_p)  # noqa: SLF001 - the address of a function of the C API
        try:
            made: LLTokenizer = home.LLTokenizer.from_llamacpp(
                tokens=tokens,
                vocab_ptr=self._vocab,
                tokenize_fptr=tokenize.value,
                eos_token=list(eos),
                slices=None,
            )
        except ValueError as cause:
            raise BackendUnavailableError(
                "structured output does not work with the tokenizer of this GGUF file",
                got=str(cause).splitlines()[0],
                fix="run without a schema, or use a model with a byte-level or byte-fallback BPE",
            ) from cause
        return made

    @property
    def _vocab(self) -> Any:  # noqa: ANN401 - a pointer of ctypes
        if not self._model.vocab:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._model.vocab

    def _known_as(self, token: int, buffer: Buffer) -> bytes:
        """Return the bytes by which llguidance shall know a token."""
        mark = self._marks[token]
        if mark & UNUSED:
            return b""
        piece = self._read_piece(token, buffer)
        return SPECIAL + piece if mark & (CONTROL | UNKNOWN) else piece

    def _text_of(self, token: int) -> str:
        return self._piece(token).decode("utf-8", "replace") if 0 <= token < self._size else ""

    def _piece(self, token: int) -> bytes:
        """Return the bytes of a token; kept, for a text repeats its tokens."""
        found = self._pieces.get(token)
        if found is None:
            buffer = ctypes.create_string_buffer(LONGEST_PIECE)
            found = self._pieces[token] = self._read_piece(token, buffer)
        return found

    def _read_piece(self, token: int, buffer: Buffer) -> bytes:
        size = self._api.llama_token_to_piece(self._vocab, token, buffer, LONGEST_PIECE, 0, True)
        if size < 0:  # it says how long the piece is
            longer = ctypes.create_string_buffer(-size)
            size = self._api.llama_token_to_piece(self._vocab, token, longer, -size, 0, True)
            return ctypes.string_at(longer, size)
        return ctypes.string_at(buffer, size)
