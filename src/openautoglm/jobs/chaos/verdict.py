"""Whether every row of a job is in one place, once: the source against sink and quarantine.

Owns `Places`. Holds the keys of all rows in memory. Knows nothing of faults.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from openautoglm.data import open_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.jobs.spec import JobSpec


class Places(NamedTuple):
    """Where rows are.

    Attributes:
        rows: of the source.
        answered: distinct ones in the sink.
        quarantined: distinct ones there.
        lost: in neither.
        doubled: more than once in the sink, or in both.
    """

    rows: int
    answered: int
    quarantined: int
    lost: int
    doubled: int


def places(spec: JobSpec, quarantined: Iterable[str]) -> Places:
    """Look at every row of the source, of the sink, and in quarantine.

    Args:
        spec: of a job that ended.
        quarantined: keys of rows.

    Raises:
        InputNotFoundError: there is no source or no sink any more.
    """
    wanted = Counter(_keys(spec.source, spec.id_column))
    found = Counter(_keys(spec.sink, spec.id_column or "key"))
    failed = Counter(quarantined)
    both = found + failed
    return Places(
        rows=wanted.total(),
        answered=len(found),
        quarantined=len(failed),
        lost=(wanted - both).total(),
        doubled=(both - wanted).total(),
    )


def _keys(url: str, column: str | None) -> Iterable[str]:
    source = open_source(url)
    try:
        for record in source.read():
            yield record.key if column is None else str(record.values.get(column, record.key))
    finally:
        source.close()
