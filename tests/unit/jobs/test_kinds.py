"""Files of the kinds `Job` and `Schedule`: what they hold, and every complaint at its line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm import PromptStore, PromptTemplate
from openautoglm.errors import (
    InputNotFoundError,
    JobSpecError,
    OpenAutoGLMError,
    PipelineSyntaxError,
    ScheduleError,
)
from openautoglm.jobs.kinds import Kinds, read_kinds, read_kinds_text
from openautoglm.pipeline.graph import Pipeline

ROOT = Path(__file__).parents[3]
JOB = """\
apiVersion: openautoglm/v1
kind: Job
metadata: {name: sort}
spec:
  source: in.jsonl
  sink: out/
  pipeline: classify
"""
SCHEDULE = """\
apiVersion: openautoglm/v1
kind: Schedule
metadata: {name: nightly}
spec:
  every: 30s
  job: {ref: sort}
"""


def read(text: str, folder: Path | None = None) -> Kinds:
    return read_kinds_text(text, name="f.yaml", folder=folder)


def test_a_job_has_the_name_of_its_document_and_paths_from_its_folder() -> None:
    job = read(JOB, Path("/data")).job()
    assert (job.name, job.source, job.sink) == ("sort", "/data/in.jsonl", "/data/out/")


def test_a_file_is_read_from_its_own_folder_and_with_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "ask.txt").write_text("Sum up: {text}\n")
    (folder / "job.yaml").write_text(JOB.replace("pipeline: classify", "template: ask.txt"))
    monkeypatch.chdir(tmp_path)
    job = read_kinds("jobs/job.yaml").job()
    assert job.template == "Sum up: {text}"
    assert job.source == str(folder / "in.jsonl")


def test_a_pipeline_may_be_a_name_a_file_or_stand_in_the_job(tmp_path: Path) -> None:
    text = Pipeline.load("classify").to_yaml()
    (tmp_path / "own.yaml").write_text(text)
    below = "".join(f"    {line}\n" for line in text.splitlines())
    for written in ("classify", "own.yaml", f"\n{below}"):
        job = read(JOB.replace("pipeline: classify", f"pipeline: {written}"), tmp_path).job()
        assert job.pipeline is not None
        assert Pipeline.from_yaml(job.pipeline) == Pipeline.load("classify")


def test_a_pipeline_that_stands_in_the_job_complains_at_its_line() -> None:
    wrong = JOB.replace("pipeline: classify", "pipeline:\n    name: x\n    imputs: {}")
    with pytest.raises(PipelineSyntaxError, match=r"f\.yaml:9:5: a pipeline has no key `imputs`"):
        read(wrong)


def test_a_schedule_has_the_job_it_refers_to_wherever_that_stands() -> None:
    for text in (f"{JOB}---\n{SCHEDULE}", f"{SCHEDULE}---\n{JOB}"):
        kinds = read(text)
        assert kinds.schedules["nightly"].job == kinds.job()
        assert kinds.schedules["nightly"].every == "30s"


def test_a_schedule_may_hold_its_job() -> None:
    inline = "job: {source: a.jsonl, sink: b.jsonl, function: 'm:f'}"
    schedule = read(SCHEDULE.replace("job: {ref: sort}", inline)).schedules["nightly"]
    assert schedule.job is not None
    assert (schedule.job.name, schedule.job.function) == ("nightly", "m:f")


def test_fields_of_structs_in_structs_are_read() -> None:
    text = f"{JOB}  budget: {{rows: 5, error_rate: null}}\n  rate: {{rows_per_s: 2}}\n"
    job = read(text).job()
    assert (job.budget.rows, job.budget.error_rate, job.rate.rows_per_s) == (5, None, 2.0)


def test_one_of_several_jobs_is_named() -> None:
    kinds = read(f"{JOB}---\n{JOB.replace('name: sort', 'name: topic')}")
    assert kinds.job("topic").name == "topic"
    with pytest.raises(JobSpecError, match="holds several jobs") as found:
        kinds.job()
    assert "sort, topic" in str(found.value.got)
    with pytest.raises(JobSpecError, match="holds no job `topics`") as found:
        kinds.job("topics")
    assert found.value.fix == "did you mean `topic`?"


@pytest.mark.parametrize("name", ["batch.yaml", "nightly.yaml"])
def test_the_examples_can_be_read(name: str) -> None:
    kinds = read_kinds(str(ROOT / "examples" / name))
    assert kinds.job().source == str(ROOT / "examples/messages.jsonl")


def changed(old: str, new: str, text: str = JOB) -> str:
    assert old in text
    return text.replace(old, new)


def in_schedule(old: str, new: str) -> str:
    return f"{JOB}---\n{changed(old, new, SCHEDULE)}"


WRONG = [
    ("", JobSpecError, "f.yaml: the file is empty", "begin with apiVersion: openautoglm/v1"),
    ("[1]", JobSpecError, "f.yaml:1:1: the document must be a mapping", "write `key: value`"),
    ("a: [", JobSpecError, "f.yaml:1:5: this is not YAML", "check quotes"),
    (changed("kind: Job", "knd: Job"), JobSpecError, "f.yaml:2:1: the document has no key `knd`",
     "did you mean `kind`?"),
    (changed("v1", "v2"), JobSpecError, "f.yaml:1:13: this version is not known",
     "write apiVersion: openautoglm/v1"),
    (changed("kind: Job", "kind: Jobb"), JobSpecError, "f.yaml:2:7: there is no kind `Jobb`",
     "did you mean `Job`?"),
    (changed("{name: sort}", "{nmae: sort}"), JobSpecError,
     "f.yaml:3:12: `metadata` has no key `nmae`", "did you mean `name`?"),
    (changed("{name: sort}", "{name: 7}"), JobSpecError,
     "f.yaml:3:18: `metadata.name` must be a text", "write a text"),
    (changed("{name: sort}", "{name: ' '}"), JobSpecError, "f.yaml:3:18: the name is empty",
     "write a name"),
    (changed("sink: out/", "snk: out/"), JobSpecError, "f.yaml:6:3: `spec` has no key `snk`",
     "did you mean `sink`?"),
    (changed("  sink: out/\n", ""), JobSpecError, "f.yaml:4:1: `spec` needs the key `sink`",
     "add `sink: …`"),
    (f"{JOB}  workers: many\n", JobSpecError, "f.yaml:8:12: `spec.workers`: Expected `int`",
     "write a whole number"),
    (f"{JOB}  assignment: some\n", JobSpecError, "f.yaml:8:15: `spec.assignment`: Invalid enum",
     "use one of: dynamic, static"),
    (f"{JOB}  budget:\n    row: 5\n", JobSpecError, "f.yaml:9:5: `spec.budget` has no key `row`",
     "did you mean `rows`?"),
    (f"{JOB}  budget: {{rows: x}}\n", JobSpecError, "f.yaml:8:18: `spec.budget.rows`: Expected",
     "write a whole number"),
    (f"{JOB}  keep: [1]\n", JobSpecError, "f.yaml:8:10: `spec.keep.0`: Expected `str`",
     "put it in quotes"),
    (f"{JOB}---\n{JOB}", JobSpecError,
     "f.yaml:11:18: there are two of kind Job with the name `sort`", "rename one"),
    (in_schedule("{ref: sort}", "{ref: srt}"), ScheduleError,
     "f.yaml:14:14: there is no job `srt`", "did you mean `sort`?"),
    (in_schedule("  job: {ref: sort}\n", ""), ScheduleError,
     "f.yaml:12:1: `spec` needs the key `job`", "add `job: …`"),
    (in_schedule("{ref: sort}", "{ref: sort, cron: x}"), ScheduleError,
     "f.yaml:14:20: `spec.job` has no key `cron`", "remove it"),
    (in_schedule("every: 30s", "evry: 30s"), ScheduleError,
     "f.yaml:13:3: `spec` has no key `evry`", "did you mean `every`?"),
    (in_schedule("every: 30s", "every: often"), ScheduleError, "f.yaml:13:10: every: no length",
     "write it like 30s"),
    (in_schedule("every: 30s", "cron: '61 * * * *'"), ScheduleError, "f.yaml:13:9: ", ""),
    (in_schedule("every: 30s", "every: 30s\n  overlap: never"), ScheduleError, "f.yaml:14:12: ",
     "use one of: allow, cancel"),
    (in_schedule("every: 30s", "every: 30s\n  timezone: Mars/Base"), ScheduleError,
     "f.yaml:14:13: ", ""),
    (in_schedule("name: nightly", "name: 'a b'"), ScheduleError, "f.yaml:11:18: name: ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "told", "fix"), WRONG)
def test_a_mistake_is_told_at_its_line_with_its_fix(
    text: str, kind: type[OpenAutoGLMError], told: str, fix: str
) -> None:
    with pytest.raises(kind) as found:
        read(text)
    assert found.value.problem.startswith(told)
    assert (found.value.fix or "").startswith(fix)


def test_a_file_that_is_not_there_or_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"nope\.yaml"):
        read_kinds(str(tmp_path / "nope.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"kind: \xff")
    with pytest.raises(JobSpecError, match=r"bytes\.yaml: this is not UTF-8"):
        read_kinds(str(tmp_path / "bytes.yaml"))
    (tmp_path / "long.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(JobSpecError, match="more than 1000000 bytes"):
        read_kinds(str(tmp_path / "long.yaml"))


def test_a_hyphen_is_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(JOB.encode())))
    assert read_kinds("-").job().source == str(tmp_path / "in.jsonl")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        read(text)
    except OpenAutoGLMError as error:
        assert error.problem.startswith("f.yaml")  # noqa: PT017 - either end is fine


@given(st.data())
def test_a_file_cut_short_or_with_a_line_less_is_read_or_refused(data: st.DataObject) -> None:
    lines = f"{JOB}---\n{SCHEDULE}".splitlines()
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    try:
        read("\n".join(lines[: data.draw(st.integers(0, len(lines)))]))
    except OpenAutoGLMError as error:
        assert error.problem.startswith("f.yaml")  # noqa: PT017 - either end is fine


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ("pipeline: clasify", r"f\.yaml:7:13: no task is called `clasify`"),
        ("pipeline: nope.yaml", r"f\.yaml:7:13: the pipeline file"),
        ("template: nope.txt", r"f\.yaml:7:13: no such file"),
        ("prompt: nope@2", r"f\.yaml:7:11: no prompt is called `nope`"),
    ],
)
def test_what_a_job_names_and_is_not_there_is_told_at_its_line(
    field: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", str(tmp_path / "prompts"))
    with pytest.raises(JobSpecError, match=problem):
        read(JOB.replace("pipeline: classify", field), tmp_path)


def test_a_job_file_names_a_stored_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", str(tmp_path / "prompts"))
    store = PromptStore(tmp_path / "prompts")
    store.save("sum-up", PromptTemplate("Sum up: {text}", ["text"]))
    store.alias("sum-up", "production", 1)
    job = read(JOB.replace("pipeline: classify", "prompt: sum-up@production")).job()
    assert (job.template, job.prompts) == ("Sum up: {text}", {"template": "sum-up@1"})
    with pytest.raises(JobSpecError, match="no key `prompts`"):
        read(JOB + "  prompts: {template: sum-up@1}\n")


def test_a_model_whose_name_is_no_path_is_left_as_it_is() -> None:
    named = "x" * 5000
    assert read(JOB + f"  model: {named}\n").job().model == named
