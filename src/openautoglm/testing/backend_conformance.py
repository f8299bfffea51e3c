"""What every backend must do, as checks a plugin's author runs on their own.

Owns `CHECKS`. Knows no test framework and no backend. What it does not check: speed, memory, and
what the model says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice, repeat
from typing import TYPE_CHECKING, Final, TypeAlias

import jsonschema

from openautoglm.engine.autoglm import AutoGLM
from openautoglm.engine.backend import Backend, Request, finish
from openautoglm.engine.loaded import Loaded
from openautoglm.engine.news import ModelNews
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import EngineClosedError, InvalidPromptError

if TYPE_CHECKING:
    from collections.abc import Iterator

MakeBackend: TypeAlias = Callable[[], Backend]
PROMPTS: Final = (
    "the quick brown fox",
    "请根据以下内容生成摘要:人工智能正在快速发展",
    "a",
    "emoji 👋🏽 and accents é ü ñ, and then some more words to make it long",
    "the quick brown fox",
)
ROOM: Final = 12
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "label": {"enum": ["billing", "delivery"]},
        "urgent": {"type": "boolean"},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["label", "urgent", "count"],
    "additionalProperties": False,
}


def pieces_join_to_the_text(make: MakeBackend) -> None:
    """Streamed pieces join to the text `run` gives, and none holds half a character."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        for prompt in PROMPTS:
            stream = engine.stream(prompt)
            text = "".join(stream)
            generation = stream.generation
            _expect(generation is not None and generation.text == text, "pieces differ from text")
            _expect(engine.run(prompt).text == text, "stream and run differ")
            text.encode("utf-8")


def max_length_bounds_the_tokens(make: MakeBackend) -> None:
    """Never more than `max_length` tokens, exactly that many when it says "length"."""
    with AutoGLM(backend=make()) as engine:
        reasons = set()
        for room in (1, 2, 5):
            for prompt in PROMPTS:
                generation = engine.run(prompt, max_length=room)
                count = generation.completion_tokens
                reasons.add(generation.finish_reason)
                _expect(count <= room, f"{count} tokens with max_length={room}")
                is_full = generation.finish_reason != "length" or count == room
                _expect(is_full, f'"length" after {count} of {room} tokens')
        _expect("length" in reasons, 'never says "length"')


def a_stop_string_ends_the_text_and_is_not_part_of_it(make: MakeBackend) -> None:
    """The text ends before the stop string, in a stream too."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        for prompt in PROMPTS:
            whole = engine.run(prompt).text
            if len(whole) < len("abc"):
                continue
            stop = whole[len(whole) // 2 :][:2]
            generation = engine.run(prompt, stop=[stop])
            _expect(generation.text == whole[: whole.find(stop)], "text goes past the stop string")
            _expect(generation.finish_reason == "stop", "does not say that it stopped")
            _expect(
                "".join(engine.stream(prompt, stop=[stop])) == generation.text, "stream differs"
            )


def greedy_is_repeatable(make: MakeBackend) -> None:
    """Temperature 0 gives the same text twice."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        for prompt in PROMPTS:
            _expect(engine.run(prompt).text == engine.run(prompt).text, "two greedy runs differ")


def a_seed_is_repeatable(make: MakeBackend) -> None:
    """The same seed gives the same text twice, alone and in a batch."""
    with AutoGLM(backend=make(), max_length=ROOM, temperature=1.0) as engine:
        alone = [engine.run(prompt, seed=7).text for prompt in PROMPTS]
        again = [engine.run(prompt, seed=7).text for prompt in PROMPTS]
        together = [g.text for g in engine.batch(PROMPTS, seed=7)]
        _expect(alone == again, "two runs with one seed differ")
        _expect(alone == together, "a seed gives another text in a batch")


def a_batch_equals_single_runs_in_order(make: MakeBackend) -> None:
    """A greedy batch gives what single runs give, in the order of the prompts."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        prompts = [f"{prompt} {number}" for number in range(8) for prompt in PROMPTS]
        alone = [engine.run(prompt) for prompt in prompts]
        together = list(engine.batch(prompts))
        _expect([g.text for g in alone] == [g.text for g in together], "batch and run differ")
        reasons = [g.finish_reason for g in alone]
        _expect(reasons == [g.finish_reason for g in together], "reasons differ")


def a_batch_reads_its_prompts_as_it_goes(make: MakeBackend) -> None:
    """Prompts that never end are fine, and so is a batch of none."""
    with AutoGLM(backend=make(), max_length=2) as engine:
        answers = list(islice(engine.batch(repeat("the quick brown fox")), 3))
        _expect(len(answers) == len("abc"), "an endless batch gave too few answers")
        _expect(list(engine.batch([])) == [], "an empty batch gave answers")


def one_bad_row_harms_no_other(make: MakeBackend) -> None:
    """An empty prompt, or one too long for the context, fails alone."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        context = engine.model_info.context_length
        bad = " " if context is None else "fox " * context
        first, middle, last = engine.batch(["a", bad, "b"], on_error="keep")
        _expect(middle.finish_reason == "error", "the bad row did not fail")
        _expect(isinstance(middle.error, InvalidPromptError), "not an InvalidPromptError")
        _expect(first.text == engine.run("a").text, "the row before changed")
        _expect(last.text == engine.run("b").text, "the row after changed")


