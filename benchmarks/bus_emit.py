"""What a message on the bus costs, beside a loop over callbacks and the libraries people use.

All subscribers are functions that return at once, called in the emitter's thread, but where a queue
is said. The payload is the same small dict everywhere, and the envelope around it is made before.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING

import blinker
import pluggy
import pyee

import call_costs as cost
from call_costs import Case
from openautoglm import bus as module
from openautoglm.bus import Bus, Message, PermissionTable
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.bus.outboxes.sqlite import Synchronous
    from timing import Cell

TYPE, PAYLOAD = "config.update", {"timeout": 3000}
ENVELOPE = {"source": "plugin.auth", "payload": PAYLOAD}
PLAIN, BLINKER, PLUGGY = "plain callbacks", "blinker send", "pluggy hook"
OURS, CHANNEL = "ours: Bus.emit", "ours: Channel.emit, permissions"
MODULE, REQUIRED = "ours: openautoglm.bus.emit", "ours: openautoglm.bus.emit, source and payload"
AIMED = (OURS, CHANNEL, MODULE, REQUIRED)
AIMS = {"× plain": None, "× (1.5 × plain + 300 ns)": 1.0, "× blinker": 1 / 3, "× pluggy": 1 / 3}
PUTS, WARM = 2_000, 100

Rounds = list[list[float]]


def heard(_: object) -> None:
    """Take a message."""


def plain(count: int) -> Callable[..., object]:
    """Return what one writes without a library."""
    callbacks = {TYPE: [heard] * count}

    def emit(type_: str, payload: object) -> None:
        for callback in callbacks[type_]:
            callback(payload)

    return emit


def blinker_send(count: int) -> Callable[..., object]:
    """Return blinker's way."""
    signal = blinker.Signal()
    for _ in range(count):
        signal.connect(lambda _, payload: None, weak=False)  # noqa: ARG005 - blinker names it
    return partial(signal.send, TYPE, payload=PAYLOAD)


def pluggy_hook(count: int) -> Callable[..., object]:
    """Return pluggy's way."""
    spec, implementation = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")

    class Spec:
        @spec
        def update(self, payload: object) -> None:
            """Take a payload."""

    class Plugin:
        @implementation
        def update(self, payload: object) -> None:
            """Take a payload."""

    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Spec)
    for _ in range(count):
        manager.register(Plugin())
    return partial(manager.hook.update, payload=PAYLOAD)


def pyee_emit(count: int) -> Callable[..., object]:
    """Return pyee's way."""
    emitter = pyee.EventEmitter()
    for _ in range(count):
        emitter.add_listener(TYPE, partial(heard))
    return emitter.emit


def cases(count: int, stack: ExitStack) -> Iterator[Case]:
    """Yield the ways to so many subscribers."""
    group = f"{count} subscriber{'s' if count > 1 else ''}"
    bus, queued = stack.enter_context(Bus()), stack.enter_context(Bus())
    channel = bus.channel("plugin.auth", ["emit:config.*"])
    for _ in range(count):
        bus.subscribe(TYPE, heard, inline=True)
        queued.subscribe(TYPE, heard)
        module.subscribe(f"{TYPE}.{count}", heard, inline=True)
    event = (TYPE, PAYLOAD)
    yield Case(group, PLAIN, plain(count), event)
    yield Case(group, OURS, bus.emit, event)
    yield Case(group, CHANNEL, channel.emit, event)
    yield Case(group, MODULE, module.emit, (f"{TYPE}.{count}", PAYLOAD))
    yield Case(group, REQUIRED, module.emit, (f"{TYPE}.{count}", ENVELOPE))
    yield Case(group, "ours: Bus.emit, source and payload", bus.emit, (TYPE, ENVELOPE))
    yield Case(group, "ours: into queues", queued.emit, event)
    yield Case(group, "pyee emit", pyee_emit(count), event)
    yield Case(group, BLINKER, blinker_send(count))
    yield Case(group, PLUGGY, pluggy_hook(count))


