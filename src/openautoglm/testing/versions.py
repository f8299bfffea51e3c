"""Versions of plugins, and hosts, that run nothing: what they answer is told to them.

For tests of rollouts. Knows nothing of workers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.rollout.routes import Handle
from openautoglm.plugins.rollout.states import FIRST, Life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from openautoglm.plugins.host.parties import Loadable
    from openautoglm.plugins.points import Contribution, RemoteObject
    from openautoglm.plugins.rollout.routes import Version

    Answer = Callable[..., object]


def manifest(
    version: str = "1.0",
    *,
    idempotent: bool = True,
    state: bool = False,
    plugin: str = "acme.thing",
) -> Manifest:
    """Return what a plugin with one contribution, `thing`, says of itself."""
    provides = Provides(
        point="bare",
        contract=1,
        name="thing",
        object="acme_thing:Thing",
        idempotent=idempotent,
        state=state,
    )
    return Manifest(
        id=plugin,
        name="acme-thing",
        version=version,
        package="acme_thing",
        host_api=">=1.0,<2",
        limits=Limits(call_timeout_s=5.0),
        provides=(provides,),
    )


@dataclass
class Remote:
    """Calls `answer` with the method's name and its arguments."""

    answer: Answer

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Answer."""
        del timeout_s
        return self.answer(method, *args, **kwargs)

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what the answer holds."""
        del timeout_s
        return iter(cast("Iterable[object]", self.answer(method, *args, **kwargs)))


@dataclass(eq=False)
class Running:
    """A version; `answer` says what it answers."""

    manifest: Manifest
    answer: Answer
    state: str = "running"
    through: Callable[[Contribution, RemoteObject], RemoteObject] | None = None
    handed: list[str] = field(default_factory=list)

    def remote(self, name: str, *, point: str | None = None) -> RemoteObject:
        """Return `thing`."""
        del name, point
        return Remote(self.answer)

    def hand_over(self, other: Version) -> None:
        """Note to which version."""
        self.handed.append(other.manifest.version)


@dataclass
class New:
    """What is to be started."""

    manifest: Manifest
    answer: Answer
    path: Sequence[Path] = ()


@dataclass
class Host:
    """Starts what it is given, unless it is told to refuse."""

    refusal: Exception | None = None
    started: list[Running] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)

    def start(self, plugin: Loadable, /, **options: object) -> Running:
        """Start a version."""
        if self.refusal is not None:
            raise self.refusal
        self.options = options
        self.started.append(Running(plugin.manifest, cast("New", plugin).answer))
        return self.started[-1]

    def stop(self, plugin: Version, /) -> None:
        """Stop a version."""
        for each in self.started:
            if each is plugin:
                each.state = "stopped"
        self.stopped.append(plugin.manifest.version)


@dataclass
class Bus:
    """Keeps what it was told."""

    events: list[tuple[str, str, str, str]] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    progress: list[Mapping[str, object]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def emit(self, type_: str, event: object = None, /) -> None:
        """Keep a change of state, or how far a replacement is."""
        told = cast("Mapping[str, str]", event)
        with self.lock:
            self.types.add(type_)
            if type_ == "plugin.rollout":
                self.progress.append(told)
                return
            self.events.append((told["version"], told["old"], told["new"], told["reason"]))

    def states(self, version: str) -> list[str]:
        """Return the states a version came to."""
        return [new for which, _, new, _ in self.events if which == version]


def handle(running: Running) -> Handle:
    """Return a version that is active."""
    life = Life(running.manifest.id, running.manifest.version)
    for state in FIRST:
        life.go(state, "a test")
    return Handle(running, life)


def versioned(version: str) -> Answer:
    """Return an answer that says who answers."""
    return lambda _method, *args: (version, *args)


def new(
    version: str = "2",
    answer: Answer | None = None,
    *,
    idempotent: bool = True,
    state: bool = False,
    plugin: str = "acme.thing",
) -> New:
    """Return a version that is to be started; what it answers says which it is."""
    described = manifest(version, idempotent=idempotent, state=state, plugin=plugin)
    return New(described, answer or versioned(version))


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it did not come true.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come true")
        threading.Event().wait(0.002)
