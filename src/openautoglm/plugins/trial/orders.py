"""What a child of a trial is told: whom it tries, with what, and one question after the other.

Pure data, the same on both sides. Knows nothing of processes.
"""

from __future__ import annotations

from typing import final

import msgspec

from openautoglm.plugins.trial.requests import Request  # noqa: TC001 - msgspec reads it


@final
class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all questions to one child.

    Attributes:
        manifest: of the plugin, as JSON.
        package: folder on which the plugin's package lies.
        requests: recorded ones.
        parts: by label, the path of what `sources` names: a file, or the library built from them.
        lent: files and folders it may read beside its own, such as a model.
        is_quick: fewer calls, where more only add certainty.
        p95_ms: most milliseconds that 95 of 100 calls may take.
    """

    manifest: bytes
    package: str
    requests: tuple[Request, ...] = ()
    parts: dict[str, str] = {}
    lent: tuple[str, ...] = ()
    is_quick: bool = False
    p95_ms: float = 100.0

    @property
    def readable(self) -> tuple[str, ...]:
        """What must be readable beside the package."""
        return (*self.parts.values(), *self.lent)


@final
class Question(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        row: which.
        contribution: label of what it is about; empty for the whole plugin.
        is_repeatable: the contribution gives the same answer again, so answers may be compared.
    """

    row: str
    contribution: str = ""
    is_repeatable: bool = False
