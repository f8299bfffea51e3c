"""What keeps a job from running is said before anything is started, all of it at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import JobSpecError
from openautoglm.jobs.checking import check
from openautoglm.jobs.spec import Budget, Rate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk


def refusal(desk: Desk, **fields: Any) -> str:  # noqa: ANN401 - the fields of a job
    job = desk.job(**fields)
    with pytest.raises(JobSpecError) as caught:
        check(job)
    return str(caught.value)


def test_a_job_that_can_run_is_taken_and_leaves_nothing_behind(desk: Desk) -> None:
    desk.number(3)
    checked = check(desk.job(keep=("text",), id_column="n"))
    assert [column.name for column in checked.description.columns] == ["n", "text"]
    assert sorted(path.name for path in desk.folder.iterdir()) == ["in.jsonl"]


def test_every_field_that_cannot_be_is_named_at_once(desk: Desk) -> None:
    desk.number(3)
    said = refusal(
        desk,
        template="Say {txet}",
        keep=("text", "texts"),
        id_column="m",
        workers=0,
        backoff_s=-1,
        budget=Budget(rows=0, error_rate=2),
        rate=Rate(rows_per_s=0),
        columns={"text": "text"},
        sampling={"max_tokens": 3},
    )
    for field in (
        "keep",
        "id_column",
        "workers",
        "backoff_s",
        "budget.rows",
        "budget.error_rate",
        "rate.rows_per_s",
        "sampling",
    ):
        assert f"`{field}`" in said
    assert "did you mean `max_length`?" in said


def test_a_key_is_kept_out_of_the_ledger(desk: Desk) -> None:
    desk.number(3)
    said = refusal(desk, template="Say {text}", options={"api_key": "sk-secret"})
    assert "`options.api_key`" in said
    assert "OPENAI_API_KEY" in said
    assert "sk-secret" not in said


def test_values_of_a_wrong_type_are_named_with_what_was_expected(desk: Desk) -> None:
    desk.number(1)
    said = refusal(desk, workers="2", keep=3, budget={"rows": "many"}, name=3, source=desk.source)
    for field in ("`source`", "`name`", "`workers`", "`keep`", "`budget`"):
        assert field in said
    assert "Expected `int`, got `str`" in said


def test_a_missing_column_is_named_with_the_nearest_one(desk: Desk) -> None:
    desk.number(3)
    said = refusal(desk, template="Say {txet}")
    assert "`source`: the source has no column `txet`" in said
    assert "did you mean `text`?" in said
    said = refusal(desk, template="Say {what}", columns={"what": "tex"})
    assert "`columns`: the source has no column `tex`" in said
    said = refusal(desk, template="Say {text}", columns={"texts": "text"})
    assert "there is no input `texts`" in said
    check(desk.job(template="Say {what}", columns={"what": "text"}))
    check(desk.job(template="Say {what}", settings={"what": "it"}))


def test_one_way_to_work_is_wanted(desk: Desk) -> None:
    desk.number(1)
    said = refusal(desk, template="{text}", function="job_functions:double")
    assert "exactly one" in said
    assert "template, function" in said
    assert "none of them" in refusal(desk, function=None)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("job_functions", "module:name"),
        ("no_such_module_here:f", "cannot be imported"),
        ("job_functions:duoble", "did you mean `double`?"),
        ("__main__:f", "module of its own"),
        ("job_functions:__name__", "names no function"),
    ],
)
def test_a_function_that_workers_cannot_call_is_refused(
    desk: Desk, function: str, why: str
) -> None:
    desk.number(1)
    said = refusal(desk, function=function)
    assert "function" in said
    assert why in said


def test_a_function_has_no_use_for_a_model(desk: Desk) -> None:
    desk.number(1)
    said = refusal(desk, model="nano", schema={"type": "object"})
    assert "`model`, `schema`" in said


def test_a_name_twice_in_a_row_of_the_sink_is_refused(desk: Desk) -> None:
    desk.write([{"key": "a", "output": 1, "text": "x"}])
    said = refusal(desk, template="{text}", keep=("key", "output"))
    assert "`key` twice" in said
    assert "`output` twice" in said
    check(desk.job(template="{text}", keep=("text",), id_column="text"))


def test_ids_are_needed_where_duplicates_are_spoken_of(desk: Desk) -> None:
    desk.number(1)
    assert "`on_duplicate_id`" in refusal(desk, on_duplicate_id="first")


def test_a_source_that_is_not_there_and_a_sink_without_permission_are_named(
    desk: Desk, tmp_path: Path
) -> None:
    said = refusal(desk, sink=f"{tmp_path}/no/such/folder/out.jsonl")
    assert "`source`" in said
    assert "`sink`" in said
    desk.number(1)
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if os.geteuid():  # root may write anywhere
        assert "`sink`" in refusal(desk, sink=f"{locked}/out.jsonl")
    (tmp_path / "a file").touch()
    assert "`sink`" in refusal(desk, sink=f"{tmp_path}/a file/out.jsonl")


def test_what_other_processes_cannot_see_is_refused(desk: Desk) -> None:
    desk.number(1)
    assert "`sink`: a table in memory" in refusal(desk, sink="memory://out")
    assert "`source`: a table in memory" in refusal(desk, source="memory://in")


def test_the_source_is_not_written_over(desk: Desk) -> None:
    desk.number(1)
    assert "it is the source as well" in refusal(desk, sink=str(desk.source))
    assert len(desk.source.read_text().splitlines()) == 1


def test_a_source_without_rows_is_taken(desk: Desk) -> None:
    desk.write([])
    check(desk.job(template="{text}"))
