"""Tables of a ledger, and their version.

Owns `prepare`, which makes a database fit: it works for any group of tables, so that others may
keep theirs in the same database. Knows no kind of database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.jobs.ledger.database import Database, Session

PREFIX: Final = "oag_"
"""What the names of all tables begin with."""

JOBS: Final = "jobs"
"""The group of tables that this package keeps."""

STEPS: Final = (
    (
        """create table oag_job(
num {serial}, id text not null unique, name text not null, spec {bytes} not null,
fingerprint {bytes} not null, state text not null, reason text not null,
is_planned smallint not null default 0, created_s double precision not null,
changed_s double precision not null, driver text not null default '',
lease_boot text not null default '', lease_until double precision not null default 0)""",
        """create table oag_shard(
num {serial}, job text not null references oag_job(id), idx integer not null,
begins text, ends text, row_count bigint, only_rows {bytes}, is_again smallint not null default 0,
owner text not null default '', attempt integer not null default 0,
lease_boot text not null default '', lease_until double precision not null default 0,
crashes integer not null default 0, handed integer not null default 0,
suspect integer, suspects {bytes}, settled integer not null default 0,
ok bigint not null default 0, failed bigint not null default 0, tokens bigint not null default 0,
is_done smallint not null default 0, receipt {bytes}, unique(job, idx))""",
        "create index oag_shard_open on oag_shard(job, idx) where is_done = 0",
        "create index oag_shard_owner on oag_shard(owner) where is_done = 0",
        """create table oag_row(
shard bigint not null, ordinal integer not null, is_ok smallint not null, key text not null,
tries integer not null, tokens bigint not null, payload {bytes} not null,
primary key(shard, ordinal)) {clustered}""",
        """create table oag_quarantine(
shard bigint not null, ordinal integer not null, key text not null, tries integer not null,
error {bytes} not null, content {bytes} not null, primary key(shard, ordinal)) {clustered}""",
        """create table oag_event(
num {serial}, at_s double precision not null, kind text not null, subject text not null,
content {bytes} not null)""",
        "create index oag_event_subject on oag_event(subject, num)",
    ),
    (
        """create table oag_death(
job text not null, owner text not null, idx integer not null, attempt integer not null,
handed integer not null, alone integer, primary key(job, idx, owner, attempt)) {clustered}""",
        "alter table oag_shard add column alone integer not null default 0",
        "alter table oag_shard add column cleared integer not null default 0",
        "create index oag_shard_alone on oag_shard(job) where alone > 0",
    ),
)
"""What each version adds to the one before it."""

_TABLES: Final = """create table if not exists oag_version(
part text primary key, version integer not null)"""


def prepare(database: Database, part: str, steps: Sequence[Sequence[str]]) -> None:
    """Make the tables of a group, or bring them to the version that is known here.

    Args:
        database: where.
        part: name of the group.
        steps: statements that each version adds; there are as many versions as steps.

    Raises:
        LedgerError: they are of a newer version.
    """
    if database.read(lambda session: _version(session, part)) != len(steps):
        database.write(lambda session: _upgrade(session, part, steps))


def _version(session: Session, part: str) -> int:
    if ("oag_version",) not in session.rows("{tables}"):
        return 0
    found = session.rows("select version from oag_version where part = :part", {"part": part})
    return int(found[0][0]) if found else 0


def _upgrade(session: Session, part: str, steps: Sequence[Sequence[str]]) -> None:
    session.rows("{alone}")
    session.change(_TABLES)
    found = _version(session, part)
    if found > len(steps):
        raise LedgerError(
            f"the ledger's tables for {part} are of a newer openautoglm",
            got=f"version {found}; this one knows {len(steps)}",
            fix="use the version of openautoglm that made it, or name another ledger",
        )
    for statements in steps[found:]:
        for statement in statements:
            session.change(statement)
    session.change("delete from oag_version where part = :part", {"part": part})
    session.insert("oag_version", ("part", "version"), [(part, len(steps))])
