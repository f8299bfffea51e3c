"""The kinds of faults: their names, and which of them a job can meet.

Owns `Kind`, `read_kinds` and `choose`. Pure: what is there comes in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final, get_args

from openautoglm.errors import InvalidParameterError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Kind: TypeAlias = Literal[
    "worker",
    "driver",
    "both",
    "pause",
    "torn-file",
    "disk-full",
    "disk-error",
    "busy",
    "clock-jump",
    "database-restart",
    "server-errors",
    "server-down",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
KILLS: Final[tuple[Kind, ...]] = ("worker", "driver", "both", "pause")
"""What every job can meet."""

_NO_LIBRARY: Final = "the package was built without its compiled libraries, or not for Linux"
_NO_SERVER: Final = "the job asks no model server by a URL"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a job stands on, as far as faults go by it.

    Attributes:
        has_library: disks and clocks can be made to fail.
        has_disk: ledger or sink are on a disk of this machine.
        has_files: the sink is files of this machine.
        has_server: a model is asked by a URL.
        has_restart: there is a command that starts a database again.
    """

    has_library: bool
    has_disk: bool
    has_files: bool
    has_server: bool
    has_restart: bool

    def refusals(self) -> Iterator[tuple[Kind, str]]:
        """Yield the kinds that cannot be, each with the reason."""
        if not self.has_library:
            yield from ((kind, _NO_LIBRARY) for kind in _OF_LIBRARY)
        elif not self.has_disk:
            reason = "neither ledger nor sink are on a disk of this machine"
            yield from (("disk-full", reason), ("disk-error", reason))
        if not self.has_files:
            yield "torn-file", "the sink is not files of this machine"
        if not self.has_server:
            yield from (("server-errors", _NO_SERVER), ("server-down", _NO_SERVER))
        if not self.has_restart:
            yield "database-restart", "no command was given for it (--database-restart)"


_OF_LIBRARY: Final[tuple[Kind, ...]] = (
    *("disk-full", "disk-error", "busy", "clock-jump", "server-down"),
)


def read_kinds(names: Sequence[str] | None) -> tuple[Kind, ...] | None:
    """Return kinds of faults by name; None where none is named.

    Raises:
        InvalidParameterError: there is no such kind.
    """
    for name in names or ():
        if name not in KINDS:
            raise InvalidParameterError(
                "there is no such kind of fault",
                got=repr(name),
                fix=suggest(name, KINDS) or f"use {', '.join(KINDS)}",
            )
    return tuple(kind for kind in KINDS if kind in names) if names else None


def choose(
    asked: Sequence[Kind] | None, ground: Ground
) -> tuple[tuple[Kind, ...], Mapping[str, str]]:
    """Return the kinds that are to be, and why others are not.

    Args:
        asked: by name; None is all that can be.
        ground: of the job.

    Raises:
        InvalidParameterError: one was asked for that cannot be.
    """
    refused = dict(ground.refusals())
    for kind in asked or ():
        if kind in refused:
            raise InvalidParameterError(
                f"this job cannot meet the fault `{kind}`",
                got=refused[kind],
                fix="leave it out, or leave out all kinds to have those that can be",
            )
    chosen = tuple(kind for kind in asked or KINDS if kind not in refused)
    return chosen, {} if asked else {str(kind): why for kind, why in refused.items()}
