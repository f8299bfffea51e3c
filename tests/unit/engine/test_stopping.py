from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.stopping import Stopping
from openautoglm.engine.text_stream import TextStream


def stopped(pieces: list[str], stop: tuple[str, ...], min_tokens: int) -> tuple[str, bool, int]:
    """Return text, whether it stopped and after how many pieces."""
    text = TextStream(lambda ids: "".join(pieces[i] for i in ids))
    stopping = Stopping(text, stop=stop, min_tokens=min_tokens)
    parts = []
    for count in range(len(pieces)):
        parts.append(stopping.push(count))
        if stopping.is_stopped:
            return "".join(parts) + stopping.end(), True, count + 1
    return "".join(parts) + stopping.end(), False, len(pieces)


def expected(pieces: list[str], stop: tuple[str, ...], min_tokens: int) -> tuple[str, bool, int]:
    for count in range(max(min_tokens, 1), len(pieces) + 1):
        text, old = "".join(pieces[:count]), len("".join(pieces[: count - 1]))
        found = [
            at
            for one in stop
            for at in range(len(text))
            if text.startswith(one, at) and at + len(one) > old
        ]
        if found:
            return text[: min(found)], True, count
    return "".join(pieces), False, len(pieces)


@given(
    pieces=st.lists(st.text("ab", max_size=4), max_size=12),
    stop=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3).map(tuple),
    min_tokens=st.integers(0, 5),
)
def test_text_ends_before_the_first_stop_string_however_tokens_cut_it(
    pieces: list[str], stop: tuple[str, ...], min_tokens: int
) -> None:
    assert stopped(pieces, stop, min_tokens) == expected(pieces, stop, min_tokens)


def test_what_may_be_a_stop_string_is_held_until_it_is_not() -> None:
    stopping = Stopping(TextStream(lambda ids: bytes(ids).decode()), stop=("<end>",))
    assert [stopping.push(byte) for byte in b"a<enb"] == ["a", "", "", "", "<enb"]


def test_a_stop_string_is_found_inside_characters_of_several_tokens() -> None:
    stopping = Stopping(
        TextStream(lambda ids: bytes(ids).decode(errors="replace")), stop=("é!", "好")
    )
    assert "".join(map(stopping.push, "aéb".encode())) == "aéb"
    assert "".join(map(stopping.push, "é好!".encode()[:-1])) == "é"
    assert stopping.is_stopped
