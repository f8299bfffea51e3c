"""Rows through functions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobSpecError, StepError
from openautoglm.jobs.works import open_work, read_intent

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Desk


@pytest.mark.parametrize("function", ["double", "double_later"])
def test_a_function_answers_rows_from_many_threads(desk: Desk, function: str) -> None:
    work = open_work(desk.job(function=f"job_functions:{function}"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: work.answer({"n": n}).outputs["twice"], range(50)))
    assert answers == [2 * n for n in range(50)]
    assert work.inputs() == ()
    work.close()
    work.close()


def test_what_a_function_raises_is_the_rows(desk: Desk) -> None:
    work = open_work(desk.job(function="job_functions:picky"))
    with pytest.raises(ValueError, match="three divides 3"):
        work.answer({"n": 3})
    assert work.answer({"n": 4}).outputs == {"twice": 8}


def test_a_function_that_returns_no_mapping_is_told(desk: Desk) -> None:
    work = open_work(desk.job(function="job_functions:no_mapping"))
    with pytest.raises(StepError, match="job_functions:no_mapping"):
        work.answer({"n": 3})


def test_what_comes_out_is_not_known_before(desk: Desk) -> None:
    intent = read_intent(desk.job(function="job_functions:double"))
    assert (intent.inputs(), intent.takes(), intent.outputs()) == ((), None, None)
    assert intent.fingerprint()["function"].startswith("job_functions:double ")
    with pytest.raises(JobSpecError, match="did you mean `double`"):
        read_intent(desk.job(function="job_functions:doubel"))
