"""The bare extension point, and a plugin that is called all the while."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.host.bare import BARE
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def bare_point() -> Iterator[None]:
    """Let plugins contribute bare objects."""
    with owned_by("rollout tests"):
        POINTS.add(BARE.name, BARE)
    yield
    POINTS.revoke("rollout tests")


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
