"""The host's own messages hold what their schema says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from openautoglm import ops
from openautoglm.bus import Bus, Message, events
from openautoglm.errors import MessageError

ROOT = Path(__file__).parents[3]
NEWS = [
    events.PluginState(plugin="acme.upper", version="1.0", old="canary", new="active"),
    events.KernelRun(op="add", kernel="native", device="cpu", seconds=1e-6),
    events.ModelState(engine="1", model="nano", backend="nano", state="ready", seconds=0.5),
    events.JobState(job="1", task="extract", state="running", done=3, total=None),
]


def test_the_schema_in_spec_is_that_of_the_module() -> None:
    written = json.loads((ROOT / "spec/messages.schema.json").read_text(encoding="utf-8"))
    assert written == events.schema()
    jsonschema.Draft202012Validator.check_schema(written)


@pytest.mark.parametrize("news", NEWS, ids=lambda news: type(news).__name__)
def test_news_travel_as_plain_values_and_are_read_as_what_they_are(news: events.Payload) -> None:
    with Bus() as bus:
        sent = Message.from_json(events.tell(bus, news).to_json())
    assert events.read(sent) == news
    jsonschema.validate({sent.type: sent.payload}, events.schema())


@pytest.mark.parametrize(
    "message",
    [
        Message(
            "plugin.state",
            "core",
            {"plugin": "a", "version": "1", "old": "active", "new": "asleep"},
        ),
        Message("plugin.state", "core", {"plugin": "a"}),
        Message("plugin.state", "core"),
        Message("config.update", "core", {"timeout": 1}),
    ],
)
def test_what_the_host_never_sends_is_refused_in_words(message: Message) -> None:
    with pytest.raises(MessageError):
        events.read(message)


def test_kernels_that_run_are_published() -> None:
    import numpy as np

    seen: list[Message] = []
    with Bus() as bus:
        bus.subscribe(events.KERNEL_RUN, seen.append, inline=True)
        with ops.watching(events.publisher(bus, events.KERNEL_RUN)):
            ops.get("add")(np.ones(3, "f4"), np.ones(3, "f4"))
    run = events.read(seen[0])
    assert isinstance(run, events.KernelRun)
    assert run.op == "add"
