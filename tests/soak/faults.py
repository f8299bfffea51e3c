"""Faults of twelve kinds in the workers of a plugin that is called all the while.

Every call that may be made again must be answered, and rightly; every other one must end in its
answer or in an error; the host must live, and a worker must be back soon.
`python tests/soak/faults.py` is the long form.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.errors import (
    OpenAutoGLMError,
    PluginCallError,
    PluginCrashedError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginUnavailableError,
    SharedTensorError,
)
from openautoglm.plugins.host import PluginHost, RunningPlugin, Supervision
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.points import RemoteObject

PROBE = Path(__file__).parents[1] / "unit" / "plugins" / "host" / "probe.py"
SUPERVISION = Supervision(
    intensity=1_000_000,  # the faults are ours: no quarantine
    backoff_s=0.0,
    heartbeat_s=0.05,
    hung_after_s=0.5,
    start_s=1.0,
    grace_s=0.02,
    attempts=20,
)
CALLERS = 2
LONG, BACK_P95_MS = 1_000, 100.0  # times are judged in the long form
FAULT_S = 0.15  # time of a call that does not end


@dataclass
class Outcome:
    """What a run came to; `lost`, `wrong`, `silent` and `strange` are findings."""

    faults: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    deaths: int = 0
    retries: int = 0
    back_p50_ms: float = 0.0
    back_p95_ms: float = 0.0
    back_max_ms: float = 0.0
    grown_mb: float = 0.0
    descriptors: int = 0
    threads: int = 0


def manifest(name: str = "Probe", *, idempotent: bool, level: str) -> Manifest:
    """Return what the plugin says of itself."""
    return Manifest(
        id="soak.probe",
        name="soak-probe",
        version="1.0",
        package="probe_plugin",
        host_api=">=1.0,<2",
        isolation=level,  # type: ignore[arg-type] # L1 or L2
        limits=Limits(memory_mb=64, call_timeout_s=20.0),
        peers={"numpy": ">=2"},
        provides=(
            Provides(
                point="bare",
                contract=1,
                name="probe",
                object=f"probe_plugin:{name}",
                idempotent=idempotent,
            ),
        ),
    )


@contextmanager
def probe_folder() -> Iterator[Path]:
    """Make the plugin's folder."""
    with owned_by("soak"):
        POINTS.add(BARE.name, BARE)
    folder = Path(tempfile.mkdtemp(prefix="openautoglm-soak-"))
    (folder / "probe_plugin").mkdir()
    shutil.copy(PROBE, folder / "probe_plugin" / "__init__.py")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        POINTS.revoke("soak")


class Faults:
    """Each of the twelve, as a call that ends in an error that can be named beforehand."""

    def __init__(self, host: PluginHost, running: RunningPlugin, folder: Path) -> None:
        self._host, self._running, self._folder = host, running, folder
        self._plain = running.remote("probe")
        self._level = running.level
        died = (PluginCrashedError,)
        crashed: dict[str, tuple[Callable[[], object], tuple[type[Exception], ...]]] = {
            "SIGKILL": (self._signal(signal.SIGKILL), ()),
            "SIGSEGV": (lambda: self._once("crash"), died),
            "SIGSTOP": (self._signal(signal.SIGSTOP), ()),
            "endless loop": (lambda: self._once("spin"), (PluginTimeoutError,)),
            "out of memory": (lambda: self._once("exhaust_memory"), (PluginCallError, *died)),
            "malformed reply": (lambda: self._raw(b"\x94\x00noise"), (PluginProtocolError,)),
            "oversized reply": (lambda: self._raw(b"\xff" * 70_000), (PluginProtocolError,)),
            "slow": (lambda: self._once("wait", 5.0), (PluginTimeoutError,)),
            "descriptor leak": (self._leak, (PluginCallError,)),
            "import failure": (lambda: self._begin("Broken"), (PluginUnavailableError,)),
            "init hang": (lambda: self._begin("Slow"), (PluginUnavailableError,)),
            "stale reference": (self._stale, (SharedTensorError, PluginProtocolError)),
        }
        self.kinds = crashed

    def inject(self, kind: str) -> str | None:
        """Let one happen; return what was strange about its end."""
        act, expected = self.kinds[kind]
        try:
            act()
        except expected:
            return None
        except OpenAutoGLMError as error:
            return f"{kind} ended in {type(error).__name__}: {error.problem}"
        return f"{kind} ended in silence" if expected else None

    def _signal(self, number: int) -> Callable[[], None]:
        def send() -> None:
            ready = [w.pid for w in self._running.health.workers if w.state == "ready"]
            if ready:
                with suppress(ProcessLookupError):  # it died of another fault meanwhile
                    os.kill(ready[0], number)

        return send

    def _once(self, method: str, *args: object) -> object:
        """Call without the retries of the callers: the fault is not to happen again."""
        crew = self._running._crew
        assert crew is not None
        return crew.calls.call(
            ("bare:probe", method), (list(args), {}), idempotent=False, timeout_s=self._time(method)
        )

    @staticmethod
    def _time(method: str) -> float:
        return FAULT_S if method in {"spin", "wait"} else 10.0

    def _raw(self, data: bytes) -> object:
        return self._once("write_raw", data)

    def _leak(self) -> object:
        return self._once("exhaust_files_then_free")

    def _begin(self, name: str) -> None:
        made = manifest(name, idempotent=False, level=self._level)
        self._host.start(made, path=[self._folder], register=False)

    def _stale(self) -> object:
        reference = [0, 900, 7, 0, "<f4", [4], None]
        crossing = msgspec.msgpack.encode([None, reference, None])
        forged = msgspec.msgpack.encode([0, 0, msgspec.msgpack.Ext(1, crossing), []])
        return self._raw(forged)


