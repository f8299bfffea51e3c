"""What a driver and its worker processes say to each other: `Orders` in, one `Report` out.

A line of JSON each: the first of the worker's standard input, the last of its standard output. The
worker goes on until its work is done, its job is not `running` any more, or its standard input
ends, which is how it learns that the driver is gone. Knows nothing of either of them.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, final

import msgspec

Why: TypeAlias = Literal["done", "told", "unfit", "stuck"]
"""Of a worker's end: no shard is left; its job was stopped, or its driver is gone; it could not
begin, for which the job fails; it cannot go on for want of room, of the ledger or of the sink, for
which the job pauses. In all four it gave its shards back."""

EXITS: Final = {"done": 0, "told": 0, "unfit": 3, "stuck": 4}
"""Exit codes by `Report.why`. Any other one is a crash."""


@final
class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do.

    Attributes:
        ledger: its URL.
        job: of which.
        index: of the worker among `of`, from 0; static assignment goes by it.
        of: how many there are.
        owner: its name in the ledger, which no other worker has or had.
        lease_s: of its shards.
    """

    ledger: str
    job: str
    index: int
    of: int
    owner: str
    lease_s: float


@final
class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error as JSON holds it; the fields of `OpenAutoGLMError`, all of them texts."""

    code: str
    problem: str
    got: str = ""
    fix: str = ""


@final
class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Why a worker ended."""

    why: Why
    error: Fault | None = None
