"""What becomes of a model goes out on the bus of the process, if there is one."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import openautoglm.bus as module
from openautoglm import AutoGLM
from openautoglm.bus import Bus, events
from openautoglm.engine.backend import BACKENDS, BackendEntry
from openautoglm.errors import ModelNotFoundError, UnknownNameError
from openautoglm.registry import owned_by
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.bus import Message
    from openautoglm.engine.backend import LoadSpec


@pytest.fixture
def heard() -> Iterator[list[events.ModelState]]:
    """What is said of models while a test runs."""
    found: list[events.ModelState] = []

    def hear(message: Message) -> None:
        news = events.read(message)
        assert isinstance(news, events.ModelState)
        found.append(news)

    with Bus() as bus:
        bus.subscribe(events.MODEL_STATE, hear, inline=True)
        before = module.use(bus)
        yield found
        module.use(before or Bus())


def test_the_life_of_a_model_is_told_from_loading_to_closed(
    heard: list[events.ModelState],
) -> None:
    with AutoGLM(backend=EchoBackend()) as engine:
        assert [news.state for news in heard] == ["loading", "ready"]
        engine.close()
    assert [news.state for news in heard] == ["loading", "ready", "closed"]
    loading, ready, closed = heard
    assert (loading.model, loading.backend) == ("", "EchoBackend")
    assert (ready.model, ready.backend, ready.device) == ("echo", "echo", "none")
    assert ready.seconds is not None
    assert (closed.model, closed.seconds) == ("echo", None)
    assert len({news.engine for news in heard}) == 1


def test_engines_can_be_told_apart(heard: list[events.ModelState]) -> None:
    for _ in range(2):
        AutoGLM(backend=EchoBackend()).close()
    assert len({news.engine for news in heard}) == 2


def test_a_model_that_cannot_be_loaded_is_told_with_the_reason(
    heard: list[events.ModelState],
) -> None:
    def load(_spec: LoadSpec) -> EchoBackend:
        raise ModelNotFoundError("no such model", got="missing", fix="name another")

    with owned_by("tests"):
        BACKENDS.add("broken", BackendEntry(load=load, summary="breaks"))
    try:
        with pytest.raises(ModelNotFoundError):
            AutoGLM("missing", backend="broken")
    finally:
        BACKENDS.revoke("tests")
    with pytest.raises(UnknownNameError):
        AutoGLM(backend="brokn")
    assert [news.state for news in heard] == ["loading", "failed"] * 2
    assert (heard[1].model, heard[1].backend) == ("missing", "broken")
    assert "no such model" in heard[1].reason


def test_a_closed_bus_or_a_listener_that_raises_keeps_no_model_from_loading(
    heard: list[events.ModelState],
) -> None:
    assert not heard
    bus = module.made()
    assert bus is not None

    def broken(_message: Message) -> None:
        raise KeyError("listener")

    bus.subscribe("model.*", broken, inline=True)
    AutoGLM(backend=EchoBackend()).close()
    assert [news.state for news in heard] == ["loading", "ready", "closed"]
    bus.close()
    AutoGLM(backend=EchoBackend()).close()
    assert len(heard) == 3


def test_what_speaks_as_a_plugin_says_nothing_of_models() -> None:
    with Bus() as bus:
        channel = bus.channel("acme", ["subscribe:model.*"])
        before = module.use(channel)
        try:
            AutoGLM(backend=EchoBackend()).close()
        finally:
            module.use(before or Bus())
        assert bus.refusals == 0


QUIET = """
import sys, threading
from openautoglm import AutoGLM
from openautoglm.engine.news import is_anybody_there
from openautoglm.pipeline.graph import Pipeline
from openautoglm.testing.echo import EchoBackend

{first}
pipeline = Pipeline.from_yaml('''
name: ask
components: {{ask: {{type: text.clean}}}}
inputs: {{text: {{to: ask.text}}}}
outputs: {{said: ask.text}}
''')
with AutoGLM(backend=EchoBackend()) as engine:
    assert len(list(pipeline.stream(["a", "b"], engine=engine))) == 2
assert not is_anybody_there()
assert threading.active_count() == 1
assert ("openautoglm.bus.events" in sys.modules) is False
"""


@pytest.mark.parametrize("first", ["", "import openautoglm.bus"])
def test_without_a_bus_none_is_made_and_no_thread_is_started(first: str) -> None:
    code = QUIET.format(first=first)
    subprocess.run([sys.executable, "-c", code], check=True)
