"""Every form can be asked for wherever an answer is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM, Generation
from openautoglm.engine.asking import formed
from openautoglm.engine.backend import Request
from openautoglm.engine.row import Row
from openautoglm.engine.wire import plain_request, request_from
from openautoglm.errors import InvalidParameterError, OutputParseError, SchemaError
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.engine.keywords import Keywords

POINT: dict[str, object] = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["x"],
    "additionalProperties": False,
}
STRICT: dict[str, object] = {
    "type": "json_schema",
    "json_schema": {"name": "point", "strict": True, "schema": POINT},
}
FORMS: dict[str, Keywords] = {
    "regex": {"regex": r"[a-f]{3}\d"},
    "choice": {"choice": ["left", "right ahead"]},
    "grammar": {"grammar": 'root ::= "(" [xy] ")" | "[" [xy]{2,3} "]"'},
    "strict": {"response_format": STRICT},
    "text": {"response_format": {"type": "text"}},
}


def asked(seed: int, form: str) -> Keywords:
    return {**FORMS[form], "seed": seed}


@pytest.fixture(scope="module", params=["native", "transformers", "gguf"])
def engine(
    request: pytest.FixtureRequest,
    tiny_model: Callable[..., Path],
    tiny_gguf: Callable[..., Path],
) -> Iterator[AutoGLM]:
    if request.param == "gguf":
        pytest.importorskip("llama_cpp", reason="llama-cpp-python is an extra of its own")
    place = tiny_gguf() if request.param == "gguf" else tiny_model()
    with AutoGLM(place, backend=request.param, max_length=24, temperature=1.0) as made:
        yield made


@pytest.fixture
def echo() -> AutoGLM:
    return AutoGLM(backend=EchoBackend())


def test_every_local_backend_answers_in_the_form_and_stops_by_itself(engine: AutoGLM) -> None:
    for seed in range(3):
        word = engine.run("go", **asked(seed, "regex"))
        way = engine.run("go", **asked(seed, "choice"))
        pair = engine.run("go", **asked(seed, "grammar"))
        point = engine.run("go", **asked(seed, "strict"))
        assert [a.finish_reason for a in (word, way, pair, point)] == ["stop"] * 4
        assert way.parsed == way.text
        assert way.text in {"left", "right ahead"}
        assert word.parsed == word.text
        assert (len(word.text), word.text[3].isdecimal()) == (4, True)
        assert pair.parsed == pair.text
        assert pair.text[0] in "(["
        assert isinstance(point.parsed, dict)
        assert 0 <= point.parsed["x"] <= 99


def test_rows_of_one_batch_have_forms_of_their_own(engine: AutoGLM) -> None:
    rows = [Row(prompt="go", id=name, params=dict(form)) for name, form in FORMS.items()]
    answers = dict(engine.stream_batch([*rows, Row(prompt="go", id="bad", regex="(")]))
    assert {name for name, a in answers.items() if a.error is not None} == {"bad"}
    assert isinstance(answers["bad"].error, SchemaError)
    assert answers["choice"].parsed in {"left", "right ahead"}
    assert isinstance(answers["strict"].parsed, dict)
    assert answers["text"].parsed is None


def test_a_row_has_a_field_for_each_form(echo: AutoGLM) -> None:
    fields = [
        Row(prompt="a", regex="b+"),
        Row(prompt="a", choice=("c",)),
        Row(prompt="a", grammar='start: "d"'),
        Row(prompt="a", response_format=STRICT),
    ]
    answers = dict(echo.stream_batch(fields))
    assert [answers[n].parsed for n in range(4)] == ["b", "c", "d", {"x": 0}]


def test_a_batch_has_one_form_for_all_or_one_for_each(echo: AutoGLM) -> None:
    some = list(echo.batch(["a", "b"], choice=["yes", "no"]))
    each = list(echo.batch(["a", "b"], regex=["x{2}", None]))
    assert [a.parsed for a in some] == ["no", "no"]
    assert [(a.text, a.parsed) for a in each] == [("xx", "xx"), ("b", None)]


def test_a_stream_has_a_form_too(echo: AutoGLM) -> None:
    stream = echo.stream("a", regex="[0-9]{4}")
    assert "".join(stream) == "0000"
    assert isinstance(stream.generation, Generation)
    assert stream.generation.parsed == "0000"


def test_two_forms_at_once_are_refused_and_names_of_others_are_known(echo: AutoGLM) -> None:
    with pytest.raises(InvalidParameterError, match="one form only"):
        echo.run("a", regex="a", choice=["a"])
    with pytest.raises(InvalidParameterError, match="did you mean `regex`"):
        echo.run("a", guided_regex="a")  # type: ignore[call-arg] # the name is what is tested


def test_an_answer_that_a_stop_string_cut_says_so() -> None:
    engine = AutoGLM(backend=EchoBackend(['{"x":1}', '{"x":100}']))
    with pytest.raises(OutputParseError, match="by a stop string") as caught:
        engine.run("a", schema=POINT, stop=":")
    assert "leave `stop` out" in str(caught.value)
    with pytest.raises(OutputParseError, match="does not follow the schema"):
        engine.run("a", schema=POINT, stop="never")


@pytest.mark.parametrize("name", list(FORMS))
def test_a_form_travels_to_a_backend_in_a_worker(name: str) -> None:
    request = formed(Request(prompt="a"), FORMS[name])
    arrived = request_from(plain_request(request))
    assert arrived.form == request.form
    assert arrived.schema == request.schema
    assert arrived.grammar == request.grammar


def test_a_length_that_no_answer_fits_in_is_refused_with_the_numbers(engine: AutoGLM) -> None:
    long: dict[str, object] = {"const": {"a name that takes many tokens": True}}
    with pytest.raises(SchemaError, match="`max_length` is too small") as caught:
        engine.run("go", schema=long, max_length=5)
    assert "5 tokens" in str(caught.value)
    assert engine.run("go", schema=long, max_length=60).parsed == long["const"]
