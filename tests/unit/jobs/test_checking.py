"""What keeps a job from running is said before anything is started, all of it at once."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from openautoglm.errors import JobSpecError
from openautoglm.jobs.checking import check, read_spec
from openautoglm.jobs.spec import Budget, JobSpec, Rate
from openautoglm.jobs.works import WAYS

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


BAD: tuple[object, ...] = (
    *(3, -1, 10**30, 1.5, math.nan, math.inf, True, b"x", "", " ", "\ud800", "x\0y"),
    *([], [1], (1, 2), {1: 2}, {"a": object()}, {"a": math.nan}, {"a": 10**30}, object(), len),
)


@pytest.mark.parametrize("field", JobSpec.__struct_fields__)
def test_whatever_a_field_is_given_is_taken_or_named(desk: Desk, field: str) -> None:
    desk.number(2)
    base = {} if field in WAYS else {"template": "Say {text}"}
    refused: list[tuple[object, JobSpecError]] = []
    for bad in BAD:
        try:
            spec = check(desk.job(**{"function": None, **base, field: bad})).spec
        except JobSpecError as error:
            refused.append((bad, error))
        else:
            assert read_spec(msgspec.json.encode(spec)) == spec
    assert refused
    assert [bad for bad, error in refused if f"`{field}" not in error.problem] == []
    assert [bad for bad, error in refused if not error.fix] == []
    assert sorted(path.name for path in desk.folder.iterdir()) == ["in.jsonl"]


def test_a_value_that_holds_itself_is_refused(desk: Desk) -> None:
    desk.number(1)
    endless: dict[str, object] = {}
    endless["self"] = endless
    assert "`settings`" in refusal(desk, template="{text}", settings=endless)


def test_a_mapping_stands_for_a_budget_and_a_pace(desk: Desk) -> None:
    desk.number(1)
    spec = check(desk.job(budget={"rows": 3}, rate={"rows_per_s": 2})).spec
    assert (spec.budget, spec.rate) == (Budget(rows=3), Rate(rows_per_s=2))


def test_a_backend_and_an_option_that_nobody_has_are_named(desk: Desk) -> None:
    desk.number(1)
    said = refusal(desk, template="{text}", backend="transformer", options={"devcie": "cpu"})
    assert "did you mean `transformers`?" in said
    assert "`options.devcie`" in said
    assert "did you mean `device`?" in said


def test_the_source_is_known_by_any_name(desk: Desk) -> None:
    desk.number(1)
    (desk.folder / "link.jsonl").symlink_to(desk.source)
    for sink in (f"jsonl://{desk.source}", desk.folder / "link.jsonl"):
        assert "it is the source as well" in refusal(desk, sink=str(sink))


def test_an_empty_template_is_refused(desk: Desk) -> None:
    desk.number(1)
    for empty in ("", "  ", [{"role": "user", "content": ""}]):
        assert "`template`: the template is empty" in refusal(desk, template=empty)
    assert "`template`" in refusal(desk, template=[])
    assert "`template`" in refusal(desk, template=[{"role": "robot", "content": "{text}"}])
