"""Replace two plugins again and again, by good versions and bad ones, while threads call them.

No request may be lost or answered wrongly, bad versions must be rolled back and good ones promoted,
and calls must stay about as quick as without replacements. One plugin has state: a counter, whose
numbers must come without a gap and without a double. `python tests/soak/replace.py` is the long
form.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import math
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.bus import Bus
from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.rollout import Canary, rollout
from openautoglm.plugins.rollout.calls import RoutedObject
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE, BARE_OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.rollout import RolloutReport

LONG, FLIP_US, RATIO = 1_000, 1_000.0, 2.0  # times are judged in the long form
CALLERS = 5  # of them one counts
PAUSE_S = 0.002  # of a caller between two calls
STEADY_S, STEADY_EVERY = 0.5, 10
PLAN = Canary(
    weights=(5, 100),
    requests=32,
    patience_s=60.0,
    p95_slack_s=0.01,
    alpha=0.01,
    drain_s=10.0,
    keep_requests=50,
)
SUPERVISION = Supervision(heartbeat_s=0.2, start_s=20.0, backoff_s=0.01, stop_s=5.0)
PLUGIN = """
import os
import time

class Good:
    def double(self, value):
        time.sleep(0.001)
        return [value, 2 * value]

class Raises(Good):
    def double(self, value):
        raise ValueError(value)

class Sometimes(Good):
    calls = 0

    def double(self, value):
        self.calls += 1
        if self.calls % 2:
            raise ValueError(value)
        return super().double(value)

class Slow(Good):
    def double(self, value):
        time.sleep(0.05)
        return [value, 2 * value]

class Dies(Good):
    def double(self, value):
        os._exit(3)

class Broken(Good):
    def __init__(self):
        raise ValueError("broken on purpose")

class Counts:
    count = 0

    def next(self):
        self.count += 1
        return self.count

    def export_state(self):
        return self.count

    def import_state(self, state, from_version):
        self.count = state

class Forgets(Counts):
    def import_state(self, state, from_version):
        raise ValueError(f"what is {state}?")

class DiesImporting(Counts):
    def import_state(self, state, from_version):
        os._exit(4)
