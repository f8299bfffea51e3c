"""What a job says of its workers' needs is refused where no machine could understand it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobSpecError
from openautoglm.jobs.checking_resources import resource_complaints

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Desk


@pytest.mark.parametrize(
    ("name", "amount", "fix"),
    [
        ("cpu", 1.0, "write CPU"),
        ("num_gpus", 1.0, "write GPU"),
        ("Memory", 1.0, "write memory"),
        ("", 1.0, "use CPU, GPU, memory or oag-camera"),
        ("oag-", 1.0, "use CPU, GPU, memory or oag-camera"),
        ("node:10.0.0.1", 1.0, "use CPU, GPU, memory or oag-camera"),
        ("CPU", -1.0, "CPU: 1"),
        ("CPU", math.nan, "CPU: 1"),
        ("GPU", 1.5, "GPU: 2"),
    ],
)
def test_a_resource_that_cannot_be_is_told_with_what_can(
    name: str, amount: float, fix: str
) -> None:
    (complaint,) = resource_complaints({name: amount})
    assert (complaint.field, complaint.fix) == (f"resources.{name}", fix)


def test_what_machines_may_advertise_is_taken() -> None:
    found = {"CPU": 2, "GPU": 0.5, "memory": 1 << 30, "oag-camera": 1, "accelerator_type:A100": 0.1}
    assert not list(resource_complaints(found))


def test_a_job_is_refused_by_them_on_one_machine_too_which_ignores_good_ones(desk: Desk) -> None:
    desk.number(3)
    with pytest.raises(JobSpecError, match=r"resources\.gpu"):
        desk.job(resources={"gpu": 1}).run()
    assert desk.job(resources={"GPU": 8}).run().status().state == "done"
