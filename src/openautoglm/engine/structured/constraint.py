"""Which tokens may come next: one mask per step of one sequence.

Owns `TokenizerView` and `TokenConstraint`. Knows nothing of JSON schemas, models or sampling.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol, final, runtime_checkable

from openautoglm.errors import BackendUnavailableError, InvalidParameterError, SchemaError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    import numpy as np
    from llguidance import LLMatcher, LLTokenizer
    from numpy.typing import NDArray

MAX_START_FUEL: Final = 20_000_000
"""Work llguidance may do to set up one grammar; a source of the greatest length takes a third."""
MAX_STEP_FUEL: Final = 2_000_000
"""Work llguidance may do for one mask."""
_KEPT: Final = 64  # grammars kept ready in a view
_KEPT_SIZE: Final = 65_536  # characters of grammar text; longer ones carry a source of their own


@final
class TokenizerView:
    """What decoding must know of a tokenizer. Build one per loaded model: it takes about 0.1 s.

    Safe to use from several threads.

    Args:
        tokenizer: a `PreTrainedTokenizerFast`, a `tokenizers.Tokenizer` or an `OwnTrie`; not
            changed.
        vocabulary_size: width of the model's logits; may exceed the number of tokens.
        eos_token_ids: tokens that end a text; default the tokenizer's `eos_token_id`.

    Raises:
        BackendUnavailableError: the tokenizer is of a kind that cannot be constrained.
    """

    def __init__(
        self, tokenizer: object, vocabulary_size: int, eos_token_ids: Sequence[int] | None = None
    ) -> None:
        self.vocabulary_size = vocabulary_size
        self.eos_token_ids = _eos(tokenizer, eos_token_ids)
        self._trie = _trie(tokenizer, vocabulary_size, self.eos_token_ids)
        self._ready: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def matcher(self, grammar: str) -> LLMatcher:
        """Return a fresh matcher of llguidance for a grammar text.

        Raises:
            SchemaError: the grammar cannot be used with this tokenizer.
        """
        if len(grammar) > _KEPT_SIZE:
            return self._build(grammar)
        with self._lock:
            kept = self._ready.pop(grammar, None)
            if kept is None:
                kept = self._build(grammar)
            self._ready[grammar] = kept
            if len(self._ready) > _KEPT:
                self._ready.popitem(last=False)
            return kept.deep_copy()

    def _build(self, grammar: str) -> LLMatcher:
        matcher = _llguidance().LLMatcher(self._trie, grammar, log_level=0, limits=limits())
        if matcher.is_error():
            raise _too_hard(matcher)
        return matcher


@final
class TokenConstraint:
    """Follow one sequence through a grammar. Not for use by two threads at once.

    Call `mask`, choose a token it allows, `accept` it, until `is_done`.
    """

    def __init__(self, view: TokenizerView, grammar: str) -> None:
        import numpy as np

        self._view = view
        self._matcher = view.matcher(grammar)
        words = (max(view.vocabulary_size, view._trie.vocab_size) + 31) // 32  # noqa: SLF001 - same module
        self._bits: NDArray[np.int32] = np.zeros(words, dtype=np.int32)
        self._place = (self._bits.ctypes.data, self._bits.nbytes)  # asking each time takes 1 us

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next: True is allowed, one entry per logit.

        A fresh array; in torch `logits.masked_fill_(~torch.from_numpy(mask), -inf)`. At least one
        token is always allowed; an end-of-text token is allowed exactly when the JSON is complete.

        Raises:
            SchemaError: the grammar got too hard to follow within the limits.
        """
        import numpy as np

        width = self._view.vocabulary_size
        unpacked = np.unpackbits(self.words().view(np.uint8), count=width, bitorder="little")
        return unpacked.view(np.bool_)

    def words(self) -> NDArray[np.int32]:
        """Return the mask with 32 tokens a word, lowest first; the next call overwrites it.

        Raises:
            SchemaError: as `mask`.
        """
        self._matcher.unsafe_compute_mask_ptr(*self._place)
        if self._matcher.is_error():
            raise _too_hard(self._matcher)
        return self._bits

    def allows(self, token_id: int) -> bool:
        """Say whether one token may come next, which takes a small part of the time of a mask."""
        if token_id in self._view.eos_token_ids:
            return bool(self._matcher.is_accepting())
        known = 0 <= token_id < self._view.vocabulary_size
        return known and bool(self._matcher.validate_tokens([token_id]) == 1)

    def forced(self) -> list[int]:
        """Return the tokens that must come next whatever is chosen; none of them is taken yet."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        return tokens

    def check_room(self, room: int) -> None:
        """Refuse a number of tokens in which no answer ends, as far as its beginning tells.

        Raises:
            SchemaError: the tokens that must come whatever is chosen are more than that.
        """
        fixed = len(self.forced())
        if fixed > room:
            raise SchemaError(
                "`max_length` is too small for any answer of this form",
                got=f"{room} tokens; what every answer begins with takes {fixed}",
                fix=f"raise `max_length` well above {fixed}, or use shorter names in the schema",
            )

    def accept(self, token_id: int) -> None:
        """Take the token that was chosen.

        Raises:
            InvalidParameterError: the mask does not allow it; the constraint is as it was before.
        """
        if token_id in self._view.eos_token_ids and self._matcher.is_stopped():
            return
        known = 0 <= token_id < self._view.vocabulary_size
        if not known or self._matcher.try_consume_tokens([token_id]) != 1:
            raise InvalidParameterError(
                "the token is not allowed here",
                got=f"token {token_id}",
                fix="choose a token for which `mask()` is True",
            )

    @property
    def is_done(self) -> bool:
        """Whether nothing but an end-of-text token may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def is_complete(self) -> bool:
        """Whether what was accepted is a whole JSON value; a number may still go on."""
        return bool(self._matcher.is_accepting())


