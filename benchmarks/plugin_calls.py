"""A call into a plugin, small and with 64 MiB of numbers, beside other ways between processes."""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from multiprocessing import shared_memory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE
from timing import medians_s, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue

    from timing import Cell

BATCH = 200  # small calls in one measurement
ROUNDS = 40
LARGE_ROUNDS = 12
LARGE_BATCH = 20
BY_REFERENCE = {"ours, L0", "ours, L1", "ours, L2", "shared_memory, mapped once"}
ELEMENTS = 16 * 1024 * 1024  # of 4 bytes: 64 MiB
STEP = 1024  # one number in each page is read
MESSAGE = {"id": "1", "source": "plugin.auth", "type": "config.update", "data": {"timeout": 3000}}
SMALL_AIM_US, LARGE_AIM_MS = 40.0, 0.5

PLUGIN = f"""
class Bench:
    def echo(self, value):
        return value

    def look(self, x):
        x[::{STEP}].sum()
        return x
"""
Case = tuple["Callable[[], object]", "Callable[[], object]"]


def manifest(level: str) -> Manifest:
    """Return what the plugin of a level says of itself."""
    provides = Provides(point="bare", contract=1, name=level, object="bench_plugin:Bench")
    return Manifest(
        id=f"bench.{level.lower()}",
        name="bench",
        version="1.0",
        package="bench_plugin",
        host_api=">=1.0,<2",
        isolation=level,
        limits=Limits(),
        peers={"numpy": ">=2"},
        provides=(provides,),
    )


@contextmanager
def plugins() -> Iterator[dict[str, Case]]:
    """Yield a small and a large call for each level."""
    folder = Path(tempfile.mkdtemp(prefix="openautoglm-benchmark-"))
    (folder / "bench_plugin").mkdir()
    (folder / "bench_plugin" / "__init__.py").write_text(PLUGIN, "utf-8")
    with owned_by("benchmark"):
        POINTS.add(BARE.name, BARE)
    cases: dict[str, Case] = {}
    with PluginHost(levels=("L0", "L1", "L2")) as host:
        for level in ("L0", "L1", *(["L2"] if supported().sandbox else [])):
            cases |= of_level(host, folder, level)
        yield cases
    shutil.rmtree(folder)


def of_level(host: PluginHost, folder: Path, level: str) -> dict[str, Case]:
    """Return the cases of one level."""
    running = host.start(manifest(level), path=[folder])
    remote = running.remote(level)
    x = running.empty(ELEMENTS)
    x[:] = 1
    cases: dict[str, Case] = {
        f"ours, {level}": (
            lambda: remote.call("echo", MESSAGE),
            lambda: answered(remote.call("look", x)),
        )
    }
    if level != "L0":
        elsewhere = np.ones(ELEMENTS, np.float32)
        cases[f"ours, {level}, from an array of elsewhere"] = (
            lambda: None,
            lambda: answered(remote.call("look", elsewhere)),
        )
    return cases


