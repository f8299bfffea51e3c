"""`oag schedule` over a ledger in a folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Command


FILE = """\
apiVersion: openautoglm/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "30 1 * * *"
  timezone: Europe/Berlin
  job: {source: in.jsonl, sink: out.jsonl, function: "json:loads"}
"""


@pytest.fixture
def schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oag: Callable[[str], Command]
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAUTOGLM_LEDGER", str(tmp_path / "ledger.db"))
    Path("nightly.yaml").write_text(FILE)
    return oag("schedule")


def test_what_was_applied_is_listed_with_its_next_time_on_its_clocks(schedule: Command) -> None:
    applied = schedule("apply", "nightly.yaml")
    assert applied.out.startswith("applied   nightly  next ")
    assert "T01:30:00+0" in applied.out
    assert schedule("apply", "nightly.yaml").out.startswith("unchanged nightly")
    listed = schedule("list").out
    assert listed.split()[:7] == ["nightly", "30", "1", "*", "*", "*", "Europe/Berlin"]
    entry = json.loads(schedule("list", "--json").out)
    assert entry["schedule"]["job"]["source"] == str(Path("in.jsonl").absolute())


def test_the_next_times_are_told_of_a_file_as_of_what_is_applied(schedule: Command) -> None:
    of_file = schedule("next", "nightly.yaml", "--count", "3")
    assert len(of_file.out.splitlines()) == 3
    assert schedule("list").out == ""  # nothing was applied
    schedule("apply", "nightly.yaml")
    assert schedule("next", "nightly", "--count", "3").out == of_file.out


def test_a_schedule_is_paused_and_resumed(schedule: Command) -> None:
    schedule("apply", "nightly.yaml")
    assert schedule("pause", "nightly").out == "paused    nightly\n"
    assert schedule("pause", "nightly").out == "unchanged nightly\n"
    assert schedule("list").out.rstrip().endswith("paused")
    assert schedule("resume", "nightly").out.startswith("resumed   nightly  next ")


def test_a_schedule_that_is_not_enabled_or_over_says_so(schedule: Command) -> None:
    Path("off.yaml").write_text(FILE.replace("nightly", "off") + "  enabled: false\n")
    Path("over.yaml").write_text(
        FILE.replace("nightly", "over").replace('cron: "30 1 * * *"', 'at: "2020-01-01T00:00"')
    )
    assert schedule("apply", "off.yaml").out == "applied   off  not enabled\n"
    assert schedule("apply", "over.yaml").out == "applied   over  no times to come\n"


def test_what_was_asked_for_is_in_the_history(schedule: Command) -> None:
    schedule("apply", "nightly.yaml")
    assert schedule("history", "nightly").out == ""
    assert schedule("trigger", "nightly").out == "triggered nightly\n"
    asked = schedule("backfill", "nightly", "--from", "2026-03-28", "--to", "2026-03-30T02:00")
    assert asked.out == "3 times of nightly\n"
    shown = schedule("history", "nightly").out.splitlines()
    assert len(shown) == 4
    assert all(line.split()[1] == "waiting" for line in shown)
    assert shown[1].startswith("2026-03-30T01:30:00+02:00")  # summer time has come
    assert shown[3].startswith("2026-03-28T01:30:00+01:00")
    rows = [json.loads(line) for line in schedule("history", "nightly", "--json").out.splitlines()]
    assert [row["kind"] for row in rows] == ["manual", "backfill", "backfill", "backfill"]
    assert len(schedule("history", "nightly", "--limit", "2").out.splitlines()) == 2


def test_a_removed_schedule_is_gone(schedule: Command) -> None:
    schedule("apply", "nightly.yaml")
    assert schedule("remove", "nightly").out == "removed   nightly\n"
    assert schedule("list").out == ""


def test_the_ledger_may_be_an_option(schedule: Command) -> None:
    schedule("apply", "nightly.yaml", "--ledger", "other.db")
    assert schedule("list").out == ""
    assert schedule("list", "--ledger", "other.db").out.startswith("nightly")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("apply", "nope.yaml"), "[OAG501]"),
        (("apply", "job.yaml"), "job.yaml holds no schedule"),
        (("apply", "bad.yaml"), "bad.yaml:5:9: "),
        (("next", "nightlie"), "[OAG802]"),
        (("pause", "nightlie"), "[OAG802]"),
        (("history", "nightlie"), "[OAG802]"),
        (("trigger", "nightlie"), "[OAG802]"),
        (("remove", "nightlie"), "[OAG802]"),
        (("backfill", "nightly", "--from", "soon", "--to", "2026-01-01"), "from: this is no date"),
        (("backfill", "nightly", "--from", "2026-01-01", "--to", "2999-01-01"), "[OAG807]"),
        (("backfill", "nightly"), "Missing option"),
        ((), "Usage: oag schedule"),
    ],
)
def test_wrong_usage_ends_with_2(schedule: Command, args: tuple[str, ...], told: str) -> None:
    Path("bad.yaml").write_text(FILE.replace("30 1 * * *", "30 25 * * *"))
    Path("job.yaml").write_text(
        "apiVersion: openautoglm/v1\nkind: Job\nmetadata: {name: a}\n"
        "spec: {source: a.jsonl, sink: b.jsonl, function: 'm:f'}\n"
    )
    schedule("apply", "nightly.yaml")
    ended = schedule(*args)
    assert ended.code == 2
    assert told in ended.err + ended.out


def test_a_ledger_that_cannot_be_opened_is_the_machines_fault(schedule: Command) -> None:
    Path("broken.db").write_bytes(b"this is no database" * 100)
    ended = schedule("list", "--ledger", "broken.db")
    assert (ended.code, ended.err[:8]) == (3, "[OAG806]")


def test_times_are_in_the_future(schedule: Command) -> None:
    first = schedule("next", "nightly.yaml", "--count", "1").out.split()[1]
    assert datetime.fromisoformat(first) > datetime.now(UTC)