class Callers:
    """Threads whose calls may all be made again, and what they got."""

    def __init__(self, probe: RemoteObject, outcome: Outcome) -> None:
        self._probe, self._outcome = probe, outcome
        self._stop = threading.Event()
        self._counts = [0] * CALLERS

    @contextmanager
    def running(self) -> Iterator[None]:
        """Call inside the block."""
        threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._outcome.calls = sum(self._counts)

    def _call(self, number: int) -> None:
        rows = np.arange(20_000, dtype=np.float32)
        for value in itertools.count():
            if self._stop.is_set():
                return
            try:
                got: Any = self._probe.call("add", rows, value)
            except OpenAutoGLMError as error:
                self._outcome.lost.append(f"{type(error).__name__}: {error}")
                continue
            if got.shape != rows.shape or got[7] != value + 7 or got[-1] != value + 19_999:
                self._outcome.wrong.append(f"{value}: {got[7]}, {got[-1]}")
            self._counts[number] += 1


def run(*, faults: int, level: str = "L1") -> Outcome:
    """Let at least `faults` faults happen, each kind as often as the others."""
    outcome = Outcome()
    before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
    with probe_folder() as folder, PluginHost(supervision=SUPERVISION) as host:
        running = host.start(
            manifest(idempotent=True, level=level), path=[folder], workers=2, register=False
        )
        callers = Callers(running.remote("probe"), outcome)
        injected = Faults(host, running, folder)
        done: Counter[str] = Counter()
        memory_mb = 0.0
        with callers.running():
            for kind in itertools.islice(itertools.cycle(injected.kinds), faults):
                _settled(running)
                strange = injected.inject(kind)
                if strange is not None:
                    (outcome.silent if "silence" in strange else outcome.strange).append(strange)
                done[kind] += 1
                memory_mb = memory_mb or (_rss_mb() if done.total() > faults // 4 else 0.0)
            _settled(running)
        outcome.grown_mb = round(_rss_mb() - memory_mb, 1)
        outcome.faults = dict(done)
        _take(running, outcome)
        del running, callers, injected
    gc.collect()
    outcome.threads = threading.active_count() - before[0]
    outcome.descriptors = len(list(Path("/proc/self/fd").iterdir())) - before[1]
    return outcome


def _settled(running: RunningPlugin) -> None:
    """Wait until all workers serve: each fault meets a whole plugin."""
    end = time.monotonic() + 30
    while running.state != "running" and time.monotonic() < end:
        threading.Event().wait(0.001)


def _take(running: RunningPlugin, outcome: Outcome) -> None:
    crew = running._crew
    assert crew is not None
    back = sorted(seconds * 1e3 for seconds in crew.back_s)
    outcome.deaths, outcome.retries = crew.crashes, crew.calls.retries
    cuts = statistics.quantiles(back, n=20, method="inclusive")
    outcome.back_p50_ms = round(cuts[9], 1)
    outcome.back_p95_ms = round(cuts[18], 1)
    outcome.back_max_ms = round(back[-1], 1)


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=LONG)
    parser.add_argument("--level", choices=["L1", "L2"], default="L1")
    options = parser.parse_args()
    outcome = run(faults=options.faults, level=options.level)
    is_long = options.faults >= LONG
    rows = [
        at_least("faults", sum(outcome.faults.values()), options.faults),
        at_least("kinds of them", len(outcome.faults), 12),
        at_least("calls meanwhile", outcome.calls, options.faults),
        none("idempotent calls lost", outcome.lost),
        none("wrong answers", outcome.wrong),
        none("silent ends", outcome.silent),
        none("ends in another error", outcome.strange),
        at_most("host deaths", 0, 0),  # who reads this is the host
        told("workers that died", outcome.deaths),
        told("calls made again", outcome.retries),
        told("a worker is back, P50, ms", outcome.back_p50_ms),
        at_most("a worker is back, P95, ms", outcome.back_p95_ms, BACK_P95_MS, judged=is_long),
        told("memory grown, MB", outcome.grown_mb),
        at_most("descriptors grown", outcome.descriptors, 0, judged=is_long),
        at_most("threads grown", outcome.threads, 0),
    ]
    finish(f"Faults of workers at {options.level}", outcome, rows)


if __name__ == "__main__":
    main()
