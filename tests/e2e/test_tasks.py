"""The tasks that come with the package, from raw text to a structured result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM, Pipeline
from openautoglm.engine.backend import ModelInfo, one_by_one
from openautoglm.engine.generation import Generation
from openautoglm.engine.prompt import last_user_text
from openautoglm.errors import StepError
from openautoglm.pipeline.catalog import TASKS
from openautoglm.pipeline.steps.generate import Generate
from openautoglm.pipeline.steps.render import Render
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.engine.backend import Request

FIELDS = ("name", "product", "order_id", "date", "issue")
MESSAGE = "Hello, this is Li Wei. My order A-1047 never came."
EMPTY = dict.fromkeys(FIELDS)


def facts(**known: str) -> str:
    return json.dumps({**EMPTY, **known}, ensure_ascii=False, separators=(",", ":"))


def scripted(*answers: str) -> AutoGLM:
    return AutoGLM(backend=EchoBackend(answers=answers))


def test_the_package_ships_three_tasks() -> None:
    assert set(TASKS.names()) >= {"extract", "classify", "summarize"}


def test_facts_are_copied_from_a_clean_message_and_have_their_places() -> None:
    engine = scripted(facts(name="Li Wei", order_id="A-1047", issue="never came"))
    found = Pipeline.load("extract").run(text=MESSAGE, engine=engine)
    assert found.outputs["result"] == {
        **EMPTY,
        "name": "Li Wei",
        "order_id": "A-1047",
        "issue": "never came",
    }
    assert found.text == MESSAGE
    assert found.text_from == "check.clean"
    assert {at: MESSAGE[a:b] for at, (a, b) in found.offsets.items()} == {
        "/name": "Li Wei",
        "/order_id": "A-1047",
        "/issue": "never came",
    }
    assert "clean" not in found.timings_s


def test_the_places_in_a_dirty_message_are_those_of_the_cleaned_text() -> None:
    dirty = "<p>您好&nbsp;&nbsp;我叫<b>李伟</b>，订单号<i>A-1047</i>没有收到。</p>"
    engine = scripted(facts(name="李伟", order_id="A-1047"))
    found = Pipeline.load("extract").run(text=dirty, engine=engine)
    assert found.text is not None
    assert "<" not in found.text
    assert found.text_from == "clean.text"
    assert {at: found.text[a:b] for at, (a, b) in found.offsets.items()} == {
        "/name": "李伟",
        "/order_id": "A-1047",
    }
    assert "clean" in found.timings_s


class FindingBackend:
    """Finds what it knows in the source of each request, and sums up by its first word."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def describe(self) -> ModelInfo:
        return ModelInfo(backend="finding", model="finding")

    def count_tokens(self, text: str) -> int:
        return len(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        self.asked.append(last_user_text(request.prompt))
        text = self._answer(request)
        yield text
        yield Generation(text=text, finish_reason="stop")

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        return one_by_one(self, requests)

    def close(self) -> None:
        pass

    def _answer(self, request: Request) -> str:
        source = request.source_text
        if request.schema is None:
            return f"Sum {len(self.asked)}."
        if "label" in str(request.schema["required"]):
            label = "delivery" if "never came" in source else "other"
            return json.dumps({"label": label}, separators=(",", ":"))
        known = {"name": "Li Wei", "order_id": "A-1047", "issue": "never came"}
        return facts(**{field: value for field, value in known.items() if value in source})


FILLER = "There is nothing to see in this sentence at all. " * 30
LONG = f"I am Li Wei. {FILLER}My order is A-1047. {FILLER}It never came."


def test_the_facts_of_a_long_message_come_from_all_of_its_segments() -> None:
    backend = FindingBackend()
    found = Pipeline.load("extract").run(text=LONG, engine=AutoGLM(backend=backend))
    assert len(backend.asked) > 2
    assert found.text == LONG
    expected = {"name": "Li Wei", "order_id": "A-1047", "issue": "never came"}
    assert found.outputs["result"] == {**EMPTY, **expected}
    assert {at: LONG[a:b] for at, (a, b) in found.offsets.items()} == {
        f"/{field}": value for field, value in expected.items()
    }


def test_the_label_of_a_long_message_is_what_most_segments_say() -> None:
    backend = FindingBackend()
    found = Pipeline.load("classify").run(text=LONG, engine=AutoGLM(backend=backend))
    assert len(backend.asked) > 2
    assert found.outputs == {"result": {"label": "other"}}
    short = Pipeline.load("classify").run(text=MESSAGE, engine=AutoGLM(backend=backend))
    assert short.outputs == {"result": {"label": "delivery"}}


def test_the_summary_of_a_long_message_is_made_of_those_of_its_segments() -> None:
    backend = FindingBackend()
    found = Pipeline.load("summarize").run(text=LONG, engine=AutoGLM(backend=backend))
    parts = len(backend.asked) - 1
    assert parts > 1
    joined = "\n".join(f"Sum {n}." for n in range(1, parts + 1))
    assert backend.asked[-1].endswith(joined)
    assert found.outputs == {"result": f"Sum {parts + 1}."}


def test_the_summary_of_a_short_message_is_asked_for_once() -> None:
    backend = FindingBackend()
    found = Pipeline.load("summarize").run(text=MESSAGE, engine=AutoGLM(backend=backend))
    assert len(backend.asked) == 1
    assert backend.asked[0].endswith(MESSAGE)
    assert found.outputs == {"result": "Sum 1."}


@pytest.mark.parametrize("task", ["extract", "classify", "summarize"])
@pytest.mark.parametrize("text", ["", " \n", "<p></p>", "\ufeff", "\u200b"])
def test_a_text_that_says_nothing_is_an_error_of_its_record(task: str, text: str) -> None:
    found = list(
        Pipeline.load(task).stream(
            [text, MESSAGE], engine=AutoGLM(backend=FindingBackend()), on_error="return"
        )
    )
    where = f"[OAG403] pipeline `{task}`, step `merge`, record 0"
    assert str(found[0].error).splitlines() == [
        f"{where}: the text is empty: no segment came of it, so there is nothing to merge",
        "  got: no values",
        "  fix: pass a text that says something, also once its markup is gone",
    ]
    assert found[1].error is None


def test_a_prompt_made_of_nothing_is_an_error_of_the_step_that_generates() -> None:
    pipeline = Pipeline(
        name="ask",
        components={"prompt": Render(template="{text}"), "generate": Generate()},
        connections=[("prompt.prompt", "generate.prompt")],
        inputs={"text": "prompt.text"},
        outputs={"result": "generate.text"},
    )
    with pytest.raises(StepError, match="step `generate`, the record: the prompt is empty"):
        pipeline.run(text=" ", engine=AutoGLM(backend=EchoBackend()))


def test_a_thousand_messages_come_back_in_order() -> None:
    numbers = range(1000)
    texts = (f"My order is A-{n}." if n % 7 else f"<b>My order</b> is A-{n}." for n in numbers)
    pipeline = Pipeline.load("summarize")
    engine = AutoGLM(backend=EchoBackend(), max_length=200)
    found = [result.outputs["result"] for result in pipeline.stream(texts, engine=engine)]
    assert [str(text).rsplit("\n", 1)[-1] for text in found] == [
        f"My order is A-{n}." for n in numbers
    ]
