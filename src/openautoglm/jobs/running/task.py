"""A row on its way through a worker: `Task`, and what its work can end in besides an outcome.

Knows nothing of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, final

import msgspec

if TYPE_CHECKING:
    from openautoglm.data.source import Record
    from openautoglm.jobs.running.open_shard import OpenShard

Lot: TypeAlias = Literal["usual", "alone", "last", "out"]
"""How a row is worked on: among others; as the only one, since a worker may have died of it; as the
only one and behind all others of its shard, since a worker did; not at all, since several did."""


@final
class Task(msgspec.Struct, eq=False):
    """A row that is to be worked on. One thread at a time has it.

    Attributes:
        shard: which it is of.
        ordinal: its place there.
        record: what the source gave.
        lot: how it is worked on.
        tries: how often it was tried.
        counted: those of them that count; tries while the model's server was down do not.
    """

    shard: OpenShard
    ordinal: int
    record: Record
    lot: Lot = "usual"
    tries: int = 0
    counted: int = 0


@final
class Trouble(msgspec.Struct, eq=False):
    """A try that failed with an error that may pass.

    Attributes:
        error: what was raised.
        wait_s: how long whoever raised it asks to wait.
    """

    error: BaseException
    wait_s: float = 0.0


@final
class Parked(msgspec.Struct, eq=False):
    """A row whose answer is under way for another row with the same values.

    Attributes:
        same: what they have in common; the key of a cache.
    """

    same: bytes