@runtime_checkable
class OwnTrie(Protocol):
    """A tokenizer that gives llguidance its tokens itself."""

    def trie(self, vocabulary_size: int, eos: Sequence[int], /) -> LLTokenizer:
        """Return llguidance's tokenizer, for logits of that width and those ends of a text."""


@runtime_checkable
class _Fast(Protocol):
    """What we use of `tokenizers.Tokenizer`."""

    def to_str(self) -> str: ...
    def get_vocab_size(self, *, with_added_tokens: bool) -> int: ...


def limits() -> object:
    """Return the limits llguidance runs under."""
    return _llguidance().LLParserLimits(
        initial_lexer_fuel=MAX_START_FUEL, step_lexer_fuel=MAX_STEP_FUEL, verbose_errors=False
    )


def _llguidance() -> ModuleType:
    return need("llguidance", extra="local", why="structured output on this machine")


def _eos(tokenizer: object, given: Sequence[int] | None) -> tuple[int, ...]:
    if given:
        return tuple(given)
    found = getattr(tokenizer, "eos_token_id", None)
    if isinstance(found, int):
        return (found,)
    raise BackendUnavailableError(
        "structured output needs to know which token ends a text, and the tokenizer has none",
        got=type(tokenizer).__name__,
        fix="set `eos_token` in tokenizer_config.json or `eos_token_id` in generation_config.json",
    )


def _trie(tokenizer: object, vocabulary_size: int, eos: tuple[int, ...]) -> LLTokenizer:
    if isinstance(tokenizer, OwnTrie):
        return tokenizer.trie(vocabulary_size, eos)
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, _Fast):
        raise BackendUnavailableError(
            "structured output needs a fast tokenizer",
            got=type(tokenizer).__name__,
            fix="save the model with its tokenizer.json",
        )
    tokens = backend.get_vocab_size(with_added_tokens=True)
    try:
        return _llguidance().LLTokenizer(
            _plain(backend), n_vocab=max(vocabulary_size, tokens), eos_token=list(eos)
        )
    except ValueError as cause:
        raise BackendUnavailableError(
            "structured output does not work with this kind of tokenizer",
            got=str(cause).splitlines()[0],
            fix="use a byte-level or byte-fallback BPE tokenizer, or run without a schema",
        ) from cause


def _plain(backend: _Fast) -> str:
    content = json.loads(backend.to_str())
    content["padding"] = content["truncation"] = None
    return json.dumps(content)


def _too_hard(matcher: LLMatcher) -> SchemaError:
    return SchemaError(
        "the schema is too complex to decode with",
        got=matcher.get_error().splitlines()[0],
        fix="split the schema, or bound its strings and arrays",
    )
