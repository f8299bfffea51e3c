"""YAML to a pipeline, a pipeline to YAML, and every complaint at its line."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openautoglm.errors import InputNotFoundError, PipelineGraphError, PipelineSyntaxError
from openautoglm.pipeline.catalog import STEPS, TASKS
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.nodes import MAX_DEPTH, read_nodes
from openautoglm.pipeline.spec import Component, Input, Offsets
from openautoglm.pipeline.step import Step
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Repeat(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text, several times"}
    times: int = 1
    between: str = ""
    extra: dict[str, list[int]] = {}  # noqa: RUF012 - msgspec copies defaults

    def __post_init__(self) -> None:
        if self.times > 99:
            raise ValueError("that is too often")

    def run(self, *, text: str, more: str = "") -> Mapping[str, object]:
        return {"text": self.between.join([text] * self.times) + more}


@pytest.fixture(autouse=True, scope="module")
def plugin() -> Iterator[None]:
    with owned_by("tests.yaml"):
        STEPS.add("yaml.repeat", Repeat)
    yield
    STEPS.revoke("tests.yaml")


GOOD = """\
name: twice
inputs:
  text: {to: a.text}
components:
  a:
    type: yaml.repeat
    params:
      times: 2
      between: "-"
outputs:
  result: a.text
"""


def test_the_step_of_a_plugin_runs_from_yaml() -> None:
    assert Pipeline.from_yaml(GOOD).run(text="no").outputs == {"result": "no-no"}


def test_a_file_is_read_by_path_and_by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    assert Pipeline.from_yaml(path) == Pipeline.from_yaml(GOOD)
    assert Pipeline.load(path) == Pipeline.load(str(path)) == Pipeline.from_yaml(GOOD)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def ask(template: str) -> str:
    return f"""\
name: ask
inputs: {{x: {{to: a.x}}}}
components:
  a:
    type: prompt.render
    params: {{template: "{template}"}}
outputs: {{result: a.prompt}}
"""


def parse(params: str) -> str:
    return f"""\
name: parse
inputs: {{x: {{to: a.generation}}}}
components:
  a: {{type: output.parse, params: {{{params}}}}}
