"""What becomes of slots whose turn has come while a job of the schedule runs: a pure choice.

Owns the rules of overlap. Knows nothing of databases or of how it is known what runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.jobs.schedules.schedule import Overlap
    from openautoglm.jobs.schedules.slot import Slot


@dataclass(frozen=True, slots=True)
class Moves:
    """What is to be done now; slots that are in neither go on waiting.

    Attributes:
        launch: slots.
        skip: slots, each with the reason.
        cancel: whether the jobs that run are to end.
    """

    launch: tuple[Slot, ...] = ()
    skip: tuple[tuple[Slot, str], ...] = ()
    cancel: bool = False


def moves(overlap: Overlap, waiting: Sequence[Slot], running: Sequence[str], *, most: int) -> Moves:
    """Choose what becomes of the slots of one schedule that are due.

    Args:
        overlap: the rule.
        waiting: in order of time; those that were asked for by hand are not among them.
        running: ids of the schedule's jobs that are not done.
        most: how many may wait in a queue.

    Slots of a backfill wait for each other whatever the rule, but for "allow".
    """
    if overlap == "allow":
        return Moves(launch=tuple(waiting))
    own = [slot for slot in waiting if slot.kind == "time"]
    asked = [slot for slot in waiting if slot.kind == "backfill"]
    if not own:
        return Moves(launch=() if running else tuple(asked[:1]))
    match overlap:
        case "skip":
            return _skip(own, running)
        case "queue":
            return _queue(own, running, most)
        case "cancel":
            return _cancel(own, running)
        case _:
            assert_never(overlap)


def _skip(own: Sequence[Slot], running: Sequence[str]) -> Moves:
    first = () if running else (own[0],)
    reason = f"{running[0]} was not done" if running else "an earlier time was launched just then"
    return Moves(launch=first, skip=tuple((slot, reason) for slot in own[len(first) :]))


def _queue(own: Sequence[Slot], running: Sequence[str], most: int) -> Moves:
    first = () if running else (own[0],)
    beyond = own[len(first) :][most:]
    return Moves(launch=first, skip=tuple((slot, f"{most} waited already") for slot in beyond))


def _cancel(own: Sequence[Slot], running: Sequence[str]) -> Moves:
    skip = tuple((slot, "a later time took its place") for slot in own[:-1])
    return Moves(launch=() if running else (own[-1],), skip=skip, cancel=bool(running))
