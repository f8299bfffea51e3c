"""spec/golden/templates.json: what every language that reads templates must agree on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openautoglm.errors import OpenAutoGLMError
from openautoglm.prompts.syntax import parse, undeclared, unused
from openautoglm.prompts.template import PromptTemplate

GOLDEN = Path(__file__).parents[3] / "spec" / "golden" / "templates.json"
VECTORS = json.loads(GOLDEN.read_text(encoding="utf-8"))
RESULTS = [vector for vector in VECTORS if "result" in vector]
ERRORS = [vector for vector in VECTORS if "error" in vector]

Vector = dict[str, object]


def by_name(vector: Vector) -> str:
    return str(vector["name"])


def act(vector: Vector) -> object:
    template: PromptTemplate = PromptTemplate(vector["template"], vector["input_variables"])  # type: ignore[call-overload] # from a file
    values = vector.get("values", {})
    assert isinstance(values, dict)
    return template.format(**values)


def test_there_are_enough_vectors_and_each_has_a_name_of_its_own() -> None:
    assert len(RESULTS) + len(ERRORS) == len(VECTORS) >= 60
    assert len({by_name(vector) for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", RESULTS, ids=by_name)
def test_a_template_renders_to_its_result(vector: Vector) -> None:
    assert act(vector) == vector["result"]


@pytest.mark.parametrize(
    "vector", [vector for vector in RESULTS if isinstance(vector["template"], str)], ids=by_name
)
def test_a_text_that_parses_means_the_same_to_str_format(vector: Vector) -> None:
    values = vector["values"]
    assert isinstance(values, dict)
    assert str(vector["template"]).format_map(values) == vector["result"]


@pytest.mark.parametrize("vector", ERRORS, ids=by_name)
def test_a_fault_has_its_code_and_its_place(vector: Vector) -> None:
    expected = vector["error"]
    assert isinstance(expected, dict)
    with pytest.raises(OpenAutoGLMError) as caught:
        act(vector)
    assert caught.value.code == expected["code"]
    assert caught.value.fix
    where = f"line {expected['line']}, column {expected['column']}: "
    if expected["line"] is None:
        where = ""
        assert not caught.value.problem.startswith(("line", "message"))
    if "message" in expected:
        where = f"message {expected['message']}, {where}"
    assert caught.value.problem.startswith(where)


@pytest.mark.parametrize(
    "vector", [vector for vector in ERRORS if isinstance(vector["template"], str)], ids=by_name
)
def test_a_fault_is_of_its_kind(vector: Vector) -> None:
    expected, text, variables = vector["error"], vector["template"], vector["input_variables"]
    assert isinstance(expected, dict)
    assert isinstance(text, str)
    assert isinstance(variables, list)
    if expected["kind"] in {"duplicate_variable", "bad_variable", "values"}:
        return
    parsed = parse(text, variables)
    first = next(
        iter([*parsed.problems, *undeclared(parsed, variables), *unused(text, parsed, variables)])
    )
    assert first.kind == expected["kind"]
    assert (first.place(text) or (None, None)) == (expected["line"], expected["column"])


def test_every_kind_of_fault_that_has_a_place_is_in_a_vector() -> None:
    from openautoglm.prompts.problem import Kind

    kinds = {vector["error"]["kind"] for vector in ERRORS}
    assert kinds == {*Kind, "values"}
