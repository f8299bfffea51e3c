"""How a row is tried, and what a try can end in besides an outcome: `Lot`, `Trouble`, `Parked`."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import msgspec

Lot: TypeAlias = Literal["usual", "alone", "last", "out"]
"""How a row is worked on: among others; as the only one, since a worker may have died of it; as the
only one and behind all others of its shard, since a worker did; not at all, since several did."""


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