def parts() -> Iterator[Case]:
    """Yield what a call consists of."""
    table = PermissionTable.of({"plugin.auth": ["emit:config.*"]})
    message = Message(TYPE, "plugin.auth", PAYLOAD)
    text = message.to_json()
    yield Case("parts", "an envelope", lambda: {"source": "plugin.auth", "payload": PAYLOAD})
    yield Case("parts", "Message(...)", Message, (TYPE, "plugin.auth", PAYLOAD))
    yield Case("parts", "PermissionTable.allows", table.allows, ("plugin.auth", "emit", TYPE))
    yield Case("parts", "Message.to_json", message.to_json)
    yield Case("parts", "Message.from_json", Message.from_json, (text,))


def emit_rows() -> Iterator[dict[str, Cell]]:
    """Measure all ways to emit in turn and yield their rows."""
    with ExitStack() as stack:
        all_cases = [*cases(1, stack), *cases(10, stack), *parts()]
        taken = cost.costs(all_cases)
    found = {(case.group, case.name): rounds for case, rounds in zip(all_cases, taken, strict=True)}
    for case in all_cases:
        own = found[case.group, case.name]
        base, *peers = (found.get((case.group, name)) for name in (PLAIN, BLINKER, PLUGGY))
        factors = [cost.factor(own, other) for other in (base, limit(base), *peers)]
        aimed = case.group == "1 subscriber" and case.name in AIMED
        yield row(case.group, case.name, [n for some in own for n in some], factors, aimed=aimed)


def limit(base: Rounds | None) -> Rounds | None:
    """Return the most an emit to one subscriber may cost beside plain callbacks."""
    return base and [[1.5 * statistics.median(samples) + 300] for samples in base]


def durable_rows() -> Iterator[dict[str, Cell]]:
    """Measure storing a message for one consumer, one by one."""
    settings: tuple[Synchronous, ...] = ("normal", "full")
    with tempfile.TemporaryDirectory() as folder:
        for synchronous in settings:
            times = list(durable_ns(Path(folder) / f"{synchronous}.db", synchronous))
            yield row("durable", f"ours: emit into SQLite, synchronous={synchronous}", times)


def durable_ns(path: Path, synchronous: Synchronous) -> Iterator[float]:
    """Yield nanoseconds of each stored message."""
    with SqliteOutbox(path, synchronous=synchronous) as outbox, Bus(outbox=outbox) as bus:
        outbox.feed("bench", "config.*").close()
        for turn in range(PUTS + WARM):
            start = time.perf_counter_ns()
            bus.emit(TYPE, PAYLOAD, durable=True)
            if turn >= WARM:
                yield float(time.perf_counter_ns() - start)


def row(
    what: str,
    way: str,
    times: list[float],
    factors: Sequence[float | None] = (None,) * len(AIMS),
    *,
    aimed: bool = False,
) -> dict[str, Cell]:
    """Return one row of the table."""
    met = all(
        factor is not None and factor <= most
        for factor, most in zip(factors, AIMS.values(), strict=True)
        if most is not None
    )
    return {
        "what": what,
        "way": way,
        "median ns": round(statistics.median(times)),
        "p10 ns": round(statistics.quantiles(times, n=10)[0]),
        **dict(zip(AIMS, factors, strict=True)),
        "met": ("yes" if met else "no") if aimed else None,
    }


def main() -> None:
    """Measure and report."""
    rows = [*emit_rows(), *durable_rows()]
    notes = (
        f"{cost.ROUNDS} interleaved rounds of {cost.SAMPLES} samples of up to {cost.CALLS} calls, "
        "the loop around the calls, about 30 ns, included; handlers do nothing. To be met with one "
        "subscriber: at most 1 × (1.5 × plain + 300 ns), and a third of blinker and of pluggy. "
        f"`openautoglm.bus.emit` runs in {'Python' if isfunction(module.emit) else 'C'}. A durable "
        f"message is stored for one consumer, {PUTS} one by one. "
        f"blinker {version('blinker')}, pluggy {version('pluggy')}, pyee {version('pyee')}."
    )
    report("A message on the bus", rows, notes=notes)


if __name__ == "__main__":
    main()
