"""What is wrong with one field of a job's description: `Complaint`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that cannot be, and where."""

    field: str
    problem: str
    got: object = None
    fix: str | None = None

    def __str__(self) -> str:
        got = "" if self.got is None else f" ({self.got})"
        return f"{self.field}: {self.problem}{got}"


def of_error(field: str, attempt: Callable[[], object]) -> list[Complaint]:
    """Try something and return what keeps it from being done; nothing where it was done."""
    try:
        attempt()
    except OpenAutoGLMError as error:
        return [Complaint(field=field, problem=error.problem, got=error.got, fix=error.fix)]
    return []
