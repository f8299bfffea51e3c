"""Deaths of a job: what a claim reads of them, and when they are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from openautoglm.jobs.ledger import deaths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.ledger.database import Found, Session, Value
    from openautoglm.jobs.ledger.records import Evidence
    from openautoglm.jobs.ledger.sql_ledger import SqlLedger

LONG_S = 600.0
COUNTED = "select count(*) from oag_death"
TRIED = "select count(*) from oag_shard where alone > 0 or cleared > 0"


@final
class Counting:
    """A session that counts the rows which it hands out."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.read = 0

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Found]:
        found = self._session.rows(sql, values)
        self.read += len(found)
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


def die(ledger: SqlLedger, job: str, times: int) -> None:
    """Have workers killed, one after the other, at the first shard's second row."""
    for at in range(times):
        claim = ledger.claim(job, f"w{at:03}", lease_s=LONG_S, shard=0)
        assert claim is not None
        ledger.suspect(claim, 1)
        ledger.leave(claim.owner, "killed")


def test_a_claim_reads_its_own_shards_deaths_and_counts_the_others(
    ledger: SqlLedger, job: str
) -> None:
    die(ledger, job, 60)

    def look(session: Session) -> tuple[Evidence, int]:
        counting = Counting(session)
        return deaths.evidence(counting, job, 1), counting.read  # type: ignore[arg-type]  # by __getattr__

    evidence, read = ledger._database.read(look)
    assert (evidence.killed, evidence.hits, evidence.rows_hit, evidence.tries) == (60, 60, 1, 60)
    assert evidence.here == ()
    assert read < 10


def test_a_job_that_is_done_has_no_deaths_and_other_jobs_keep_theirs(
    ledger: SqlLedger, job: str
) -> None:
    die(ledger, job, 3)

    def left(sql: str) -> int:
        return int(ledger._database.read(lambda session: session.rows(sql))[0][0])

    ledger.add_job("other", name="n", spec=b"{}", fingerprint={})
    for state in ("paused", "running"):
        assert ledger.set_state(job, state, among=frozenset({"paused", "running"}))
    assert ledger.set_state("other", "done", among=frozenset({"planned"}))
    assert (left(COUNTED), left(TRIED)) == (3, 1)
    assert ledger.set_state(job, "done", among=frozenset({"running"}))
    assert (left(COUNTED), left(TRIED)) == (0, 0)
