"""What a job is made for, as texts by part, and how one set of them differs from another.

Owns `fingerprint`, `check_unchanged` and `check_work`. Knows nothing of where they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.data.location import redacted
from openautoglm.errors import JobChangedError
from openautoglm.jobs.works.digest import of_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.data.source import Description
    from openautoglm.jobs.spec import JobSpec
    from openautoglm.jobs.works.intent import Intent

SOURCE: Final = "source "
"""Before the name of each part of a source."""
OF_ROWS: Final = ("shard_rows", "columns", "sink")
"""Parts that say nothing of what is done with a row."""
MODEL: Final = "model"
SHOWN: Final = 20
"""Differences in a message at most."""


def fingerprint(spec: JobSpec, intent: Intent, description: Description) -> dict[str, str]:
    """Return, by part, texts that change when what a job works on, or with, does."""
    return {
        **{f"{SOURCE}{part}": text for part, text in description.fingerprint.items()},
        **intent.fingerprint(),
        "shard_rows": str(spec.shard_rows),
        "columns": of_value([spec.columns, spec.keep, spec.id_column, spec.on_duplicate_id]),
        "sink": redacted(spec.sink),
    }


def check_unchanged(was: Mapping[str, str], now: Mapping[str, str], *, job: str) -> None:
    """Refuse to go on with something else than a job began with.

    Raises:
        JobChangedError: names each part that differs, what it was and what it is.
    """
    _refuse(list(differences(was, now)), job)


def check_work(was: Mapping[str, str], now: Mapping[str, str], *, job: str) -> None:
    """Refuse to answer rows with something else than the job began with; errors as above.

    Args:
        was: the whole fingerprint of the job; an empty one was never taken.
        now: of the work alone.
        job: its id.
    """
    begun = {p: t for p, t in was.items() if not p.startswith(SOURCE) and p not in OF_ROWS}
    _refuse(list(differences(begun, now)) if was else [], job)


def _refuse(found: list[str], job: str) -> None:
    if not found:
        return
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    raise JobChangedError(
        f"the job `{job}` was begun with something else than it would go on with",
        got="".join(f"\n    {line}" for line in [*found[:SHOWN], *more]),
        fix="bring back what it was, or start a new job; what this one did stays in its sink",
    )


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each part that differs.

    A model on the hub whose revision was not here yet is the same when it is known.

    Example:
        >>> list(differences({"a": "1", "b": "1"}, {"a": "2", "c": "1"}))
        ['a: was 1, is 2', 'b: was 1, is gone', 'c: was not there, is 1']
    """
    for part in dict.fromkeys([*was, *now]):
        before, after = was.get(part), now.get(part)
        if before != after and not _is_known_now(part, before, after):
            yield f"{part}: {_was(before)}, {_is(after)}"


def _is_known_now(part: str, before: str | None, after: str | None) -> bool:
    return part == MODEL and None not in {before, after} and str(after).startswith(f"{before} ")


def _was(text: str | None) -> str:
    return "was not there" if text is None else f"was {text}"


def _is(text: str | None) -> str:
    return "is gone" if text is None else f"is {text}"
