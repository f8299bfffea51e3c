"""Slots: the times of schedules that came, and what became of each; and schedules as they stand.

Owns `Slot`, `Entry`, and the id of a slot's job. Knows nothing of databases.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias, final

import msgspec

from openautoglm.jobs.schedules.schedule import Schedule  # noqa: TC001 - msgspec reads it

Kind: TypeAlias = Literal["time", "manual", "backfill"]
"""Of a slot: the schedule's own; somebody's who wanted the job now; or somebody's who wanted past
times made up for."""

SlotState: TypeAlias = Literal[
    "waiting", "claimed", "launched", "ended", "skipped", "missed", "failed"
]
"""Of a slot. `waiting` for its jitter or its turn; `claimed` by a scheduler that launches its job
now, or died over it; `launched`; `ended`, as far as somebody had to know whether the job is over;
`skipped` for its overlap with an earlier one; `missed`, since no scheduler was there in time, it
and the times after it; `failed`: there is no job, for the reason that is given."""

REDONE: Final[frozenset[SlotState]] = frozenset({"skipped", "missed", "failed"})
"""States in which a slot has no job, and may be asked for again."""

_UTC_TEXT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_WHOLE: Final = 1 << 64


@final
class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One time of a schedule, and what became of it.

    Attributes:
        schedule: its name.
        fire: the time, in UTC.
        kind: whose wish it is.
        state: what became of it.
        due: when it is launched at the earliest: `fire` and the jitter.
        job: id of its job, from `claimed` on.
        fired: when the job was launched.
        error: why it was skipped, missed or failed.
    """

    schedule: str
    fire: datetime
    kind: Kind = "time"
    state: SlotState = "waiting"
    due: datetime
    job: str | None = None
    fired: datetime | None = None
    error: str = ""


@final
class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands.

    Attributes:
        schedule: what was applied.
        is_paused: until it is resumed.
        created: when it was first applied; what `every` without a `start` is counted from.
        enabled_at: when it was applied, changed or resumed last. No time before it fires.
        seen: until when its times have been dealt with.
        turn: names the state of the schedule and its slots; another one whenever they change.
    """

    schedule: Schedule
    is_paused: bool
    created: datetime
    enabled_at: datetime
    seen: datetime
    turn: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.schedule.name

    @property
    def is_on(self) -> bool:
        """Whether it fires."""
        return self.schedule.enabled and not self.is_paused

    def next(self, count: int = 1, after: datetime | None = None) -> list[datetime]:
        """Return the times to come, in UTC, whether it fires or not."""
        moment = max(after or datetime.now(UTC), self.enabled_at)
        times = self.schedule.times(self.created).after(moment)
        return [time for time, _ in zip(times, range(count), strict=False)]


def job_id(slot: Slot) -> str:
    """Return the id of a slot's job, the same whoever asks, and no other slot's."""
    digits = "%Y%m%dT%H%M%SZ" if slot.kind != "manual" else "%Y%m%dT%H%M%S.%fZ"
    return f"{slot.schedule}-{slot.fire.astimezone(UTC).strftime(digits)}"


def jitter(name: str, fire: datetime, most_s: float) -> timedelta:
    """Return by how much a time is put off: at random by the looks of it, and always the same."""
    if not most_s:
        return timedelta(0)
    seed = hashlib.sha256(f"{name}\n{stamp(fire)}".encode()).digest()
    return timedelta(seconds=most_s * int.from_bytes(seed[:8], "big") / _WHOLE)


def stamp(moment: datetime) -> str:
    """Return a moment as the text that databases keep: such texts sort as the moments do.

    Example:
        >>> stamp(datetime(2026, 11, 23, 16, tzinfo=UTC))
        '2026-11-23T16:00:00.000000Z'
    """
    return moment.astimezone(UTC).strftime(_UTC_TEXT)


def moment(text: str) -> datetime:
    """Return the moment of a `stamp`."""
    return datetime.fromisoformat(text)
