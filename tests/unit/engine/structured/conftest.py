"""A tiny byte-level tokenizer, its view, and decoding with a model that knows nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

    from openautoglm.engine.structured import Grammar, TokenizerView

SOURCE = (
    'Li Wei 的订单 A1001 迟到了。Order "B-22" of Anna O\'Neil\tcost 12,500.00元 '
    "\\ paid 2024-05-01\n谢谢 😀 ＡＢ１２\x01 end"
)
MERGES = ['{"', '":', '",', '":"', '"}', "na", "er", "th", "00", "de", "ue", "tr"]


def vocabulary() -> dict[str, int]:
    from tokenizers.pre_tokenizers import ByteLevel

    return {piece: n for n, piece in enumerate([*sorted(ByteLevel.alphabet()), *MERGES])}


def token(tokenizer: Tokenizer, text: str) -> int:
    found = tokenizer.token_to_id(text)
    assert found is not None
    return int(found)


@pytest.fixture(scope="session")
def token_of(tokenizer: Tokenizer) -> Callable[[str], int]:
    return lambda text: token(tokenizer, text)


@pytest.fixture(scope="session")
def source() -> str:
    return SOURCE


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE(vocab=vocabulary(), merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<eos>"])
    return made


@pytest.fixture(scope="session")
def eos(tokenizer: Tokenizer) -> int:
    return token(tokenizer, "<eos>")


@pytest.fixture(scope="session")
def view(tokenizer: Tokenizer, eos: int) -> TokenizerView:
    from openautoglm.engine.structured import TokenizerView

    return TokenizerView(tokenizer, vocabulary_size=300, eos_token_ids=[eos])


@pytest.fixture(scope="session")
def schemas() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(
        Path(__file__).with_name("schemas.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture(scope="session")
def accepts(tokenizer: Tokenizer, view: TokenizerView, eos: int) -> Callable[[Grammar, str], bool]:
    """Say whether a text can be written token by token and then ended."""

    def answer(grammar: Grammar, text: str) -> bool:
        constraint = grammar.constraint(view)
        for number in [*tokenizer.encode(text, add_special_tokens=False).ids, eos]:
            if not constraint.mask()[number]:
                return False
            constraint.accept(number)
        return constraint.is_done

    return answer