def an_empty_prompt_is_refused(make: MakeBackend) -> None:
    """Nothing is generated from nothing."""
    with AutoGLM(backend=make()) as engine:
        for prompt in ("", " \n\t"):
            try:
                engine.run(prompt)
            except InvalidPromptError:
                continue
            raise AssertionError(f"{prompt!r} was accepted")


def a_stream_can_be_cancelled(make: MakeBackend) -> None:
    """After a cancel the stream ends, says so, and keeps what came."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        for prompt in PROMPTS:
            stream = engine.stream(prompt)
            first = next(stream, "")
            stream.cancel()
            text = first + "".join(stream)
            generation = stream.generation
            _expect(generation is not None, "no generation after a cancel")
            if generation is not None:
                _expect(generation.text == text, "what came was not kept")
                _expect(engine.run(prompt).text.startswith(text), "the text changed")


def a_request_cancelled_before_it_starts_says_so(make: MakeBackend) -> None:
    """A cancel that comes early ends every row of a batch as "cancelled"."""
    backend = make()
    try:
        requests = [_request(prompt) for prompt in PROMPTS]
        for request in requests:
            request.cancel.set()
        answers = dict(backend.batch(requests))
        _expect(sorted(answers) == list(range(len(requests))), "rows are missing")
        reasons = {answer.finish_reason for answer in answers.values()}
        _expect(reasons <= {"cancelled"}, f"reasons are {reasons}")
    finally:
        backend.close()


def two_streams_may_be_read_in_turns(make: MakeBackend) -> None:
    """A half-read stream does not disturb another."""
    with AutoGLM(backend=make(), max_length=ROOM) as engine:
        expected = [engine.run(prompt).text for prompt in PROMPTS[:2]]
        streams = [engine.stream(prompt) for prompt in PROMPTS[:2]]
        texts = ["", ""]
        while any(stream.generation is None for stream in streams):
            for index, stream in enumerate(streams):
                texts[index] += next(stream, "")
        _expect(texts == expected, "streams read in turns differ from runs")


def a_schema_is_followed(make: MakeBackend) -> None:
    """With a schema the text is JSON that follows it, alone, streamed and in a batch."""
    with AutoGLM(backend=make(), max_length=100) as engine:
        one = engine.run("Is it urgent?", schema=SCHEMA)
        stream = engine.stream("Is it urgent?", schema=SCHEMA)
        text = "".join(stream)
        mixed = list(engine.batch(PROMPTS[:3], schema=[SCHEMA, None, SCHEMA]))
        _expect(text == one.text, "stream and run differ")
        for generation in (one, stream.generation, mixed[0], mixed[2]):
            _expect(generation is not None, "no generation")
            if generation is not None:
                _expect(generation.finish_reason == "stop", "did not end")
                jsonschema.validate(generation.parsed, SCHEMA)
                _expect(json.loads(generation.text) == generation.parsed, "parsed is not the text")


def a_model_that_slept_answers_as_before(make: MakeBackend) -> None:
    """After `sleep` a call wakes the model by itself, and it says what it said."""
    loaded = Loaded(make(), make, ModelNews(None, "conformance"))
    try:
        before = [finish(loaded, _request(prompt)).text for prompt in PROMPTS]
        info = loaded.describe()
        for _ in range(2):
            loaded.sleep()
            _expect(loaded.describe() == info, "it describes itself otherwise asleep")
            answers = dict(loaded.batch(_request(prompt) for prompt in PROMPTS))
            again = [answers[position].text for position in range(len(PROMPTS))]
            _expect(again == before, "it answers otherwise when it has slept")
        loaded.sleep()
    finally:
        loaded.close()


def closing_is_final_and_may_be_repeated(make: MakeBackend) -> None:
    """`close` twice is fine; afterwards only `describe` works."""
    backend = make()
    name = backend.describe().backend
    backend.close()
    backend.close()
    _expect(backend.describe().backend == name, "describe changed after close")
    try:
        list(backend.stream(_request("the quick brown fox")))
    except EngineClosedError:
        return
    raise AssertionError("it generates after close")


CHECKS: Final[tuple[Callable[[MakeBackend], None], ...]] = (
    pieces_join_to_the_text,
    max_length_bounds_the_tokens,
    a_stop_string_ends_the_text_and_is_not_part_of_it,
    greedy_is_repeatable,
    a_seed_is_repeatable,
    a_batch_equals_single_runs_in_order,
    a_batch_reads_its_prompts_as_it_goes,
    one_bad_row_harms_no_other,
    an_empty_prompt_is_refused,
    a_stream_can_be_cancelled,
    a_request_cancelled_before_it_starts_says_so,
    two_streams_may_be_read_in_turns,
    a_schema_is_followed,
    a_model_that_slept_answers_as_before,
    closing_is_final_and_may_be_repeated,
)
"""Each takes a function that makes a fresh backend and raises AssertionError where one fails.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_backend(check):
        check(MyBackend)
"""


def check_backend(make: MakeBackend) -> Iterator[str]:
    """Run all checks; yield the name of each that passes, raise AssertionError at one that fails.

    Example:
        >>> from openautoglm.testing import EchoBackend
        >>> len(list(check_backend(EchoBackend))) == len(CHECKS)
        True
    """
    for check in CHECKS:
        check(make)
        yield check.__name__


def _request(prompt: str) -> Request:
    return Request(prompt=prompt, params=SamplingParams(max_length=ROOM))


def _expect(condition: bool, message: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise AssertionError(message)
