"""What is printed of jobs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from openautoglm.cli.exits import Exit
from openautoglm.cli.following import advice, exit_of
from openautoglm.cli.job_output import as_json, listed, pace_text, quarantined_line, rows_text, told
from openautoglm.cli.job_progress import Bar, JsonLines, Nothing, show_job
from openautoglm.jobs.ledger.records import Counts, Quarantined, State
from openautoglm.jobs.progress import Progress


def moment(
    *, done: int = 0, failed: int = 0, rows: int | None = 10, state: State = "running"
) -> Progress:
    counts = Counts(
        shards=2, shards_done=1, rows=rows, ok=done - failed, failed=failed, tokens=1234
    )
    pace = {"rows_per_s": 2.5, "tokens_per_s": 1500.0, "eta_s": 61.0} if state == "running" else {}
    return Progress(job="sort-1a2b", name="sort", state=state, reason="", counts=counts, **pace)


def test_rows_are_counted_for_people() -> None:
    assert rows_text(moment(done=3, failed=1).counts) == "3 of 10 rows, 1 failed"
    assert rows_text(moment(done=3000, rows=None).counts) == "3,000 rows, 0 failed"


def test_the_pace_is_told_only_while_there_is_one() -> None:
    assert pace_text(moment()) == "1:01 left, 2.5 rows/s, 1,500 tokens/s"
    assert pace_text(moment(state="done")) == ""


def test_all_that_is_known_of_a_job_is_told() -> None:
    lines = dict(told(moment(done=3)))
    assert list(lines) == ["job", "name", "state", "rows", "shards", "tokens", "pace"]
    assert lines["shards"] == "1 of 2 written"
    assert "pace" not in dict(told(moment(state="paused")))


def test_a_job_is_one_line_or_one_json() -> None:
    assert listed(moment(done=3)).startswith("sort-1a2b ")
    assert listed(moment(done=3)).endswith(" running   3 of 10 rows, 0 failed")
    data = json.loads(as_json(moment(done=3)))
    assert (data["job"], data["counts"]["ok"], data["eta_s"]) == ("sort-1a2b", 3, 61.0)


@pytest.mark.parametrize(("values", "told_as"), [(b'{"a":1}', {"a": 1}), (b"", None)])
def test_a_row_that_failed_is_a_json_line(values: bytes, told_as: object) -> None:
    row = Quarantined(
        shard=1, ordinal=2, key="7", error=b'{"code":"OAG403"}', tries=3, values=values
    )
    assert json.loads(quarantined_line(row)) == {
        "key": "7",
        "shard": 1,
        "ordinal": 2,
        "tries": 3,
        "error": {"code": "OAG403"},
        "values": told_as,
    }


@pytest.mark.parametrize(
    ("progress", "code"),
    [
        (moment(state="done"), Exit.OK),
        (moment(state="done", done=2, failed=1), Exit.RECORDS_FAILED),
        (moment(state="failed"), Exit.MACHINE),
        (moment(state="paused"), Exit.PAUSED),
        (moment(state="cancelled", failed=1), Exit.PAUSED),
        (moment(state="running"), Exit.OK),
        (moment(state="planned"), Exit.OK),
    ],
)
def test_the_exit_code_is_the_states(progress: Progress, code: Exit) -> None:
    assert exit_of(progress) is code


def test_a_person_is_told_what_can_be_done_next() -> None:
    assert advice(moment(state="done")) == []
    assert [line.split(":")[1].strip() for line in advice(moment(state="done", failed=1))] == [
        "oag batch errors sort-1a2b",
        "oag batch retry-failed sort-1a2b",
    ]
    assert advice(moment(state="paused")) == ["to go on: oag batch resume sort-1a2b"]
    assert advice(moment(state="paused"), "my jobs.db") == [
        "to go on: oag batch resume sort-1a2b --ledger 'my jobs.db'"
    ]


def test_json_lines_come_once_a_second_at_a_change_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter([0.0, 0.5, 1.5, 1.6, 1.7])
    with JsonLines(clock=lambda: next(seconds)) as lines:
        lines.update(moment(done=1))
        lines.update(moment(done=2))  # too soon
        lines.update(moment(done=3))
        lines.update(moment(done=9, state="paused"))  # another state
        lines.update(moment(done=10, state="paused"))  # the end
    rows = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [row["counts"]["ok"] for row in rows] == [1, 3, 9, 10]


def test_the_display_is_chosen_by_mode_and_is_nothing_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for mode in ("auto", "none"):
        with show_job(mode) as display:
            display.update(moment())
        assert isinstance(display, Nothing)
    assert isinstance(show_job("json"), JsonLines)
    assert isinstance(show_job("bar"), Bar)
    assert capsys.readouterr().err == ""


def test_a_bar_shows_name_rows_and_pace() -> None:
    shown = io.StringIO()
    with Bar(Console(file=shown, force_terminal=True, width=120)) as bar:
        bar.update(moment(rows=None))
        bar.update(moment(done=3, failed=1))
    last = shown.getvalue().rpartition("sort")[2]
    assert "3 of 10 rows, 1 failed" in last
    assert "1:01 left, 2.5 rows/s, 1,500 tokens/s" in last
