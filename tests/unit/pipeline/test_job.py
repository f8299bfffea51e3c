"""Records that go through a pipeline are a job, which the bus is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import openautoglm.bus as module
from openautoglm.bus import Bus, events
from openautoglm.errors import InputNotFoundError, StepError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.job import EVERY_S, told
from openautoglm.pipeline.result import PipelineResult, Record
from openautoglm.pipeline.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.bus import Message

Count = tuple[str, int, int, int | None]


class Picky(Step, frozen=True):
    outputs = {"text": "the text"}  # noqa: RUF012 - as users write it

    def run(self, *, text: str) -> Mapping[str, object]:
        if not text:
            raise ValueError("no text")
        return {"text": text}


PICKY = Pipeline(
    name="picky",
    components={"picky": Picky()},
    inputs={"text": "picky.text"},
    outputs={"text": "picky.text"},
)


@pytest.fixture
def heard() -> Iterator[list[events.JobState]]:
    """What is said of jobs while a test runs."""
    found: list[events.JobState] = []

    def hear(message: Message) -> None:
        news = events.read(message)
        assert isinstance(news, events.JobState)
        found.append(news)

    with Bus() as bus:
        bus.subscribe(events.JOB_STATE, hear, inline=True)
        before = module.use(bus)
        yield found
        module.use(before or Bus())


def counts(heard: list[events.JobState]) -> list[Count]:
    assert len({news.job for news in heard}) == 1
    assert {news.task for news in heard} == {"picky"}
    return [(news.state, news.done, news.failed, news.total) for news in heard]


def test_a_job_is_told_from_its_first_record_to_its_last(heard: list[events.JobState]) -> None:
    results = PICKY.stream(["a", "", "b"], on_error="return")
    assert not heard
    assert len(list(results)) == 3
    assert counts(heard) == [("running", 0, 0, 3), ("done", 3, 1, 3)]


def test_a_job_that_a_record_ends_has_failed(heard: list[events.JobState]) -> None:
    with pytest.raises(StepError):
        list(PICKY.stream(iter(["a", "", "b"])))
    assert counts(heard) == [("running", 0, 0, None), ("failed", 2, 1, None)]
    assert "no text" in heard[-1].reason


def test_a_job_whose_records_cannot_be_read_on_has_failed(heard: list[events.JobState]) -> None:
    def records() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        list(PICKY.stream(records(), window=1))
    assert counts(heard) == [("running", 0, 0, None), ("failed", 1, 0, None)]
    assert heard[-1].reason == "the disk is gone"


@pytest.mark.parametrize(("read", "state"), [(1, "cancelled"), (2, "done")])
def test_a_job_that_is_not_read_to_its_end_is_cancelled(
    heard: list[events.JobState], read: int, state: str
) -> None:
    results: Any = PICKY.stream(["a", "b"])
    for _ in range(read):
        next(results)
    results.close()
    assert counts(heard) == [("running", 0, 0, 2), (state, read, 0, 2)]


def test_a_job_that_is_interrupted_is_cancelled(heard: list[events.JobState]) -> None:
    def records() -> Iterator[str]:
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(PICKY.stream(records(), window=1))
    assert heard[-1].state == "cancelled"


def test_how_far_a_job_is_is_told_at_most_once_in_a_while(heard: list[events.JobState]) -> None:
    now_s = 0.0

    def results() -> Iterator[PipelineResult]:
        nonlocal now_s
        for _ in range(100):
            now_s += EVERY_S / 10
            yield PipelineResult(outputs={})

    assert len(list(told(results(), task="picky", clock_s=lambda: now_s))) == 100
    running = [news.done for news in heard if news.state == "running"]
    assert running[0] == 0
    assert 9 <= len(running) - 1 <= 10
    assert heard[-1].done == 100


def test_a_record_that_could_not_be_read_counts_as_one_that_failed(
    heard: list[events.JobState],
) -> None:
    lost = InputNotFoundError("it is gone", got="b.txt", fix="look for it")
    records = [Record(inputs={"text": "a"}), Record(inputs={}, source="b.txt", error=lost)]
    first, second = PICKY.stream(records, on_error="return")
    assert (first.outputs, first.error) == ({"text": "a"}, None)
    assert (second.outputs, second.error, second.source) == ({}, lost, "b.txt")
    assert counts(heard)[-1] == ("done", 2, 1, 2)


def test_a_single_run_is_no_job(heard: list[events.JobState]) -> None:
    PICKY.run(text="a")
    assert not heard