"""
Name: TypeAlias = Literal["double", "next"]
KINDS: dict[str, tuple[Name, str]] = {  # class: what it is called for, and how it should end
    "Good": ("double", "promoted"),
    "Raises": ("double", "rolled-back"),
    "Counts": ("next", "promoted"),
    "Slow": ("double", "rolled-back"),
    "Good, again": ("double", "promoted"),
    "Forgets": ("next", "rolled-back"),
    "Dies": ("double", "rolled-back"),
    "Broken": ("double", "rejected"),
    "Sometimes": ("double", "rolled-back"),
    "Counts, again": ("next", "promoted"),
    "DiesImporting": ("next", "rolled-back"),
    "Good, still": ("double", "promoted"),
}


@dataclass
class Outcome:
    """What a run came to; `lost`, `wrong` and `surprises` are findings."""

    replacements: int = 0
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    requests: int = 0
    counted: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    retries: int = 0
    flips: int = 0
    flip_p50_us: float = 0.0
    flip_p99_us: float = 0.0
    flip_max_us: float = 0.0
    held_p50_ms: float = 0.0
    held_max_ms: float = 0.0
    steady_p50_ms: float = 0.0
    steady_p99_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    p99_ratio: float = 0.0
    events: int = 0
    seconds: float = 0.0
    threads: int = 0
    processes: int = 0


@dataclass(frozen=True)
class Version:
    """What is installed, without an inventory."""

    manifest: Manifest
    path: tuple[Path, ...]


def version(name: Name, number: str, kind: str, folder: Path) -> Version:
    """Return a version whose code is that of a class of the plugin."""
    provides = Provides(
        point="bare",
        contract=1,
        name=name,
        object=f"soak_thing:{kind.partition(',')[0]}",
        idempotent=name == "double",
        state=name == "next",
    )
    manifest = Manifest(
        id=f"soak.{name}",
        name=f"soak-{name}",
        version=number,
        package="soak_thing",
        host_api=">=1.0,<2",
        isolation="L1",
        limits=Limits(call_timeout_s=20.0),
        provides=(provides,),
    )
    return Version(manifest, (folder,))


class Callers:
    """Threads that call, and what they got; `is_steady` says where times go."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._stop = threading.Event()
        self.period = ("steady", 0)
        self.times: dict[str, list[float]] = {"steady": [], "replacing": []}
        self.numbers: list[int] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Call inside the block."""
        acts: list[Callable[[int], object]] = [self._double] * (CALLERS - 1) + [self._next]
        threads = [threading.Thread(target=self._call, args=(act, n)) for n, act in enumerate(acts)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _call(self, act: Callable[[int], object], number: int) -> None:
        for value in itertools.count(number, CALLERS):
            if self._stop.wait(PAUSE_S):
                return
            period, began = self.period, time.perf_counter()
            try:
                act(value)
            except OpenAutoGLMError as error:
                self._outcome.lost.append(f"{type(error).__name__}: {error}")
            taken = time.perf_counter() - began
            if self.period == period:
                self.times[period[0]].append(taken)

    def _double(self, value: int) -> None:
        thing: Any = BARE_OBJECTS.get("double")
        if (got := thing.call("double", value)) != [value, 2 * value]:
            self._outcome.wrong.append(f"double {value}: {got}")

    def _next(self, _: int) -> None:
        thing: Any = BARE_OBJECTS.get("next")
        self.numbers.append(thing.call("next"))


def run(*, replacements: int, bad: bool = True) -> Outcome:
    """Replace so often, by versions of each kind in turn."""
    outcome, began = Outcome(), time.monotonic()
    threads = threading.active_count()
    folder = Path(tempfile.mkdtemp(prefix="openautoglm-soak-"))
    (folder / "soak_thing").mkdir()
    (folder / "soak_thing" / "__init__.py").write_text(PLUGIN, "utf-8")
    events: list[object] = []
    reports: list[RolloutReport] = []
    with owned_by("soak"):
        POINTS.add(BARE.name, BARE)
    with Bus() as bus, PluginHost(supervision=SUPERVISION, bus=bus) as host:
        bus.subscribe("plugin.state", events.append, capacity=1 << 20)
        host.start(version("double", "0", "Good", folder), workers=2)
        host.start(version("next", "0", "Counts", folder))
        callers = Callers(outcome)
        kinds = {k: v for k, v in KINDS.items() if bad or v[1] == "promoted"}
        with callers.running():
            for number, kind in enumerate(itertools.islice(itertools.cycle(kinds), replacements)):
                if number % STEADY_EVERY == 0:
                    _steady(host, callers, number)
                callers.period = ("replacing", number)
                reports.append(_replace(host, folder, kind, str(number + 1), outcome))
        outcome.processes = len([w for p in host.plugins for w in p.health.workers])
    POINTS.revoke("soak")
    _take(outcome, reports, callers)
    gc.collect()
    outcome.events = len(events)
    outcome.threads = threading.active_count() - threads
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


@contextmanager
def sabotaged(part: Literal["", "retries", "state"]) -> Iterator[None]:
    """Take a part out of the machinery inside the block, so that a run must have findings."""
    again, move = RoutedObject.is_idempotent, vars(rollout)["move"]
    if part == "retries":
        RoutedObject.is_idempotent = lambda *_: False  # type: ignore[method-assign] # that is the point
    if part == "state":
        vars(rollout)["move"] = lambda *_: 0
    try:
        yield
    finally:
        RoutedObject.is_idempotent = again  # type: ignore[method-assign] # as it was
        vars(rollout)["move"] = move


def _steady(host: PluginHost, callers: Callers, number: int) -> None:
    """Let calls run with nothing beside them; what is retired is gone by then."""
    end = time.monotonic() + 10
    while len(host.plugins) > 2 and time.monotonic() < end:
        threading.Event().wait(0.005)
    threading.Event().wait(0.05)
    callers.period = ("steady", number)
    threading.Event().wait(STEADY_S)


def _replace(
    host: PluginHost, folder: Path, kind: str, number: str, outcome: Outcome
) -> RolloutReport:
    name, expected = KINDS[kind]
    workers = 2 if name == "double" else 1
    report: Any = host.replace(
        f"soak.{name}", version(name, number, kind, folder), plan=PLAN, workers=workers
    )
    ended = outcome.outcomes.setdefault(kind.partition(",")[0], {})
    ended[report.outcome] = ended.get(report.outcome, 0) + 1
    if report.outcome != expected:
        outcome.surprises.append(str(report))
    return report  # type: ignore[no-any-return] # of `Rollouts.replace`


def _take(outcome: Outcome, reports: list[RolloutReport], callers: Callers) -> None:
    steady, others = callers.times["steady"], callers.times["replacing"]
    flips = [flip for report in reports for flip in report.flips_us]
    held = [report.held_ms for report in reports if report.held_ms]
    outcome.replacements = len(reports)
    outcome.requests = len(steady) + len(others)
    outcome.retries = sum(report.retries for report in reports)
    outcome.flips = len(flips)
    outcome.flip_p50_us, outcome.flip_p99_us = _at(flips, 0.5, 1), _at(flips, 0.99, 1)
    outcome.flip_max_us = round(max(flips, default=0.0), 1)
    outcome.held_p50_ms = _at(held, 0.5, 1)
    outcome.held_max_ms = max(held, default=0.0)
    outcome.steady_p50_ms, outcome.steady_p99_ms = _at(steady, 0.5, 1e3), _at(steady, 0.99, 1e3)
    outcome.p50_ms, outcome.p99_ms = _at(others, 0.5, 1e3), _at(others, 0.99, 1e3)
    outcome.max_ms = round(max(others, default=0.0) * 1e3, 2)
    if outcome.steady_p99_ms:
        outcome.p99_ratio = round(outcome.p99_ms / outcome.steady_p99_ms, 2)
    numbers = Counter(callers.numbers)
    outcome.counted = len(callers.numbers)
    wanted = range(1, max(numbers, default=0) + 1)
    outcome.wrong += [f"count {n} came {numbers[n]} times" for n in wanted if numbers[n] != 1]


def _at(values: list[float], part: float, scale: float) -> float:
    if not values:
        return 0.0
    return round(sorted(values)[max(0, math.ceil(part * len(values)) - 1)] * scale, 3)


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replacements", type=int, default=LONG)
    parser.add_argument("--good", action="store_true", help="good versions alone")
    parser.add_argument("--without", choices=["", "retries", "state"], default="")
    options = parser.parse_args()
    logging.getLogger("openautoglm.plugins").setLevel(logging.CRITICAL)
    with sabotaged(options.without):
        outcome = run(replacements=options.replacements, bad=not options.good)
    is_long = options.replacements >= LONG
    rows = [
        at_least("replacements", outcome.replacements, options.replacements),
        at_least("requests meanwhile", outcome.requests, outcome.replacements * PLAN.requests),
        none("requests lost", outcome.lost),
        none("wrong answers", outcome.wrong),
        none("ended otherwise than they should", outcome.surprises),
        *(told(f"{kind}: ended", said) for kind, said in outcome.outcomes.items()),
        told("calls made on the other version", outcome.retries),
        told("change of routes, P99, us", outcome.flip_p99_us),
        at_most("change of routes, longest, us", outcome.flip_max_us, FLIP_US, judged=is_long),
        told("p99 steady, ms", outcome.steady_p99_ms),
        told("p99 while replacing, ms", outcome.p99_ms),
        at_most("p99 while replacing / steady", outcome.p99_ratio, RATIO, judged=is_long),
        at_most("threads grown", outcome.threads, 0),
    ]
    finish("Replacing plugins under load", outcome, rows)


if __name__ == "__main__":
    main()
