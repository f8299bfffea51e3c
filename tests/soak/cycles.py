"""Load and unload plugins at every level, and libraries of kernels, again and again in one process.

After a warm-up nothing may stay behind: memory, descriptors, threads, shared segments. Children
count their own memory. `python tests/soak/cycles.py` is the long form.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import logging
import os
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from table import at_least, at_most, finish, told  # type: ignore[import-not-found] # so is this

from openautoglm import ops
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS = ("L0", "L1", "L2", "kernels", "replacements")
WARM_UP, LONG_WARM_UP = 40, 120
LONG, GROWTH_MB = 500, 2.0
SAMPLES = 5
SUPERVISION = Supervision(heartbeat_s=0.2, start_s=20.0, stop_s=1.0)
SETTLE_S = 1.3  # timers of what was stopped hold it until they are over
PLUGIN = """
import numpy as np

TABLE = np.zeros(50_000, np.float32)  # what a plugin that is not let go of would keep

class Thing:
    def add(self, x, y):
        return x + y
"""


@dataclass
class Grown:
    """What stayed behind of so many cycles of one kind."""

    cycles: int = 0
    memory_mb: float = 0.0
    children_mb: float = 0.0
    descriptors: int = 0
    threads: int = 0
    segments: int = 0
    cycle_ms: float = 0.0


@dataclass
class Outcome:
    """By kind; a kind that cannot be had here is left out, with the reason."""

    grown: dict[str, Grown] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What this process holds now."""

    memory: int
    children: int
    descriptors: int
    threads: int
    segments: int

    @classmethod
    def now(cls) -> State:
        """Look once timers are over and what can be is collected; pages come and go, so often."""
        threading.Event().wait(SETTLE_S)
        gc.collect()
        _trim()
        looks = []
        for _ in range(SAMPLES):
            looks.append(_rss("self"))
            threading.Event().wait(0.01)
        threads = Path("/proc/self/task").glob("*/children")
        children = [child for each in threads for child in each.read_text("ascii").split()]
        links = [_link(path) for path in Path("/proc/self/fd").iterdir()]
        return cls(
            memory=min(looks),
            children=sum(map(_rss, children)),
            descriptors=len(links),
            threads=threading.active_count(),
            segments=sum("memfd:" in line for line in _maps()),
        )


def _trim() -> None:
    """Let the C library give back what is free: how much of that it keeps is its own affair."""
    ctypes.CDLL(None).malloc_trim(0)


def _maps() -> list[str]:
    return Path("/proc/self/maps").read_text("utf-8").splitlines()


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - what it names is no file
    except OSError:
        return ""


def _rss(process: str) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Version:
    """What is installed, without an inventory."""

    manifest: Manifest
    path: tuple[Path, ...]


def version(number: str, folder: Path, level: str) -> Version:
    """Return a version of the plugin."""
    provides = Provides(
        point="bare", contract=1, name="thing", object="cycle_thing:Thing", idempotent=True
    )
    manifest = Manifest(
        id="soak.thing",
        name="soak-thing",
        version=number,
        package="cycle_thing",
        host_api=">=1.0,<2",
        isolation=level,  # type: ignore[arg-type] # one of KINDS
        limits=Limits(call_timeout_s=20.0),
        provides=(provides,),
    )
    return Version(manifest, (folder,))


@contextmanager
def plugins(level: str) -> Iterator[Callable[[int], None]]:
    """Return a cycle: a plugin is started, called with an array, and stopped."""
    with _folder() as folder, PluginHost(supervision=SUPERVISION, levels=(level,)) as host:  # type: ignore[arg-type] # a level
        rows = np.arange(20_000, dtype=np.float32)

        def cycle(_: int) -> None:
            running = host.start(version("1", folder, level), isolation=level)  # type: ignore[arg-type] # a level
            got: Any = running.remote("thing").call("add", rows, 1)
            assert got[7] == 8
            host.stop(running)

        yield cycle


@contextmanager
def replacements() -> Iterator[Callable[[int], None]]:
    """Return a cycle: a plugin is replaced by its next version."""
    from openautoglm.plugins.rollout import Canary

    plan = Canary(weights=(100,), requests=0, keep_requests=0)
    with _folder() as folder, PluginHost(supervision=SUPERVISION) as host:
        host.start(version("0", folder, "L1"))
        rows = np.arange(20_000, dtype=np.float32)

        def cycle(number: int) -> None:
            report: Any = host.replace(
                "soak.thing", version(str(number + 1), folder, "L1"), plan=plan
            )
            assert report.ok, str(report)
            got: Any = host.rollouts.remote("soak.thing", "thing").call("add", rows, 1)
            assert got[7] == 8

        yield cycle


