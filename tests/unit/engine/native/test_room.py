from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backends.native import loading
from openautoglm.engine.backends.native.model.room import LEAST, MIB, Room
from openautoglm.errors import InvalidPromptError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KIB = 2**10


def room(*, free_mib: int, weights_mib: int = 10, longest: int = 32_768) -> Room:
    """With 1 KiB for each token."""
    return Room(
        each_bytes=KIB,
        longest=longest,
        weights_bytes=weights_mib * MIB,
        free_bytes=free_mib * MIB,
    )


@pytest.mark.parametrize(
    ("free_mib", "context"),
    [(100, 32_768), (74, 32_768), (50, 20_480), (12, 1_024), (11, 512)],
)
def test_the_longest_context_is_what_half_of_the_free_memory_holds(
    free_mib: int, context: int
) -> None:
    assert room(free_mib=free_mib).context(0, slots=4) == context


def test_a_context_that_was_asked_for_may_take_all_there_is_and_no_more() -> None:
    assert room(free_mib=30).context(20_480, slots=4) == 20_480
    with pytest.raises(ModelTooLargeError) as caught:
        room(free_mib=30).context(20_481, slots=4)
    said = str(caught.value)
    assert "weights 10 MiB, 20,481 tokens 20 MiB (80 MiB if all 4 slots are full)" in said
    assert "30 MiB free" in said
    assert "context below 20481" in said
    assert "int8" in said


def test_a_model_that_leaves_no_room_for_a_sequence_is_refused() -> None:
    with pytest.raises(ModelTooLargeError, match=f"{LEAST} tokens"):
        room(free_mib=10).context(0, slots=4)
    short = room(free_mib=11, longest=64)
    assert short.context(0, slots=4) == 64
    assert (short.is_enough, room(free_mib=10).is_enough) == (True, False)


def test_little_memory_makes_weights_smaller_and_then_only_a_short_context_will_do(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 2**40
    monkeypatch.setattr(loading, "free_bytes", lambda: free)

    def dtype(**options: int) -> str | None:
        with AutoGLM(tiny_model(), backend="native", processes=1, **options) as engine:  # type: ignore[arg-type] # options of the backend
            if options:
                with pytest.raises(InvalidPromptError, match="the context is 64"):
                    engine.run("dog " * 90)
            return engine.model_info.dtype

    assert dtype() == "float32"
    free = 500_000
    assert dtype() == "bfloat16"
    free = 200_000
    assert dtype() == "int8"
    free = 130_000
    with pytest.raises(ModelTooLargeError, match="weights and the keys and values"):
        dtype()
    assert dtype(context=64) == "int8"


def test_a_model_wakes_as_it_was_or_not_at_all(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 2**40
    monkeypatch.setattr(loading, "free_bytes", lambda: free)
    with AutoGLM(tiny_model(), backend="native", processes=1, max_length=8) as engine:
        text = engine.run("dog").text
        engine.sleep()
        free = 200_000  # where it would have been int8
        with pytest.raises(ModelTooLargeError, match="weights and the keys and values"):
            engine.run("dog")
        free = 490_000  # where it would have been bf16
        assert (engine.state, engine.run("dog").text) == ("asleep", text)
