"""Children crash, hang and end, and the parent is told how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from openautoglm.plugins.host.assignment import Assignment
from openautoglm.plugins.manifest import Manifest
from openautoglm.plugins.trial.nursery import Child, ChildEndedError, Nursery
from openautoglm.plugins.trial.orders import Order, Question

if TYPE_CHECKING:
    from collections.abc import Iterator

ZOO: Final = Path(__file__).parents[4] / "plugins" / "broken"
LONG_S: Final = 60.0


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as warm:
        yield warm


def child_of(nursery: Nursery, name: str, scratch: Path) -> Child:
    manifest = Manifest.from_project(ZOO / name)
    root = str(ZOO / name / "src")
    assignment = Assignment(
        plugin=manifest.id, version="1.0", level="L1", path=(root,), scratch=str(scratch)
    )
    return nursery.start(assignment, Order(manifest=manifest.to_json(), package=root))


def test_a_child_answers_one_question_after_the_other(nursery: Nursery, tmp_path: Path) -> None:
    with child_of(nursery, "no-licence", tmp_path) as child:
        loaded = child.ask(Question("load"), timeout_s=LONG_S)
        called = child.ask(Question("calls", "step:broken.no-licence"), timeout_s=LONG_S)
    assert [finding.status for finding in loaded.findings] == ["pass"]
    assert called.findings[0].measured == "3 requests"


def test_a_crash_is_told_with_its_signal(nursery: Nursery, tmp_path: Path) -> None:
    with child_of(nursery, "crashes", tmp_path) as child:
        child.ask(Question("load"), timeout_s=LONG_S)
        with pytest.raises(ChildEndedError, match="Segmentation fault") as caught:
            child.ask(Question("calls", "step:broken.crashes"), timeout_s=LONG_S)
        assert not child.is_alive
    assert not caught.value.is_hang


def test_a_hang_is_ended(nursery: Nursery, tmp_path: Path) -> None:
    with child_of(nursery, "loops", tmp_path) as child:
        child.ask(Question("load"), timeout_s=LONG_S)
        with pytest.raises(ChildEndedError, match="no answer in") as caught:
            child.ask(Question("calls", "step:broken.loops"), timeout_s=0.2)
    assert caught.value.is_hang


def test_a_child_that_ended_is_not_asked_again(nursery: Nursery, tmp_path: Path) -> None:
    with child_of(nursery, "dies-at-import", tmp_path) as child:
        for _ in range(2):
            with pytest.raises(ChildEndedError):
                child.ask(Question("load"), timeout_s=LONG_S)


def test_a_mistake_of_the_check_is_no_finding(nursery: Nursery, tmp_path: Path) -> None:
    with child_of(nursery, "no-licence", tmp_path) as child:
        answer = child.ask(Question("calls", "step:nobody"), timeout_s=LONG_S)
    assert "KeyError" in answer.mistake
    assert answer.findings == []


def test_children_end_with_their_nursery(tmp_path: Path) -> None:
    with Nursery() as short:
        child = child_of(short, "no-licence", tmp_path)
        child.ask(Question("load"), timeout_s=LONG_S)
    with pytest.raises(ChildEndedError):
        child.ask(Question("load"), timeout_s=LONG_S)
