"""What a node is asked, and what it says: JSON on one standard input, a line of JSON each back.

Owns `Question` and `Said`. Knows neither who asks nor how it is found out.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from typing import Final, Literal, TypeAlias, final

import msgspec

from openautoglm.jobs.orders import Fault  # noqa: TC001 - msgspec reads the annotation
from openautoglm.jobs.spec import JobSpec  # noqa: TC001 - msgspec reads the annotation

Topic: TypeAlias = Literal["openautoglm", "ledger", "source", "sink", "work", "model"]
Fact: TypeAlias = str | float | int | bool | None

PROGRAM: Final = "openautoglm.jobs.cluster.node"
"""The module that answers."""


@final
class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at.

    Attributes:
        spec: of a job; None looks at what any job needs.
        ledger: its URL; None is not to be looked at.
        mark: path of a file in the sink's folder, which the driver made; None where it made none.
    """

    spec: JobSpec | None = None
    ledger: str | None = None
    mark: str | None = None


@final
class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node found out about one thing, or that it begins with it.

    Attributes:
        topic: what was looked at.
        is_begun: it only begins; what comes of it is another line.
        facts: by name.
        fault: what is in the way.
    """

    topic: Topic
    is_begun: bool = False
    facts: Mapping[str, Fact] = {}
    fault: Fault | None = None
