"""Workers killed in the middle of what belongs together: sinks, readings, streams, batches.

Each must come to its end as if nothing had happened, or end in an error: rows that are missing,
come twice or are visible by half without a word are findings.
`python tests/soak/sessions.py` is the long form.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from table import at_least, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.data import SINKS, SOURCES, Location
from openautoglm.engine.backend import BACKENDS, LoadSpec, Request
from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.host import remote as crew_remote
from openautoglm.plugins.manifest import Limits, Manifest, Provides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.host import RunningPlugin

KEPT = Path(__file__).parents[1] / "unit" / "plugins" / "host" / "kept.py"
OBJECTS = {"sink": "Sink", "source": "Source", "backend": "Backend"}
TOUGH = Supervision(heartbeat_s=0.1, backoff_s=0.0, longest_backoff_s=0.0, intensity=1_000_000)
TEXT = "what was said before the worker died must not be said again. " * 3
ROWS = 200


@dataclass
class Outcome:
    """What happened, by kind and end; what should not have."""

    kills: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)

    def note(self, kind: str, how: str) -> None:
        """Count an end that is one."""
        self.ended[f"{kind} {how}"] += 1


class Killer:
    """Kills all workers at one step of a session: between two calls, or in the midst of one."""

    def __init__(self, running: RunningPlugin, outcome: Outcome, chance: random.Random) -> None:
        self._running, self._outcome, self._chance = running, outcome, chance
        self._threads: list[threading.Timer] = []
        self.left = 0

    def arm(self, steps: int) -> None:
        """Strike at one of so many steps."""
        self.left = self._chance.randrange(1, steps + 1)

    def step(self) -> None:
        """Take note of a step of the session."""
        self.left -= 1
        if self.left:
            return
        if self._chance.random() < 0.5:
            self._strike()
            return
        timer = threading.Timer(self._chance.random() * 0.004, self._strike)
        timer.start()
        self._threads.append(timer)

    def rest(self) -> None:
        """Wait for what is still to strike."""
        while self._threads:
            self._threads.pop().join()

    def _strike(self) -> None:
        for worker in self._running.health.workers:
            if worker.pid and worker.state == "ready":
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
                    self._outcome.kills += 1


def sink(outcome: Outcome, killer: Killer, place: Path) -> None:
    """Write a file of rows."""
    path = place / "rows"
    path.unlink(missing_ok=True)
    killer.arm(22)
    opened: Any = None
    error = None
    try:
        opened = SINKS.get("kept.sink")(_at(str(path)), None)
        for n in range(20):
            killer.step()
            opened.write([{"n": n}])
        killer.step()
        opened.commit()
        killer.step()
    except OpenAutoGLMError as raised:
        error = raised
        if opened is not None:
            opened.abort()
    killer.rest()
    rows = [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else None
    if rows is not None and rows != [str(n) for n in range(20)]:
        outcome.silent.append(f"sink: half a commit: {rows}, {error}")
    elif rows is None and error is None:
        outcome.silent.append("sink: committed, and nothing is there")
    else:
        outcome.note("sink", "was committed" if error is None else f"ended in {error.code}")


def source(outcome: Outcome, killer: Killer, _: Path) -> None:
    """Read all rows of a source."""
    killer.arm(ROWS)
    got: list[object] = []
    try:
        opened: Any = SOURCES.get("kept.source")(_at(str(ROWS)))
        for record in opened.read():
            got.append(record.values["n"])
            killer.step()
        opened.close()
    except OpenAutoGLMError as error:
        outcome.note("source", f"ended in {error.code}")
        got += range(len(got), ROWS)
    else:
        outcome.note("source", "was read to its end")
    if got != list(range(ROWS)):
        outcome.silent.append(f"source: rows are missing or came twice: {got}")


def stream(outcome: Outcome, killer: Killer, _: Path) -> None:
    """Generate a text piece by piece."""
    killer.arm(len(TEXT))
    pieces: list[str] = []
    last: Any = None
    try:
        backend = BACKENDS.get("kept.backend").load(LoadSpec())
        for last in backend.stream(Request(prompt=TEXT)):
            if isinstance(last, str):
                pieces.append(last)
                killer.step()
        backend.close()
    except OpenAutoGLMError as error:
        outcome.note("stream", f"ended in {error.code}")
        is_right = TEXT.startswith("".join(pieces))
    else:
        outcome.note("stream", "came to its end")
        is_right = "".join(pieces) == TEXT == last.text
    if not is_right:
        outcome.silent.append(f"stream: {''.join(pieces)!r}, {last}")


def batch(outcome: Outcome, killer: Killer, _: Path) -> None:
    """Generate several texts."""
    killer.arm(8)
    asked = [Request(prompt=f"{number}: {TEXT[:20]}") for number in range(8)]
    found: list[tuple[int, Any]] = []
    try:
        backend = BACKENDS.get("kept.backend").load(LoadSpec())
        for answer in backend.batch(asked):
            found.append(answer)
            killer.step()
        backend.close()
    except OpenAutoGLMError as error:
        outcome.note("batch", f"ended in {error.code}")
    else:
        if sorted(position for position, _ in found) != list(range(8)):
            outcome.silent.append(f"batch: not one answer each: {found}")
    for position, generation in found:
        outcome.note("answer", generation.finish_reason)
        is_error = generation.finish_reason == "error" and generation.error is not None
        if not is_error and generation.text != asked[position].prompt:
            outcome.silent.append(f"batch: a wrong answer: {generation}")


SESSIONS: tuple[Callable[[Outcome, Killer, Path], None], ...] = (sink, source, stream, batch)


def run(*, sessions: int, level: str, seed: int = 1) -> Outcome:
    """Go through so many sessions, of all kinds in turn, and return what came of them."""
    outcome = Outcome()
    with (
        tempfile.TemporaryDirectory(prefix="sessions-") as name,
        _host(Path(name), level) as (
            running,
            place,
        ),
    ):
        killer = Killer(running, outcome, random.Random(seed))  # noqa: S311 - moments, no secrets
        for number in range(sessions):
            SESSIONS[number % len(SESSIONS)](outcome, killer, place)
            killer.rest()
    return outcome


@contextmanager
def _host(home: Path, level: str) -> Iterator[tuple[RunningPlugin, Path]]:
    package = home / "path" / "kept_plugin"
    package.mkdir(parents=True)
    shutil.copy(KEPT, package / "__init__.py")
    manifest = Manifest(
        id="acme.kept",
        name="acme-kept",
        version="1",
        package="kept_plugin",
        host_api=">=1.0,<2",
        isolation="L2" if level == "L2" else "L1",
        limits=Limits(memory_mb=4096),
        provides=tuple(
            Provides(point=point, contract=1, name=f"kept.{point}", object=f"kept_plugin:{name}")
            for point, name in OBJECTS.items()
        ),
    )
    with PluginHost(home=home, supervision=TOUGH) as host:
        running = host.start(manifest, path=[home / "path"], workers=2)
        yield running, next((home / "scratch").iterdir())


def _at(path: str) -> Location:
    return Location(url=path, scheme="kept", path=path)


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--level", choices=["L1", "L2"], default="L1")
    parser.add_argument("--begin-again", action="store_true", help="a mistake, to be found")
    options = parser.parse_args()
    if options.begin_again:
        crew_remote._Stream._may_begin_again = lambda *_: True  # type: ignore[method-assign] # a mistake on purpose
    outcome = run(sessions=options.sessions, level=options.level)
    counts = {name: each for name, each in vars(outcome).items() if not isinstance(each, list)}
    rows = [told(name, each) for name, each in counts.items()]
    rows += [at_least("workers killed", outcome.kills, options.sessions)]
    rows += [none("silent ends", outcome.silent)]
    finish(f"Sessions whose worker is killed, at {options.level}", outcome, rows)


if __name__ == "__main__":
    main()