@contextmanager
def kernels() -> Iterator[Callable[[int], None]]:
    """Return a cycle: a library is loaded, called, swapped, called, unloaded."""
    from swap import builds  # type: ignore[import-not-found] # beside; torch, for one kind alone

    paths = builds()
    array = np.zeros(8, "f4")

    def cycle(number: int) -> None:
        library = ops.load_library(paths[number % len(paths)], name="tagged")
        ops.get("tagged")(array)
        library.swap(paths[(number + 1) % len(paths)])
        ops.get("tagged")(array)
        library.unload()

    yield cycle


@contextmanager
def _folder() -> Iterator[Path]:
    with ExitStack() as stack:
        with owned_by("soak"):
            POINTS.add(BARE.name, BARE)
        stack.callback(POINTS.revoke, "soak")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openautoglm-soak-")))
        (folder / "cycle_thing").mkdir()
        (folder / "cycle_thing" / "__init__.py").write_text(PLUGIN, "utf-8")
        yield folder


def leaked() -> object:
    """Leave memory, a descriptor and a thread behind."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return bytearray(os.urandom(1 << 17)), os.open(os.devnull, os.O_RDONLY)


def measured(cycle: Callable[[int], None], cycles: int, *, leaks: bool) -> Grown:
    """Go through a warm-up and so many cycles, with looks in between; return what these left."""
    kept: list[object] = []
    warm_up, parts = (WARM_UP, 3) if cycles < LONG else (LONG_WARM_UP, 10)
    for number in range(warm_up):
        cycle(number)
    states, taken_s = [State.now()], 0.0
    for part in range(parts):
        began = time.monotonic()
        for number in range(cycles * part // parts, cycles * (part + 1) // parts):
            cycle(warm_up + number)
            if leaks:
                kept.append(leaked())
        taken_s += time.monotonic() - began
        states.append(State.now())
    before, after = states[0], states[-1]
    return Grown(
        cycles=cycles,
        memory_mb=_growth_mb([state.memory for state in states]),
        children_mb=_growth_mb([state.children for state in states]),
        descriptors=after.descriptors - before.descriptors,
        threads=after.threads - before.threads,
        segments=after.segments - before.segments,
        cycle_ms=round(taken_s / cycles * 1e3, 1),
    )


def _growth_mb(looks: list[int]) -> float:
    """Return what all cycles add by the median slope: a cache that fills once is no leak."""
    pairs = itertools.combinations(enumerate(looks), 2)
    slope = statistics.median((b - a) / (n - m) for (m, a), (n, b) in pairs)
    return round(slope * (len(looks) - 1) / 2**20, 2)


def run(*, cycles: int, kinds: list[str], leaks: bool = False) -> Outcome:
    """Go through the cycles of each kind."""
    outcome = Outcome()
    for kind in kinds:
        if kind == "L2" and not supported().sandbox:
            outcome.left_out[kind] = "; ".join(supported().reasons)
            continue
        made = {"kernels": kernels, "replacements": replacements}.get(kind)
        with plugins(kind) if made is None else made() as cycle:
            outcome.grown[kind] = measured(cycle, cycles, leaks=leaks)
    return outcome


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where something stayed behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=LONG, help="of each kind")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--leak", action="store_true", help="leave something behind, to be found")
    options = parser.parse_args()
    logging.getLogger("openautoglm.plugins").setLevel(logging.CRITICAL)
    outcome = run(cycles=options.cycles, kinds=options.kind or list(KINDS), leaks=options.leak)
    rows = [told(f"{kind}: left out", why) for kind, why in outcome.left_out.items()]
    for kind, grown in outcome.grown.items():
        rows += [
            at_least(f"{kind}: load/unload cycles", grown.cycles, options.cycles),
            at_most(f"{kind}: memory grown, MB", grown.memory_mb, GROWTH_MB),
            at_most(f"{kind}: memory of children grown, MB", grown.children_mb, GROWTH_MB),
            at_most(f"{kind}: descriptors grown", grown.descriptors, 0),
            at_most(f"{kind}: threads grown", grown.threads, 0),
            at_most(f"{kind}: shared segments grown", grown.segments, 0),
            told(f"{kind}: a cycle takes, ms", grown.cycle_ms),
        ]
    finish("Loading and unloading", outcome, rows)


if __name__ == "__main__":
    main()
