"""A model folder's tokenizer and chat template, read without transformers.

Owns `Tokens`: prompts to ids, ids to text, and the ids that end a text; and `FileTokenizer`, which
acts like the tokenizer that transformers makes of the same tokenizer.json. Knows nothing of models.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, Self, cast, final

from openautoglm.engine.backends.native.text.chat_template import ChatTemplate
from openautoglm.engine.model_folder import end_tokens, read_json
from openautoglm.engine.prompt_reader import PromptReader
from openautoglm.engine.text_stream import TextStream
from openautoglm.errors import ModelFolderError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tokenizers import AddedToken, Tokenizer

    from openautoglm.engine.model_folder import ModelFolder
    from openautoglm.engine.prompt import Prompt
    from openautoglm.engine.structured import TokenizerView

NAMED: Final = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


@final
class Tokens:
    """Turn prompts into tokens and tokens into text. Safe to use from several threads.

    Args:
        folder: has a tokenizer; one without tokenizer.json is read by transformers.

    Raises:
        ModelFolderError: the tokenizer cannot be read.
    """

    def __init__(self, folder: ModelFolder) -> None:
        if (folder.path / "tokenizer.json").is_file():
            own = FileTokenizer(folder.path)
            self.highest, eos = own.highest, own.eos_token_id
            self._reader = PromptReader(own)
        else:
            from openautoglm.engine.backends.transformers.loading import load_tokenizer

            other = load_tokenizer(folder)
            self.highest, eos = max(other.get_vocab().values(), default=0), other.eos_token_id
            self._reader = PromptReader(other)
        self.eos = end_tokens(folder, eos)

    @classmethod
    def of(cls, reader: PromptReader, *, eos: frozenset[int], highest: int) -> Self:
        """Return the tokens of a tokenizer that comes from elsewhere than a folder.

        Args:
            reader: of that tokenizer.
            eos: tokens that end a text.
            highest: the highest id.
        """
        made = cls.__new__(cls)
        made._reader, made.eos, made.highest = reader, eos, highest  # noqa: SLF001 - its own class
        return made

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt, in the model's chat template when it has one.

        Raises:
            InvalidPromptError: the template refuses the messages, or nothing is left of them.
        """
        return self._reader.read(prompt)

    def count(self, text: str) -> int:
        """Return how many tokens a text takes as (part of) the content of a message."""
        return self._reader.count(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special tokens left out."""
        return self._reader.decode(ids)

    def text_of(self, token: int) -> str:
        """Return the text of one token; what is part of a character only is the sign for that."""
        return self._reader.decode([token])

    def stream(self) -> TextStream:
        """Return what turns one answer's tokens into text, whole characters at a time."""
        return TextStream(self._reader.decode)

    def view(self, width: int) -> TokenizerView:
        """Return what constrained decoding needs, for logits of a width; made once."""
        return self._reader.view(width, self.eos)

    def close(self) -> None:
        """Let go of the tokenizer."""
        self._reader.close()


@final
class FileTokenizer:
    """A tokenizer.json and what its folder adds to it, in transformers' names and by its rules.

    Args:
        folder: holds tokenizer.json; tokenizer_config.json, special_tokens_map.json and
            chat_template.jinja are read where they are.

    Raises:
        ModelFolderError: a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._settings = _settings(folder)
        self._tokenizer = _read(folder / "tokenizer.json")
        self._named = {n: t for n in NAMED if (t := _content(self._settings.get(n)))}
        _add_missing(self._tokenizer, self._settings, self.all_special_tokens)
        self.chat_template = _template(folder, self._settings)
        self._template = ChatTemplate(self.chat_template or "", self._named)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer itself."""
        return self._tokenizer

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that have a name, then the others."""
        extra = self._settings.get("extra_special_tokens")
        if not extra:
            extra = self._settings.get("additional_special_tokens")
        listed = list(extra.values()) if isinstance(extra, dict) else extra
        more = [_content(token) for token in listed] if isinstance(listed, list) else []
        return list(dict.fromkeys([*self._named.values(), *filter(None, more)]))

    @cached_property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """The tokens that are looked for before a text is cut, by id."""
        return dict(sorted(self._tokenizer.get_added_tokens_decoder().items()))

    @property
    def highest(self) -> int:
        """The highest id."""
        base = self._tokenizer.get_vocab_size(with_added_tokens=False) - 1
        return max(base, *self.added_tokens_decoder, 0)

    @property
    def eos_token_id(self) -> int | None:
        """The id that ends a text, by tokenizer_config.json."""
        return self._id_of("eos_token")

    @property
    def unk_token_id(self) -> int | None:
        """The id of what has no token."""
        return self._id_of("unk_token")

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        """Return the ids of tokens; the unknown token's, where there is one, of what is none."""
        found = (self._tokenizer.token_to_id(token) for token in tokens)
        ids = (self.unk_token_id if token is None else token for token in found)
        return [token for token in ids if token is not None]

    def convert_ids_to_tokens(self, ids: int) -> object:
        """Return the token of an id."""
        return self._tokenizer.id_to_token(ids)

    def __call__(
        self, text: str, *, add_special_tokens: bool, verbose: bool
    ) -> Mapping[str, list[int]]:
        """Cut a text into tokens; the result's `input_ids`."""
        del verbose
        return {
            "input_ids": self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        }

    def decode(
        self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str:
        """Return the text of tokens; it is never cleaned up."""
        del clean_up_tokenization_spaces
        return str(self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))

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
            raise AssertionError(
                "a chat is written as text, and begins an answer or goes on with it"
            )
        return self._template.write(messages, is_begun=continue_final_message)

    def _id_of(self, name: str) -> int | None:
        token = self._named.get(name)
        return None if token is None else self._tokenizer.token_to_id(token)


def _settings(folder: Path) -> Mapping[str, object]:
    """Return tokenizer_config.json; a folder from before it named tokens has them in another."""
    found: dict[str, object] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file() and "added_tokens_decoder" not in found:
            found |= read_json(folder / name)
    return found


def _read(file: Path) -> Tokenizer:
    tokenizers = need("tokenizers", extra="local", why="running a model here")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as cause:  # its parser raises nothing narrower
        lines = str(cause).splitlines() or [""]
        raise ModelFolderError(
            "the tokenizer in the model folder cannot be read",
            got=f"{file.name}: {lines[0]}"[:300],
            fix="copy tokenizer.json and tokenizer_config.json of the same model again",
        ) from cause
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return cast("Tokenizer", tokenizer)


def _add_missing(
    tokenizer: Tokenizer, settings: Mapping[str, object], special: Sequence[str]
) -> None:
    """Add the tokens that only the settings know."""
    from tokenizers import AddedToken

    described = settings.get("added_tokens_decoder")
    stated = described if isinstance(described, dict) else {}
    strange = [key for key in stated if not key.isdecimal()]
    if strange:
        raise ModelFolderError(
            "`added_tokens_decoder` in tokenizer_config.json has a key that is no token id",
            got=repr(strange[0]),
            fix="copy tokenizer_config.json of the model again",
        )
    tokens = {_content(stated[key]): _added(stated[key]) for key in sorted(stated, key=int)}
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for token in special:
        if token not in known:
            tokens.setdefault(token, AddedToken(token, special=True, normalized=False))
    if tokens:
        tokenizer.add_tokens(list(tokens.values()))


def _added(token: object) -> AddedToken:
    from tokenizers import AddedToken

    given = token if isinstance(token, dict) else {"content": token}
    text = str(given.get("content", ""))
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(text, **{name: bool(given[name]) for name in names if name in given})


def _content(token: object) -> str:
    """Return the text of a token, which settings give alone or with how it is looked for."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _template(folder: Path, settings: Mapping[str, object]) -> str | None:
    """Return the chat template: a file, or in the settings, one or several by name."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _text(file)
    given = settings.get("chat_template")
    if isinstance(given, list):
        named = dict(_named_templates(given))
        if named and "default" not in named:
            raise ModelFolderError(
                "tokenizer_config.json has several chat templates and none is called `default`",
                got=", ".join(named),
                fix="call one `default`, or put it into chat_template.jinja",
            )
        return named.get("default")
    return given if isinstance(given, str) else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ModelFolderError(
            f"`{file.name}` cannot be read as UTF-8 text",
            got=str(cause),
            fix="copy it again, or remove it to read texts without a template",
        ) from cause


def _named_templates(given: list[object]) -> Iterator[tuple[str, str]]:
    for entry in given:
        if isinstance(entry, dict):
            yield str(entry.get("name")), str(entry.get("template"))
