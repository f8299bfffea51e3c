"""A launcher starts drivers, and says why one does not start."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobStateError
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import LocalLauncher, register

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Desk


@pytest.mark.parametrize("state", ["planned", "running"])
def test_a_job_that_cannot_be_gone_on_with_says_why(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    desk.number(3)
    with closing(open_at(ledger_url())) as ledger:
        job = register(desk.job(), ledger)
        if state == "running":
            ledger.set_state(job, "running", among=frozenset({"planned"}))
    (desk.folder / "sitecustomize.py").write_text("import os\nos._exit(1)\n")
    monkeypatch.setattr(sys, "path", [str(desk.folder), *sys.path])
    with pytest.raises(JobStateError, match="ended at once"):
        LocalLauncher().revive(job)
