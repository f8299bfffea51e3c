from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.text_stream import REPLACEMENT, TextStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("👋🏽👩‍👧🎉你好é"))


def decode_bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def pushed(text: str, stop: Sequence[str] = ()) -> tuple[list[str], TextStream]:
    stream = TextStream(decode_bytes, stop=stop)
    pieces = []
    for byte in text.encode():
        pieces.append(stream.push(byte))
        if stream.is_stopped:
            break
    return [*pieces, stream.end()], stream


@given(TEXTS)
def test_pieces_join_to_the_text_and_hold_whole_characters(text: str) -> None:
    pieces, _ = pushed(text)
    assert "".join(pieces) == text
    assert (REPLACEMENT in text) == any(REPLACEMENT in piece for piece in pieces)


@given(TEXTS, st.lists(TEXTS.filter(bool), min_size=1, max_size=3))
def test_no_stop_string_is_ever_given_out(text: str, stop: list[str]) -> None:
    pieces, stream = pushed(text, stop)
    joined = "".join(pieces)
    assert text.startswith(joined)
    assert not any(s in joined for s in stop)
    assert stream.is_stopped == any(s in text for s in stop)
    if not stream.is_stopped:
        assert joined == text


def test_a_piece_is_given_out_as_soon_as_it_is_settled() -> None:
    pieces, _ = pushed("abé", stop=["bx"])
    assert pieces == ["a", "", "", "bé", ""]


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


@pytest.mark.parametrize("stop", ["!", "o!", "hello!"])
def test_a_stop_string_over_several_tokens_is_found(stop: str) -> None:
    pieces, stream = pushed("hello! more", stop=[stop])
    assert stream.is_stopped
    assert "".join(pieces) == "hello! more"[: "hello! more".find(stop)]
