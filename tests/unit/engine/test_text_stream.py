from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.text_stream import REPLACEMENT, TextStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("👋🏽👩‍👧🎉你好é"))


def decode_bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def pushed(text: str) -> list[str]:
    stream = TextStream(decode_bytes)
    return [*(stream.push(byte) for byte in text.encode()), stream.end()]


@given(TEXTS)
def test_pieces_join_to_the_text_and_hold_whole_characters(text: str) -> None:
    pieces = pushed(text)
    assert "".join(pieces) == text
    assert (REPLACEMENT in text) == any(REPLACEMENT in piece for piece in pieces)


def test_bytes_that_are_no_character_are_given_out_at_last() -> None:
    stream = TextStream(decode_bytes)
    pieces = [stream.push(0xFF) for _ in range(20)]
    assert "".join([*pieces, stream.end()]) == REPLACEMENT * 20


@given(text=TEXTS)
def test_a_real_tokenizer_streams_what_it_decodes(
    tiny_tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    def decode(ids: Sequence[int]) -> str:
        decoded: str = tiny_tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return decoded

    ids = tiny_tokenizer(text)["input_ids"]
    stream = TextStream(decode)
    pieces = [stream.push(token) for token in ids]
    assert "".join([*pieces, stream.end()]) == text
