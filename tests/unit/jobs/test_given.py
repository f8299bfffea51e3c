"""A program describes a job with the objects it has; the job is the same as its file."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar

import msgspec
import pytest

from openautoglm import Pipeline, PromptStore, PromptTemplate
from openautoglm.errors import JobSpecError
from openautoglm.jobs.batch_job import BatchJob
from openautoglm.jobs.checking import check, read_spec
from openautoglm.jobs.home import open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.pipeline.spec import Input
from openautoglm.pipeline.step import Step
from openautoglm.pipeline.steps.render import Render

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Desk


class Upper(Step, frozen=True):
    """A step that no file can name."""

    outputs: ClassVar[Mapping[str, str]] = {"text": "in capitals"}

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"text": text.upper()}


def of_one(step: Step, **given: object) -> Pipeline:
    inputs = {"text": Input(to=("one.text",), **given)}  # type: ignore[arg-type]  # a default
    out = "text" if isinstance(step, Upper) else "prompt"
    return Pipeline(
        name="one", components={"one": step}, inputs=inputs, outputs={"out": f"one.{out}"}
    )


def test_a_template_of_a_program_is_its_text_or_its_messages(desk: Desk) -> None:
    desk.number(2)
    text = desk.job(template=PromptTemplate("Say {text}", ["text"]))
    assert text == desk.job(template="Say {text}")
    messages = [{"role": "system", "content": "Be short"}, {"role": "user", "content": "{text}"}]
    chat = desk.job(template=PromptTemplate(messages, ["text"]))
    assert chat == desk.job(template=messages)
    checked = check(chat)
    assert checked.intent.inputs() == ("text",)
    assert read_spec(msgspec.json.encode(checked.spec)) == checked.spec


def test_a_template_that_reads_as_a_file_or_a_stored_prompt_is_refused(desk: Desk) -> None:
    for text in ("ask.txt", "sum-up@2"):
        with pytest.raises(JobSpecError, match="reads as a file or a stored prompt"):
            desk.job(template=PromptTemplate(text, []))


def test_a_pipeline_of_a_program_is_its_yaml(desk: Desk) -> None:
    desk.number(2)
    pipeline = of_one(Render(template="Say {text}"))
    job = desk.job(pipeline=pipeline)
    assert job.pipeline == pipeline.to_yaml()
    assert check(job).intent.outputs() == ("out",)


def test_a_pipeline_that_no_file_can_hold_is_refused_with_the_reason(desk: Desk) -> None:
    with pytest.raises(JobSpecError) as caught:
        desk.job(pipeline=of_one(Upper()))
    assert "`pipeline`: `one` cannot be written" in str(caught.value)
    assert "Upper is not in STEPS" in str(caught.value)
    with pytest.raises(JobSpecError, match="`pipeline`"):
        desk.job(pipeline=of_one(Render(template="Say {text}"), default=object()))
    with pytest.raises(JobSpecError, match="`pipeline`"):
        desk.job(pipeline=of_one(Render(template="Say {text}"), default=float("nan")))


def test_other_objects_are_left_for_the_check_to_name(desk: Desk) -> None:
    desk.number(1)
    for field in ("template", "pipeline", "prompt"):
        job = desk.job(**{field: 3})
        with pytest.raises(JobSpecError, match=f"`{field}`"):
            check(job)


def test_a_job_with_objects_runs(desk: Desk) -> None:
    desk.number(3)
    template = PromptTemplate("Say {text}", ["text"])
    job = BatchJob(source=str(desk.source), sink=str(desk.sink), template=template)
    assert job.run(ledger=desk.ledger).status().counts.ok == 3


def test_a_job_asks_what_the_store_held_when_it_was_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", str(desk.folder / "prompts"))
    store = PromptStore(desk.folder / "prompts")
    store.save("say", PromptTemplate("Say {text}", ["text"]))
    desk.number(3)
    job = desk.job(prompt="say", sink=str(desk.folder / "{job}.jsonl"))
    with closing(open_at(desk.ledger)) as ledger:
        run = Run(register(job, ledger), desk.ledger)
        store.save("say", PromptTemplate("Shout {text} and {more}", ["text", "more"]))
        spec = read_spec(ledger.job(run.id).spec)
    assert (spec.template, spec.prompts) == ("Say {text}", {"template": "say@1"})
    assert run.resume().state == "done"
    assert len(desk.answers(desk.folder / f"{run.id}.jsonl")) == 3
