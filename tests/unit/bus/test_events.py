"""The host's own messages hold what their schema says."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import re
from pathlib import Path

import jsonschema
import pytest

from openautoglm import ops
from openautoglm.bus import Bus, Message, events
from openautoglm.errors import MessageError
from openautoglm.plugins.rollout.step import Progress

ROOT = Path(__file__).parents[3]
NEWS = [
    events.PluginState(plugin="acme.upper", version="1.0", old="canary", new="active"),
    events.PluginRollout(
        plugin="acme.upper",
        old="1.0",
        new="2.0",
        step=1,
        steps=3,
        weight=10,
        answers=3,
        wanted=200,
        stable_answers=20,
        stable_wanted=0,
        recorded=0,
        waits_for="answers",
        seconds=1.5,
    ),
    events.KernelRun(op="add", kernel="native", device="cpu", seconds=1e-6),
    events.ModelState(engine="1", model="nano", backend="nano", state="ready", seconds=0.5),
    events.JobState(job="1", task="extract", state="running", done=3, total=None),
    events.ScheduleSlot(
        schedule="nightly",
        fire="2026-11-23T01:30:00.000000Z",
        kind="time",
        state="launched",
        job="nightly-1",
    ),
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


def test_the_page_names_every_type_its_senders_and_its_payload() -> None:
    page = (ROOT / "docs/bus.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z.]+)` \|([^|]*)\|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    told = {type_: (names_in(senders), names_in(fields)) for type_, senders, fields in rows}
    assert told == {
        type_: (
            [sender.partition(":")[2] for sender in senders],
            list(events.TYPES[type_].__struct_fields__) if type_ in events.TYPES else [],
        )
        for type_, senders in events.SENDERS.items()
    }
    assert told.keys() == events.schema()["properties"].keys()  # type: ignore[attr-defined]  # a JSON schema


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([A-Za-z_]+)`", cell)


def test_who_sends_is_there_and_nobody_else_sends() -> None:
    for sender in itertools.chain(*events.SENDERS.values()):
        module, _, name = sender.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    code = ROOT / "src/openautoglm"
    sent = {
        type_
        for path in code.rglob("*.py")
        if path.parent != code / "bus" and ".emit(" in (text := path.read_text(encoding="utf-8"))
        for type_ in re.findall(r'(?:Final = |emit\()"([a-z]+\.[a-z]+)"', text)
    }
    assert sent == {events.PLUGIN_STATE, events.PLUGIN_ROLLOUT}


def test_a_rollout_tells_what_its_event_holds() -> None:
    told = tuple(field.name for field in dataclasses.fields(Progress))
    assert told == events.PluginRollout.__struct_fields__


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
