"""How a running plugin is, as data. Knows nothing of how it is found out."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """One process.

    Attributes:
        pid: its number.
        state: "starting", "ready", "ending" or "dead".
        silent_s: seconds it owes the answer to a heartbeat.
        rss_bytes: memory it holds, shared pages included.
    """

    pid: int
    state: str
    silent_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A running plugin.

    Attributes:
        plugin: its id.
        version: of the plugin.
        level: "L0", "L1", "L2" or "L3".
        state: "starting", "running", "restarting", "quarantined", "failed", "stopping", "stopped".
        reason: of the last change of state.
        workers: its processes; none at L0 and L3.
        calls: made so far.
        in_flight: under way now.
        retries: calls that were made again after their worker died.
        timeouts: calls that had no answer in time.
        crashes: workers that died without being asked to.
        restarts: workers that were started in place of a dead one.
        back_ms: from the death of each such worker to the readiness of the next.
        shared_bytes: memory that is shared with the workers.
        dropped_lines: of the log, printed faster than the host takes them.
    """

    plugin: str
    version: str
    level: str
    state: str
    reason: str = ""
    workers: tuple[WorkerHealth, ...] = ()
    calls: int = 0
    in_flight: int = 0
    retries: int = 0
    timeouts: int = 0
    crashes: int = 0
    restarts: int = 0
    back_ms: tuple[float, ...] = ()
    shared_bytes: int = 0
    dropped_lines: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)
