"""The plugins that answer rows are part of what a job was begun with."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, ClassVar

import pytest

from openautoglm.errors import JobChangedError, JobSpecError
from openautoglm.jobs import Run
from openautoglm.jobs.checking import check
from openautoglm.jobs.spec import Budget, Rate
from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.step import Step
from openautoglm.plugins import on_demand
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk

    from openautoglm.jobs.progress import Progress

needs_sandbox = pytest.mark.skipif(
    not supported().sandbox, reason="this kernel cannot confine a worker"
)
PIPELINE = """
name: shout
inputs: {text: {to: upper.text}}
components: {upper: {type: acme.upper}}
outputs: {shouted: upper.text}
"""


def lower(project: Path) -> Path:
    """Return the wheel of a version that writes small letters."""
    described, code = project / "pyproject.toml", next(project.rglob("step.py"))
    text = re.sub(r'(?m)^version = ".*"', 'version = "0.2.0"', described.read_text())
    described.write_text(text)
    code.write_text(code.read_text().replace(".upper()", ".lower()"))
    return pack(project).path


@pytest.fixture
def project(desk: Desk) -> Iterator[Path]:
    """A plugin with a step, installed in the desk's home."""
    made = new_project("acme.upper", kind="step", into=desk.folder)
    Inventory(desk.folder / "home").install(pack(made).path)
    yield made
    on_demand.close()


@needs_sandbox
def test_a_plugin_that_was_exchanged_keeps_a_job_from_going_on(desk: Desk, project: Path) -> None:
    desk.number(30)
    pace = Rate(rows_per_s=40)
    job = desk.job(
        pipeline=PIPELINE, shard_rows=5, concurrency=2, budget=Budget(rows=10), rate=pace
    )
    run = job.run(ledger=desk.ledger)
    assert run.status().state == "paused"
    on_demand.close()

    inventory = Inventory(desk.folder / "home")
    inventory.install(lower(project))
    with pytest.raises(JobChangedError) as caught:
        Run.open(run.id, ledger=desk.ledger).resume(budget=Budget())
    assert re.search(r"plugin acme\.upper: was 0\.1\.0 \w+, is 0\.2\.0 \w+", str(caught.value))
    on_demand.close()

    inventory.rollback("acme.upper")
    assert Run.open(run.id, ledger=desk.ledger).resume(budget=Budget()).state == "done"
    assert {row["shouted"] for row in desk.answers()} == {f"ROW {n}" for n in range(30)}


@needs_sandbox
def test_a_job_that_runs_while_a_plugin_is_exchanged_keeps_the_version_it_began_with(
    desk: Desk, project: Path
) -> None:
    desk.number(60)
    job = desk.job(pipeline=PIPELINE, shard_rows=5, concurrency=2, rate=Rate(rows_per_s=60))
    inventory, wheel = Inventory(desk.folder / "home"), lower(project)
    done: list[int] = []

    def exchange(progress: Progress) -> None:
        if progress.counts.ok and not done:
            done.append(progress.counts.ok)
            inventory.install(wheel)

    run = job.run(ledger=desk.ledger, on_progress=exchange)
    assert run.status().state == "done"
    assert done
    assert done[0] < 60
    assert {row["shouted"] for row in desk.answers()} == {f"ROW {n}" for n in range(60)}


def test_a_step_that_only_this_process_knows_is_refused(desk: Desk) -> None:
    class Upper(Step, frozen=True):
        outputs: ClassVar[Mapping[str, str]] = {"text": "in capitals"}

        def run(self, *, text: str) -> Mapping[str, object]:
            return {"text": text.upper()}

    desk.number(1)
    with owned_by("somebody.here"):
        STEPS.add("acme.upper", Upper)
    try:
        with pytest.raises(JobSpecError, match="known to this process alone"):
            check(desk.job(pipeline=PIPELINE))
    finally:
        STEPS.revoke("somebody.here")
