"""What a node, or a cluster as a whole, lacks: `Finding`; all of them: `Report`.

Values alone, the same as their JSON.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Final, final

import msgspec

if TYPE_CHECKING:
    from openautoglm.jobs.orders import Fault

DRIVER: Final = "driver"
"""The machine where the doctor was asked, and from where a job is run."""
CLUSTER: Final = "cluster"
"""All nodes together."""


@final
class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as a job needs it.

    Attributes:
        node: where; `DRIVER`, `CLUSTER`, or the address of a node.
        what: what was looked at, such as "ledger".
        problem: what is the matter, lower case, no full stop.
        got: what was found there.
        fix: what to do.
        is_note: a job runs all the same.
    """

    node: str
    what: str
    problem: str
    got: str = ""
    fix: str = ""
    is_note: bool = False


@final
class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a node; None where it did not say.

    Attributes:
        node: its address, or `DRIVER`.
        host: what it calls itself.
        python: version.
        openautoglm: version.
        ray: version.
        memory_bytes: that may still be taken.
        disk_bytes: free, where temporary files go.
        resources: by Ray's names; of the whole node, not of what is free now.
    """

    node: str
    host: str | None = None
    python: str | None = None
    openautoglm: str | None = None
    ray: str | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    resources: Mapping[str, float] = {}


@final
class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found."""

    nodes: tuple[NodeFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def lacks_nothing(self) -> bool:
        """Whether the job can run there, as far as was looked."""
        return all(finding.is_note for finding in self.findings)


def of_fault(node: str, what: str, fault: Fault) -> Finding:
    """Return an error of a node as a finding."""
    return Finding(node=node, what=what, problem=fault.problem, got=fault.got, fix=fault.fix)
