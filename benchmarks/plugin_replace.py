"""Replacing a plugin under load: the change of routes, calls meanwhile, and what a route costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from openautoglm.plugins.points import POINTS
from openautoglm.plugins.rollout import Rollouts
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE
from openautoglm.testing.versions import Host, Running, manifest
from timing import medians_s, report

SOAK = Path(__file__).parents[1] / "tests" / "soak" / "replace.py"
REPLACEMENTS = 240
CALLS, ROUNDS = 2_000, 15
FLIP_AIM_US, RATIO_AIM = 1_000.0, 2.0


def route_us() -> float:
    """Return what a routed call costs beyond the call itself, in microseconds."""
    with owned_by("benchmark"):
        POINTS.add(BARE.name, BARE)
    rollouts, running = Rollouts(Host()), Running(manifest(), lambda *_: None)
    rollouts.adopt(running)
    routed, plain = rollouts.remote("acme.thing", "thing"), running.remote("thing")
    taken = medians_s(
        {
            "routed": lambda: [routed.call("run", n) for n in range(CALLS)],
            "plain": lambda: [plain.call("run", n) for n in range(CALLS)],
        },
        rounds=ROUNDS,
    )
    rollouts.close()
    POINTS.revoke("benchmark")
    return (taken["routed"] - taken["plain"]) / CALLS * 1e6


def main() -> None:
    """Run the soak and print its figures."""
    command = [sys.executable, str(SOAK), "--replacements", str(REPLACEMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    rows: list[dict[str, str | float | None]] = [
        {"figure": name, "value": value, "aim": aim}
        for name, value, aim in (
            ("replacements", found["replacements"], None),
            ("requests meanwhile", found["requests"], None),
            ("lost", len(found["lost"]), 0),
            ("wrong", len(found["wrong"]), 0),
            ("ended otherwise than they should", len(found["surprises"]), None),
            ("change of routes, longest, us", found["flip_max_us"], FLIP_AIM_US),
            ("calls wait while state moves, p50, ms", found["held_p50_ms"], None),
            ("p99 steady, ms", found["steady_p99_ms"], None),
            ("p99 while replacing, ms", found["p99_ms"], None),
            ("p99 while replacing / steady", found["p99_ratio"], RATIO_AIM),
            ("a route costs a call, us", round(route_us(), 2), None),
        )
    ]
    report(
        "Replacing plugins under load",
        rows,
        notes="Good versions and seven kinds of bad ones in turn, 5 callers, workers at L1.",
    )


if __name__ == "__main__":
    main()
