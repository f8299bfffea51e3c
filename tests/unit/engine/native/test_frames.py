"""What goes between a process and its workers arrives as it was sent, however it is cut."""

from __future__ import annotations

import pickle
from dataclasses import fields
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine import wire
from openautoglm.engine.backend import Request
from openautoglm.engine.backends.native.processes.cores import usable_cores
from openautoglm.engine.backends.native.processes.frames import (
    Answer,
    Ask,
    Cancel,
    Splitter,
    framed,
    packed_request,
    read_down,
    read_up,
    request_of,
)
from openautoglm.engine.generation import Generation, Timings, TokenLogprob
from openautoglm.engine.prompt import Message
from openautoglm.engine.sampling import SamplingParams
from openautoglm.engine.structured import compile_schema
from openautoglm.errors import InvalidPromptError

if TYPE_CHECKING:
    from pathlib import Path

LETTER = "b"
messages = st.one_of(
    st.builds(Ask, st.integers(0, 2**63 - 1), st.binary(max_size=300)),
    st.builds(Cancel, st.lists(st.integers(0, 2**63 - 1), max_size=20)),
)


@given(st.lists(messages, max_size=8), st.lists(st.integers(1, 50), min_size=1))
def test_frames_are_found_wherever_the_stream_is_cut(
    sent: list[Ask | Cancel], sizes: list[int]
) -> None:
    stream = b"".join(map(framed, sent))
    splitter, got, at, turn = Splitter(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        got += [read_down(frame) for frame in splitter.feed(stream[at : at + size])]
        at, turn = at + size, turn + 1
    assert got == sent


def test_what_is_no_message_is_refused() -> None:
    for data in (b"", b"\xc1", msgspec.msgpack.encode(["Ask", 1, b""])):
        with pytest.raises(msgspec.MsgspecError):
            read_up(data)


def test_a_request_arrives_with_all_that_decoding_needs() -> None:
    schema = {"enum": ["a", "b"]}
    request = Request(
        prompt=(Message("system", "be brief"), Message("user", "a or b?")),
        params=SamplingParams(temperature=0.5, seed=3, stop=["x"], logit_bias={4: 1.0}, logprobs=2),
        schema=schema,
        grammar=compile_schema(schema),
        source="a and b",
    )
    request.cancel.set()
    got = request_of(packed_request(request))
    assert not got.cancel.is_set()
    assert got.schema is None
    assert got.source is None
    here = {"cancel", "schema", "form", "source"}
    for name in {field.name for field in fields(Request)} - here:
        assert pickle.dumps(getattr(got, name)) == pickle.dumps(getattr(request, name))


def test_an_answer_arrives_with_all_that_it_says() -> None:
    answer = Generation(
        text="b",
        finish_reason="error",
        prompt_tokens=2,
        completion_tokens=1,
        timings=Timings(queue_s=0.5, first_token_s=0.25, total_s=1.0),
        parsed=["b"],
        offsets={"/0": (1, 2)},
        model="m",
        error=InvalidPromptError("too long", got="9 tokens", fix="shorten it"),
        logprobs=(TokenLogprob(token=LETTER, logprob=-0.5, top=((LETTER, -0.5), ("a", -1.0))),),
        others=(Generation(text="c", finish_reason="stop", model="m"),),
        left_out=7,
    )
    (frame,) = Splitter().feed(framed(Answer(5, wire.plain_generation(answer))))
    said = read_up(frame)
    assert isinstance(said, Answer)
    got = wire.generation_from(said.generation)
    plain = Generation(text="", finish_reason="stop")
    for name in (field.name for field in fields(Generation)):
        assert getattr(answer, name) != getattr(plain, name), f"give `{name}` a value here"
        assert name == "error" or getattr(got, name) == getattr(answer, name)
    assert type(got.error) is InvalidPromptError
    assert str(got.error) == str(answer.error)


@pytest.mark.parametrize(
    ("said", "most"), [("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", None)]
)
def test_the_share_of_a_container_bounds_the_cores(
    tmp_path: Path, said: str, most: int | None
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(said, encoding="ascii")
    everything = usable_cores(tmp_path / "none")
    assert usable_cores(file) == (everything if most is None else most)
