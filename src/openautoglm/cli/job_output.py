"""What is printed of jobs: lines for people, JSON for programs.

Knows nothing of ledgers or of how a job is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.jobs.ledger.records import Counts, Quarantined
    from openautoglm.jobs.progress import Progress


def as_json(progress: Progress) -> str:
    """Return a job's progress as one line of JSON."""
    import msgspec

    return msgspec.json.encode(progress).decode()


def listed(progress: Progress) -> str:
    """Return a job as one line of a list."""
    return f"{progress.job:<32} {progress.state:<9} {rows_text(progress.counts)}"


def told(progress: Progress) -> Iterator[tuple[str, str]]:
    """Yield label and value of all that is known of a job."""
    counts = progress.counts
    yield "job", progress.job
    yield "name", progress.name
    yield "state", f"{progress.state}: {progress.reason}" if progress.reason else progress.state
    yield "rows", rows_text(counts)
    yield "shards", f"{counts.shards_done:,} of {counts.shards:,} written"
    yield "tokens", f"{counts.tokens:,}"
    if pace := pace_text(progress):
        yield "pace", pace


def rows_text(counts: Counts) -> str:
    """Say how many rows are done, of how many, and how many of them failed.

    Example:
        >>> from openautoglm.jobs.ledger.records import Counts
        >>> rows_text(Counts(shards=1, shards_done=0, rows=2000, ok=1000, failed=1, tokens=0))
        '1,001 of 2,000 rows, 1 failed'
    """
    of = "" if counts.rows is None else f" of {counts.rows:,}"
    return f"{counts.done:,}{of} rows, {counts.failed:,} failed"


def pace_text(progress: Progress) -> str:
    """Say how fast it goes and how long it will take; empty where nobody knows."""
    parts = []
    if progress.eta_s is not None and progress.state == "running":
        parts.append(f"{duration(progress.eta_s)} left")
    if progress.rows_per_s is not None:
        parts.append(f"{_figure(progress.rows_per_s)} rows/s")
    if progress.tokens_per_s:
        parts.append(f"{_figure(progress.tokens_per_s)} tokens/s")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Write seconds for people.

    Example:
        >>> duration(75), duration(3700)
        ('1:15', '1:01:40')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:,}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def quarantined_line(row: Quarantined) -> str:
    """Return a row that failed as one line of JSON."""
    import msgspec

    told_of = {
        "key": row.key,
        "shard": row.shard,
        "ordinal": row.ordinal,
        "tries": row.tries,
        "error": msgspec.Raw(row.error or b"null"),
        "values": msgspec.Raw(row.values or b"null"),
    }
    return msgspec.json.encode(told_of).decode() + "\n"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004 - from there on no fraction matters
