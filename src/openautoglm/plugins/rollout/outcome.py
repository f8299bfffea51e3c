"""What came of a replacement, as data. Knows nothing of how it came."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

Ending: TypeAlias = Literal["promoted", "rolled-back", "rejected", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A version went from one state to another, `at_s` seconds after the beginning."""

    version: str
    old: str
    new: str
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step: a weight, and how the new version did beside the stable one.

    Attributes:
        weight: percent of the calls.
        requests: answers and errors of the new version that were counted.
        errors: of these.
        p95_ms: of the new version.
        stable_requests: like these three, of the stable version in the same time.
        stable_errors: see there.
        stable_p95_ms: see there.
        recorded: recorded requests that were made of each version, counted above.
        seconds: that the step took.
        passed: whether the next step followed.
        reason: in words.
    """

    weight: int
    requests: int
    errors: int
    p95_ms: float | None
    stable_requests: int
    stable_errors: int
    stable_p95_ms: float | None
    seconds: float
    passed: bool
    reason: str
    recorded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutReport:
    """A replacement from its beginning to the moment its outcome was certain.

    Attributes:
        plugin: its id.
        old: the version that served before.
        new: the one that was to take its place.
        outcome: `rejected` before it had any call; `interrupted` by the end of the host.
        reason: in words.
        steps: those that were begun.
        changes: of state, of both versions.
        flips_us: how long each change of the routes took.
        held_ms: how long calls waited while state moved.
        retries: calls that were made again on another version.
        seconds: from beginning to outcome.
    """

    plugin: str
    old: str
    new: str
    outcome: Ending
    reason: str
    steps: tuple[StepReport, ...] = ()
    changes: tuple[Change, ...] = ()
    flips_us: tuple[float, ...] = ()
    held_ms: float = 0.0
    retries: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the new version serves now."""
        return self.outcome == "promoted"

    def to_json(self) -> str:
        """Return it as JSON with sorted keys.

        Example:
            >>> RolloutReport(
            ...     plugin="a.b", old="1", new="2", outcome="promoted", reason=""
            ... ).to_json()[:30]
            '{"changes":[],"flips_us":[],"h'
        """
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def __str__(self) -> str:
        lines = [f"{self.plugin} {self.old} -> {self.new}: {self.outcome}, {self.reason}"]
        lines += [
            f"  {step.weight:>3} %  {step.requests} requests, {step.errors} errors"
            f"{_beside(step)}: {step.reason}"
            for step in self.steps
        ]
        return "\n".join(lines)


def _beside(step: StepReport) -> str:
    if step.p95_ms is None:
        return ""
    stable = "" if step.stable_p95_ms is None else f" (stable {step.stable_p95_ms:.3g})"
    return f", P95 {step.p95_ms:.3g} ms{stable}"
