"""Processes that write are killed at any point: what they were told is kept, is kept."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.data import Shard
from openautoglm.jobs.ledger.records import RowOutcome

if TYPE_CHECKING:
    from .conftest import Opens

LONG_S = 1000.0
SHARDS = 40
ROWS = 60
WRITER = """
import sys
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.ledger.records import RowOutcome

ledger = open_ledger(sys.argv[1])
while (claim := ledger.claim("j", sys.argv[2], lease_s=1000)) is not None:
    print("claimed", claim.shard.index, claim.attempt, flush=True)
    there = ledger.answered(claim)
    left = [at for at in range(60) if at not in there]
    for start in range(0, len(left), 7):
        rows = [
            RowOutcome(ordinal=at, key=str(at), outcome="failed" if at % 10 == 3 else "ok",
                       payload=b"{}", tokens=at)
            for at in left[start:start + 7]
        ]
        ledger.journal(claim, rows, handed=rows[-1].ordinal + 1, lease_s=1000)
        print("kept", claim.shard.index, *(row.ordinal for row in rows), flush=True)
    assert [row.ordinal for row in ledger.outcomes(claim)] == list(range(60))
    ledger.commit(claim, None)
    print("committed", claim.shard.index, flush=True)
"""


def killed_after(url: str, owner: str, lines: int) -> list[list[str]]:
    """Run a writer, kill it when it has told some lines, return all that it told by then."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, url, owner], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        told += writer.stdout.readlines()
    return [line.split() for line in told if line.endswith("\n")]


def test_what_a_killed_process_was_told_is_kept_and_the_next_goes_on_from_there(
    opens: Opens,
) -> None:
    ledger = opens()
    ledger.add_job("j", name="n", spec=b"{}", fingerprint={})
    ledger.add_shards("j", [Shard(index=at, rows=ROWS) for at in range(SHARDS)])
    ledger.set_state("j", "running", among=frozenset({"planned"}))
    kept: set[tuple[int, int]] = set()
    committed: set[int] = set()
    for life, lines in enumerate((5, 33, 90)):
        told = killed_after(opens.url, f"w{life}", lines)
        assert len(told) >= lines
        for what, shard, *rest in told:
            if what == "kept":
                fresh = {(int(shard), int(at)) for at in rest}
                assert not kept & fresh  # no row is worked on again
                kept |= fresh
            elif what == "committed":
                committed.add(int(shard))
        counts = ledger.counts("j")
        assert counts.ok + counts.failed >= len(kept)
        assert counts.shards_done >= len(committed)
        assert ledger.leave(f"w{life}", "killed") <= 1
    assert committed
    finish(opens)
    counts = ledger.counts("j")
    every = SHARDS * ROWS
    assert (counts.shards_done, counts.ok, counts.failed) == (SHARDS, every * 9 // 10, every // 10)
    assert counts.tokens == SHARDS * sum(range(ROWS))
    assert len(list(ledger.quarantined("j"))) == every // 10
    assert is_sound(opens.url)


def finish(opens: Opens) -> None:
    """Do in this process what the killed ones left."""
    ledger = opens()
    while (claim := ledger.claim("j", "last", lease_s=LONG_S)) is not None:
        there = ledger.answered(claim)
        rows = [
            RowOutcome(
                ordinal=at,
                key=str(at),
                outcome="failed" if at % 10 == 3 else "ok",
                payload=b"{}",
                tokens=at,
            )
            for at in range(ROWS)
            if at not in there
        ]
        ledger.journal(claim, rows, handed=ROWS, lease_s=LONG_S)
        ledger.commit(claim, None)


def is_sound(url: str) -> bool:
    if not url.startswith("sqlite"):
        return True  # the server was not killed
    connection = sqlite3.connect(Path(url.removeprefix("sqlite:///")))
    (said,) = connection.execute("pragma integrity_check").fetchone()
    connection.close()
    return bool(said == "ok")