def answered(x: Any) -> None:  # noqa: ANN401 - an array
    """Look here and there into the array that came back."""
    if x.shape != (ELEMENTS,) or float(x[:: ELEMENTS // 16].sum()) != 16:  # noqa: PLR2004 - looks
        raise SystemExit("an array came back wrong")


# other ways, each with a child that answers what it is sent


def over_pipe(connection: Connection) -> None:
    """Answer each object with itself."""
    while (got := connection.recv()) is not None:
        if isinstance(got, np.ndarray):
            got[::STEP].sum()
        connection.send(got)


def over_queues(asked: Queue[Any], answers: Queue[Any]) -> None:
    """Answer each object with itself."""
    while (got := asked.get()) is not None:
        if isinstance(got, np.ndarray):
            got[::STEP].sum()
        answers.put(got)


def over_zmq(address: str) -> None:
    """Answer each message with itself."""
    import zmq

    with zmq.Context() as context, context.socket(zmq.PAIR) as line:
        line.connect(address)
        while True:
            got = line.recv(copy=False)
            if len(got) == 1:
                return
            if len(got) > STEP:
                np.frombuffer(got, np.float32)[::STEP].sum()
            line.send(got, copy=False)


def over_memory(connection: Connection, *, kept: bool) -> None:
    """Look at the shared memory that is named; map it once, or for each call."""
    mapped: dict[str, shared_memory.SharedMemory] = {}
    while (name := connection.recv()) is not None:
        memory = mapped.get(name) or shared_memory.SharedMemory(name)
        seen = np.frombuffer(memory.buf, np.float32)
        seen[::STEP].sum()
        del seen
        if kept:
            mapped[name] = memory
        else:
            memory.close()
        connection.send(name)
    for memory in mapped.values():
        memory.close()


@contextmanager
def child(target: Callable[..., None], *args: object, **named: object) -> Iterator[None]:
    """Run a child inside the block; it has been told to end before the block does."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=args, kwargs=named)
    process.start()
    try:
        yield
    finally:
        process.join()


@contextmanager
def pipe() -> Iterator[Case]:
    """Yield calls over a pipe of multiprocessing, pickled."""
    here, there = multiprocessing.Pipe()
    x = np.ones(ELEMENTS, np.float32)

    def ask(value: object) -> Any:  # noqa: ANN401 - what came back
        here.send(value)
        return here.recv()

    with child(over_pipe, there):
        yield lambda: ask(MESSAGE), lambda: answered(ask(x))
        here.send(None)


@contextmanager
def queues() -> Iterator[Case]:
    """Yield calls over two queues of multiprocessing, pickled."""
    context = multiprocessing.get_context("spawn")
    asked, answers = context.Queue(), context.Queue()
    x = np.ones(ELEMENTS, np.float32)

    def ask(value: object) -> Any:  # noqa: ANN401 - what came back
        asked.put(value)
        return answers.get()

    with child(over_queues, asked, answers):
        yield lambda: ask(MESSAGE), lambda: answered(ask(x))
        asked.put(None)


@contextmanager
def memory(*, kept: bool) -> Iterator[Case]:
    """Yield calls that name shared memory over a pipe."""
    here, there = multiprocessing.Pipe()
    shared = shared_memory.SharedMemory(create=True, size=4 * ELEMENTS)
    x = np.frombuffer(shared.buf, np.float32)
    x[:] = 1

    def ask() -> None:
        here.send(shared.name)
        here.recv()
        answered(x)

    with child(over_memory, there, kept=kept):
        yield lambda: None, ask
        here.send(None)
    shared.unlink()  # its mapping ends with this process


@contextmanager
def zeromq() -> Iterator[Case | None]:
    """Yield calls over a socket pair of ZeroMQ, where it is installed."""
    try:
        import zmq
    except ImportError:
        yield None
        return
    import pickle

    folder = tempfile.mkdtemp()
    address = f"ipc://{folder}/socket"
    x = np.ones(ELEMENTS, np.float32)
    with zmq.Context() as context, context.socket(zmq.PAIR) as line:
        line.bind(address)

        def small() -> object:
            line.send(pickle.dumps(MESSAGE))
            return pickle.loads(line.recv())  # noqa: S301 - our own bytes

        def large() -> None:
            line.send(x, copy=False)
            answered(np.frombuffer(line.recv(copy=False), np.float32))

        with child(over_zmq, address):
            yield small, large
            line.send(b"q")
    shutil.rmtree(folder)


def main() -> None:
    """Measure and report."""
    with ExitStack() as stack:
        cases = stack.enter_context(plugins())
        cases["multiprocessing.Pipe, pickled"] = stack.enter_context(pipe())
        cases["multiprocessing.Queue, pickled"] = stack.enter_context(queues())
        cases["shared_memory, mapped once"] = stack.enter_context(memory(kept=True))
        cases["shared_memory, mapped each time"] = stack.enter_context(memory(kept=False))
        over = stack.enter_context(zeromq())
        if over is not None:
            cases["pyzmq, ipc"] = over
        rows = measured(cases)
    report("A call into a plugin", rows, notes=NOTES)


def measured(cases: dict[str, Case]) -> list[dict[str, Cell]]:
    """Return a row for each case."""
    has_small = {n: c for n, c in cases.items() if "shared_memory" not in n and "else" not in n}
    small: dict[str, list[float]] = {name: [] for name in has_small}
    medians_s({n: batch(case[0], small[n], BATCH) for n, case in has_small.items()}, rounds=ROUNDS)
    large: dict[str, list[float]] = {name: [] for name in cases}
    turns = {n: batch(case[1], large[n], large_batch(n)) for n, case in cases.items()}
    medians_s(turns, rounds=LARGE_ROUNDS)
    return [row(name, small.get(name), large[name]) for name in cases]


def large_batch(name: str) -> int:
    """Return how many large calls a turn has: one where 64 MiB are copied."""
    return LARGE_BATCH if name in BY_REFERENCE else 1


def batch(case: Callable[[], object], taken: list[float], count: int) -> Callable[[], None]:
    """Return many calls as one; the time of each is noted."""

    def calls() -> None:
        for _ in range(count):
            start = time.perf_counter()
            case()
            taken.append(time.perf_counter() - start)

    return calls


def row(name: str, small_s: list[float] | None, large_s: list[float]) -> dict[str, Cell]:
    """Return what is reported of a case."""
    small_us = None if small_s is None else round(statistics.median(small_s) * 1e6, 1)
    large_ms = round(statistics.median(large_s) * 1e3, 3)
    is_aimed = name in {"ours, L1", "ours, L2"}
    met = small_us is not None and small_us <= SMALL_AIM_US and large_ms <= LARGE_AIM_MS
    return {
        "way": name,
        "small message, there and back (µs)": small_us,
        "64 MiB, there and back (ms)": large_ms,
        "aim": f"≤ {SMALL_AIM_US:g} µs and ≤ {LARGE_AIM_MS:g} ms" if is_aimed else None,
        "met": ("yes" if met else "no") if is_aimed else None,
    }


NOTES = (
    f"Medians of single calls, in batches (small: {BATCH}; large by reference: {LARGE_BATCH}; "
    "large copied: 1) that take turns. The large call sends an "
    "array, reads one number in each page of it in the other process, and sends it back. Ours "
    "passes references into sealed memory; an array of elsewhere is copied into it first."
)

if __name__ == "__main__":
    main()
