"""How a worker left, from what was heard of it; one that nobody saw end was lost."""

from __future__ import annotations

import pytest

from openautoglm.jobs.crews.crew import Ended
from openautoglm.jobs.orders import Report


@pytest.mark.parametrize(
    ("code", "report", "where", "ending", "how"),
    [
        (None, None, "", "lost", "was lost with its machine"),
        (-9, None, "", "killed", "ended by SIGKILL"),
        (-6, None, "box", "crashed", "ended by SIGABRT on box"),
        (0, Report(why="told"), "box", "returned", "ended with exit code 0 on box"),
    ],
)
def test_an_end_is_judged_by_its_code(
    code: int | None, report: Report | None, where: str, ending: str, how: str
) -> None:
    ended = Ended(index=0, owner="w", code=code, report=report, where=where)
    assert (ended.ending, ended.how) == (ending, how)
