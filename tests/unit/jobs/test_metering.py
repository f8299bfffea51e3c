"""Pace and what is left are those of the last half minute."""

from __future__ import annotations

from openautoglm.jobs.ledger.records import Counts, JobRecord, State
from openautoglm.jobs.metering import Meter


def record(state: State = "running", *, is_planned: bool = True) -> JobRecord:
    return JobRecord(
        id="j",
        name="a job",
        spec=b"",
        fingerprint={},
        state=state,
        reason="",
        is_planned=is_planned,
        created_s=0.0,
        changed_s=0.0,
    )


def counts(ok: int, *, failed: int = 0, rows: int | None = 1000) -> Counts:
    return Counts(shards=10, shards_done=0, rows=rows, ok=ok, failed=failed, tokens=10 * ok)


def test_a_pace_is_known_from_the_second_look_on() -> None:
    meter = Meter()
    first = meter.progress(record(), counts(0), now_s=100.0)
    assert (first.rows_per_s, first.eta_s) == (None, None)
    second = meter.progress(record(), counts(90, failed=10), now_s=102.0)
    assert second.rows_per_s == 50.0
    assert second.tokens_per_s == 450.0
    assert second.eta_s == 18.0
    assert second.counts.done == 100


def test_only_the_last_half_minute_counts() -> None:
    meter = Meter()
    for second in range(60):
        progress = meter.progress(record(), counts(second), now_s=float(second))
    assert progress.rows_per_s == 1.0
    for second in range(60, 100):
        progress = meter.progress(record(), counts(59), now_s=float(second))
    assert progress.rows_per_s == 0.0
    assert progress.eta_s is None


def test_no_end_is_told_while_rows_are_not_known() -> None:
    for unknown in (counts(10, rows=None), counts(10)):
        meter = Meter()
        is_planned = unknown.rows is None
        meter.progress(record(is_planned=is_planned), counts(0), now_s=0.0)
        progress = meter.progress(record(is_planned=is_planned), unknown, now_s=1.0)
        assert progress.rows_per_s == 10.0
        assert progress.eta_s is None


def test_a_pause_is_no_part_of_the_pace() -> None:
    meter = Meter()
    meter.progress(record(), counts(0), now_s=0.0)
    paused = meter.progress(record("paused"), counts(100), now_s=1.0)
    assert paused.rows_per_s is None
    meter.progress(record(), counts(100), now_s=20.0)
    assert meter.progress(record(), counts(110), now_s=21.0).rows_per_s == 10.0
