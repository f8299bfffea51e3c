"""What is known of a work before it is opened: `Intent`. Knows no kind of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.work import Work


class Intent(Protocol):
    """What a job wants of each row. Cheap: no model is loaded, and none is needed to ask."""

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the values that every row must have."""
        ...

    def takes(self) -> tuple[str, ...] | None:
        """Return the names of all values it looks at; None where it may look at any."""
        ...

    def outputs(self) -> tuple[str, ...] | None:
        """Return the names of what comes out; None where only an answer tells."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """See `Work.fingerprint`."""
        ...

    def open(self) -> Work:
        """Load the model, where one is needed, and return what works on rows."""
        ...
