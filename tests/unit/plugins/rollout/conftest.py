"""The bare extension point, and a plugin that is called all the while."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.rollout import Canary, Rollouts
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE
from openautoglm.testing.versions import Bus, Host, New, Running, manifest, versioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


QUICK = Canary(
    weights=(20, 100), requests=30, patience_s=10.0, alpha=0.01, drain_s=5.0, keep_requests=0
)


@pytest.fixture
def bare_point() -> Iterator[None]:
    """Let plugins contribute bare objects."""
    with owned_by("rollout tests"):
        POINTS.add(BARE.name, BARE)
    yield
    POINTS.revoke("rollout tests")


@dataclass
class Scene:
    """A host with one plugin that serves as version 1."""

    host: Host
    bus: Bus
    rollouts: Rollouts
    old: Running

    def call(self, *args: object) -> Any:  # noqa: ANN401 - what a test answers
        return self.rollouts.remote("acme.thing", "thing").call("run", *args)

    def replace(self, new: New, plan: Canary = QUICK, **options: Any) -> Any:  # noqa: ANN401 - a report
        return self.rollouts.replace("acme.thing", new, plan=plan, **options)


@pytest.fixture
def scene() -> Iterator[Scene]:
    host, bus = Host(), Bus()
    rollouts = Rollouts(host, bus=bus)
    old = Running(manifest("1"), versioned("1"))
    rollouts.adopt(old)
    yield Scene(host, bus, rollouts, old)
    rollouts.close()


class Calling:
    """What callers got: answers, and errors."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.errors: list[Exception] = []


@pytest.fixture
def calling() -> Callable[..., Any]:
    """Return a block in which threads call something again and again."""

    @contextmanager
    def calls(call: Callable[[int], object], threads: int = 2) -> Iterator[Calling]:
        got, stop = Calling(), threading.Event()

        def run(number: int) -> None:
            value = number
            while not stop.is_set():
                try:
                    got.answers.append(call(value))
                except (OpenAutoGLMError, KeyError) as error:
                    got.errors.append(error)
                value += threads

        running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield got
        finally:
            stop.set()
            for thread in running:
                thread.join()

    return calls