outputs: {{result: a.value}}
"""


REFUSED: list[tuple[str, str, str, str]] = [
    ("", ":1:1: a pipeline is a mapping", "nothing", "write the sections"),
    ("hello", ":1:1: a pipeline is a mapping", "the text 'hello'", "must end in .yaml"),
    ("[1]", ":1:1: a pipeline is a mapping", "a list", "sections"),
    ("a: [", ":1:5: this is not YAML", "", "brackets"),
    ("a: 'x", "this is not YAML", "", "quotes"),
    ("\x00", "this is not YAML", "", "quotes"),
    ("a: 1\n---\nb: 2", ":2:1: a second document", "", "one pipeline"),
    ("a: 1\na: 2", ":2:1: the key `a` is there twice", "line 1", "remove or rename"),
    ("? [a]\n: 1", ":1:3: a key must be a text", "", "key: value"),
    ("a: !!python/name:os.system x", ":1:4: the tag", "", "remove the tag"),
    ("a: *b", ":1:4: the alias `*b` stands before any anchor", "", "&b"),
    ("a: &a [*a]", ":1:8: the alias `*a` stands inside", "", "&a"),
    ("a: " + "9" * 5000, "more than 300 digits", "", "quote"),
    ("a: 1e999", "the number is too large", "1e999", "quote"),
    (changed("name: twice\n", ""), ":1:1: a pipeline needs the key `name`", "", "name: …"),
    (changed("name: twice", "name: 7"), ":1:7: `name` must be a text", "the number 7", "quotes"),
    (changed("outputs", "output"), ":10:1: a pipeline has no key `output`", "", "`outputs`?"),
    (changed("yaml.repeat", "yaml.repaet"), ":6:11: no step is called", "", "`yaml.repeat`?"),
    (changed("times", "tmes"), ":8:7: this step has no parameter `tmes`", "", "`times`?"),
    (
        changed("times: 2", "times: two"),
        ":8:14: `times`: Expected `int`, got `str`",
        "",
        "whole number",
    ),
    (changed("times: 2", "times: 2.5"), ":8:14: `times`: Expected `int`, got `float`", "", ""),
    (changed("times: 2", "times: 100"), "that is too often", "", ""),
    (
        changed("times: 2", "extra: {a: [1, x]}"),
        "`extra`: Expected `int`, got `str`",
        "",
        "",
    ),
    (changed("{to: a.text}", "{to: 7}"), "`inputs.text.to` must be a text or a list", "7", ""),
    (ask("{x} {"), ":6:24: line 1, column 5: ", "^", "{{"),
    (ask("{x.y}"), ":6:24: line 1, column 1: ", "^", ""),
    (parse("kind: xml"), ":4:42: `kind`: Invalid enum", "", "use one of: json, label, text"),
    (parse("labels: a"), ":4:44: `labels`: Expected `array`", "", "write a list"),
    (parse("kind: json, labels: [a]"), ":4:48: `labels` belongs to", "kind: json", "both"),
    (parse("schema: {items: {type: strin}}"), ":4:59: the JSON schema is wrong", "", "see"),
    (parse("schema: {items: {type: strin}}, kind: json"), ":4:59: the JSON schema is", "", ""),
    (GOOD.replace("  text: {to: a.text}", ""), ":2:8: `inputs` must be a mapping", "nothing", "{"),
    (changed("type: yaml.repeat", "kind: x"), "`a` has no key `kind`", "", ""),
    (changed("{to: a.text}", "a.text"), ":3:9: `inputs.text` must be a mapping", "the text", ""),
    (changed("{to: a.text}", "{to: [a.text, 1]}"), ":3:23: `inputs.text.to.1` must", "", ""),
    (changed("result: a.text", "result: [a.text]"), "`outputs.result` must be a text", "", ""),
    (GOOD + "connections: {}\n", "`connections` must be a list", "a mapping", ""),
    (GOOD + "connections: [{sender: a.text}]\n", ":12:15: this needs the key `receiver`", "", ""),
    (GOOD + "connections: [1]\n", "`connections.0` must be a mapping", "the number 1", ""),
    (GOOD + "offsets: {sender: a.text}\n", "`offsets` needs the key `text`", "", ""),
    (GOOD + "version: true\n", "`version` must be a text", "the truth value true", ""),
]


@pytest.mark.parametrize(("text", "problem", "got", "fix"), REFUSED)
def test_what_is_no_pipeline_is_refused_at_its_line(
    text: str, problem: str, got: str, fix: str
) -> None:
    with pytest.raises(PipelineSyntaxError, match=re.escape(problem)) as caught:
        Pipeline.from_yaml(text)
    assert str(caught.value).startswith("[OAG401] <text>")
    assert got in str(caught.value.got or "")
    assert fix in str(caught.value.fix or "")


GRAPHS: list[tuple[str, str]] = [
    (changed("to: a.text", "to: a.txt"), "<text>:3:14: `a` has no input `txt`"),
    (changed("to: a.text", "to: [a.text, b.text]"), "<text>:3:23: no component is called `b`"),
    (ask("｛x｝"), "<text>:2:18: `a` has no input `x`"),
    (changed("result: a.text", "result: a.txt"), "<text>:11:11: `a` has no output `txt`"),
    (
        GOOD + "connections:\n  - {sender: a.text, receiver: a.more}\n",
        "<text>:5:3: the components run in a circle",
    ),
    (
        GOOD + "connections:\n  - {sender: a.text, receiver: a.text}\n",
        "<text>:5:3: the components run in a circle",
    ),
]


@pytest.mark.parametrize(("text", "problem"), GRAPHS)
def test_a_graph_that_cannot_run_is_refused_at_its_line(text: str, problem: str) -> None:
    with pytest.raises(PipelineGraphError, match=re.escape(problem)):
        Pipeline.from_yaml(text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="cannot be opened"):
        Pipeline.load(tmp_path / "no.yaml")
    with pytest.raises(InputNotFoundError, match="cannot be opened"):
        Pipeline.from_yaml("no\x00.yaml")


def test_a_file_that_is_too_large_or_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(PipelineSyntaxError, match="more than 1000000 bytes"):
        Pipeline.from_yaml(path)
    path.write_bytes(b"name: \xff")
    with pytest.raises(PipelineSyntaxError, match="not UTF-8") as caught:
        Pipeline.from_yaml(path)
    assert caught.value.got == "byte 0xff at offset 6"
    with pytest.raises(PipelineSyntaxError, match="more than 1000000 bytes"):
        Pipeline.from_yaml("\n" * 1_000_001)


def bomb() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(rows)


def ladder() -> str:
    rows = [f"a0: &a0 {'[' * 40}x{']' * 40}"]
    rows += [f"a{n}: &a{n} {'[' * 40}*a{n - 1}{']' * 40}" for n in range(1, 9)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb(), "more than 20000 values"),
        (ladder(), f"more than {MAX_DEPTH} levels"),
        ("[" * 500_000, f"more than {MAX_DEPTH} levels"),
        ("- " * 300_000, f"more than {MAX_DEPTH} levels"),
        ("{a: " * 200_000, f"more than {MAX_DEPTH} levels"),
        ("- x\n" * 200_000, "more than 20000 values"),
    ],
    ids=["a bomb", "a ladder", "brackets", "dashes", "braces", "a long list"],
)
def test_a_file_that_would_take_all_memory_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PipelineSyntaxError, match=problem):
        read_nodes(text, name="x")


def test_words_that_other_readers_turn_into_something_else_stay_text() -> None:
    node = read_nodes("[no, on, 2024-01-01, 1:30, 0x1F, null, true, 3, .5, '7', 1_000]", name="x")
    expected = ["no", "on", "2024-01-01", "1:30", "0x1F", None, True, 3, 0.5, "7", "1_000"]
    assert node.plain() == expected


PIECES = [
    *("name: ", "inputs:", "components:", "outputs:", "connections:", "{to: a.text}", "\n", "  "),
    *("- ", "type: yaml.repeat", "params:", "times: ", "a.text", "a: ", "&x ", "*x", "[", "]", "{"),
    *("}", ":", ",", "'", '"', "|", ">", "!", "%", "#", "?", "1", "true", "\t", "é", "---"),
    *("sender: ", "each: ", "text.segment", "prompt.render", "template: '{x'", "schema: {type: 7}"),
]


def read(text: str) -> object:
    try:
        return Pipeline.from_yaml(text)
    except (PipelineSyntaxError, PipelineGraphError) as error:
        return error


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
@example("0.yaml\n")
@example("\ud800")
@example("name: \ud800\n")
def test_any_text_is_a_pipeline_or_refused_with_an_error_of_ours(text: str) -> None:
    assert isinstance(read(text + "\n"), (Pipeline, PipelineSyntaxError, PipelineGraphError))


@settings(deadline=None)
@given(st.data())
def test_a_good_file_with_a_piece_replaced_is_a_pipeline_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 12)))
    piece = data.draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)))
    text = GOOD[:start] + piece + GOOD[end:]
    assert isinstance(read(text), (Pipeline, PipelineSyntaxError, PipelineGraphError))


texts = st.text(st.characters(exclude_categories=["Cs"]))
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda n: n != "inputs"
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
    max_leaves=8,
).filter(lambda value: "inf" not in repr(value))
repeats = st.builds(
    Repeat,
    times=st.integers(-5, 99),
    between=texts,
    extra=st.dictionaries(texts, st.lists(st.integers(-(10**9), 10**9)), max_size=2),
)


@settings(deadline=None)
@given(st.dictionaries(names, repeats, min_size=1, max_size=4), texts, texts, texts, values)
def test_what_is_dumped_loads_as_an_equal_pipeline(
    steps: dict[str, Step], name: str, description: str, version: str, default: object
) -> None:
    order = list(steps)
    pipeline = Pipeline(
        name=name,
        description=description,
        version=version,
        components={
            n: Component(step=step, each=("text",) if n == order[-1] else ())
            for n, step in steps.items()
        },
        connections=[(f"{order[0]}.text", f"{n}.more") for n in order[1:]],
        inputs={"text": Input(to=tuple(f"{n}.text" for n in order), default=default)},
        outputs={"result": f"{order[-1]}.text"},
        offsets=Offsets(sender=f"{order[0]}.text", text=f"{order[0]}.text"),
    )
    assert Pipeline.from_yaml(pipeline.to_yaml()) == pipeline


@pytest.mark.parametrize("task", TASKS.names())
def test_a_shipped_task_survives_being_dumped(task: str) -> None:
    pipeline = Pipeline.load(task)
    assert Pipeline.from_yaml(pipeline.to_yaml()) == pipeline
