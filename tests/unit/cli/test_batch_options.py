"""The options of `oag batch run`, alone and over a job file."""

from __future__ import annotations

from pathlib import Path

import pytest

from openautoglm import PromptStore, PromptTemplate
from openautoglm.cli.batch_job import (
    at_its_line,
    merge,
    read_columns,
    read_job,
    read_schema,
    read_task,
)
from openautoglm.errors import (
    InputDecodeError,
    InputNotFoundError,
    InvalidParameterError,
    JobSpecError,
    OpenAutoGLMError,
)
from openautoglm.jobs.spec import Budget
from openautoglm.pipeline.graph import Pipeline

ENDS = {"source": "in.jsonl", "sink": "out.jsonl"}
JOB = """\
apiVersion: openautoglm/v1
kind: Job
metadata: {name: sort}
spec:
  source: in.jsonl
  sink: out.jsonl
  pipeline: classify
  workers: 2
  budget: {rows: 5, tokens: 6}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("jobs").mkdir()
    Path("jobs/job.yaml").write_text(JOB)
    return tmp_path


def test_a_job_is_made_of_options_alone() -> None:
    given = {**ENDS, "template": "{a}", "workers": None, "keep": (), "sampling": {"seed": None}}
    job = read_job(None, None, given, ())
    assert (job.source, job.sink) == ("in.jsonl", "out.jsonl")
    assert (job.template, job.workers, job.keep, job.sampling) == ("{a}", 1, (), {})


def test_options_win_over_the_file_and_leave_the_rest_of_it(folder: Path) -> None:
    given = {"sink": "other.jsonl", "workers": 3, "budget": {"rows": 9, "tokens": None}}
    job = read_job("jobs/job.yaml", None, given, ())
    assert job.source == str(folder / "jobs/in.jsonl")
    assert job.sink == "other.jsonl"
    assert (job.workers, job.budget) == (3, Budget(rows=9, tokens=6))
    assert job.pipeline is not None


def test_another_thing_to_do_takes_the_place_of_the_files() -> None:
    job = read_job("jobs/job.yaml", None, {"function": "m:f"}, ())
    assert (job.pipeline, job.function) == (None, "m:f")


@pytest.mark.parametrize("end", ["source", "sink"])
def test_a_job_without_an_end_is_refused(end: str) -> None:
    given = {name: url for name, url in ENDS.items() if name != end}
    with pytest.raises(JobSpecError, match=f"the job has no {end}"):
        read_job(None, None, {**given, "template": "{a}"}, ())


def test_merging_leaves_out_what_was_not_given() -> None:
    assert merge({"a": {"x": 1}}, {"a": {"x": None, "y": 2}, "b": None, "c": (), "d": {}}) == {
        "a": {"x": 1, "y": 2}
    }
    assert merge({"cache": True}, {"cache": False}) == {"cache": False}


def test_settings_change_steps_and_fill_inputs() -> None:
    given = {**ENDS, "pipeline": "classify"}
    plain = read_job(None, None, given, ())
    assert plain.pipeline == "classify"
    changed = read_job(None, None, given, ["generate.max_length=7"])
    assert changed.pipeline is not None
    step = Pipeline.from_yaml(changed.pipeline).spec.components["generate"].step
    assert getattr(step, "max_length") == 7  # noqa: B009 - a field of one kind of step


def test_settings_fill_variables_of_a_template() -> None:
    given = {**ENDS, "template": "{a} {b}", "settings": {"b": 1}}
    assert read_job(None, None, given, ["a=[1]"]).settings == {"a": [1], "b": 1}


def test_a_task_that_is_a_file_is_read_and_told_by_its_name() -> None:
    Path("own.yaml").write_text(Pipeline.load("classify").to_yaml())
    assert Pipeline.from_yaml(read_task("own.yaml") or "") == Pipeline.load("classify")
    assert (read_task("extract"), read_task(None)) == ("extract", None)
    Path("own.yaml").write_text("name: 1")
    with pytest.raises(OpenAutoGLMError, match=r"own\.yaml:1"):
        read_task("own.yaml")


def test_columns_are_pairs() -> None:
    assert read_columns(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    assert read_columns(None) == {}


def test_a_schema_is_an_object_in_a_file() -> None:
    Path("s.json").write_text('{"type": "object"}')
    assert read_schema("s.json") == {"type": "object"}
    assert read_schema(None) is None


@pytest.mark.parametrize(
    ("attempt", "error", "told"),
    [
        (lambda: read_columns(["a"]), InvalidParameterError, "`--column` cannot be read"),
        (lambda: read_columns(["=b"]), InvalidParameterError, "`--column` cannot be read"),
        (lambda: read_schema("nope.json"), InputNotFoundError, "no such file"),
        (lambda: read_schema("jobs/job.yaml"), InputDecodeError, "is no JSON"),
        (lambda: read_schema("list.json"), InputDecodeError, "holds no JSON schema"),
        (lambda: read_job(None, None, {**ENDS, "tries": "x"}, ()), JobSpecError, "Expected `int`"),
        (
            lambda: read_job(None, None, {**ENDS, "template": "{a}"}, ["a.b=1"]),
            InvalidParameterError,
            "is for pipelines",
        ),
        (
            lambda: read_job(None, None, {**ENDS, "pipeline": "classify"}, ["nope=1"]),
            InvalidParameterError,
            "has no input `nope`",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(
    attempt: object, error: type[OpenAutoGLMError], told: str
) -> None:
    Path("list.json").write_text("[1]")
    assert callable(attempt)
    with pytest.raises(error, match=told):
        attempt()


def test_a_template_takes_the_place_of_a_stored_prompt_and_of_what_is_known_of_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", str(folder / "prompts"))
    PromptStore(folder / "prompts").save("say", PromptTemplate("Say {text}", ["text"]))
    Path("jobs/job.yaml").write_text(JOB.replace("pipeline: classify", "prompt: say"))
    assert read_job("jobs/job.yaml", None, {}, ()).prompts == {"template": "say@1"}
    job = read_job("jobs/job.yaml", None, {"template": "Shout {text}"}, ())
    assert (job.template, job.prompts) == ("Shout {text}", {})


@pytest.mark.parametrize(
    ("problem", "place"),
    [
        ("`workers`: must be from 1 to 4096", "jobs/job.yaml:8:12: "),
        ("`budget.rows`: must be above 0", "jobs/job.yaml:9:3: "),
        ("`pipeline, template`: set exactly one", "jobs/job.yaml:7:13: "),
        ("`tries`: must be from 1 to 1000", ""),
    ],
)
def test_an_error_of_a_field_is_told_at_its_line(problem: str, place: str) -> None:
    given = {"tries": 0, "budget": {"rows": None, "tokens": None}}
    with pytest.raises(JobSpecError) as caught, at_its_line("jobs/job.yaml", "sort", given):
        raise JobSpecError(problem)
    assert caught.value.problem == f"{place}{problem}"
