"""A plugin's worker on the bus: it speaks as itself, within its permissions, or not at all."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.bus import Bus, Message
from openautoglm.errors import BusDeniedError, PluginCrashedError, SourceForgedError
from openautoglm.plugins.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Any]

MAY = ("emit:acme.*", "subscribe:config.*")


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as made:
        yield made


@pytest.fixture
def bus_host(bus: Bus, tmp_path: Path) -> Iterator[PluginHost]:
    with PluginHost(home=tmp_path, bus=bus) as made:
        yield made


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_plugin_emits_under_its_own_name(
    bus: Bus, bus_host: PluginHost, start: Start, level: str
) -> None:
    seen: list[Message] = []
    bus.subscribe("acme.*", seen.append, inline=True)
    probe = start(bus_host, level=level, permissions=MAY).remote("acme.probe")
    assert probe.call("emit", "acme.done", {"rows": 3}) == "acme.probe"
    assert [(m.source, m.type, m.payload) for m in seen] == [
        ("acme.probe", "acme.done", {"rows": 3})
    ]


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_plugin_says_only_what_it_may(
    bus: Bus, bus_host: PluginHost, start: Start, level: str
) -> None:
    probe = start(bus_host, level=level, permissions=MAY).remote("acme.probe")
    with pytest.raises(BusDeniedError):
        probe.call("emit", "config.update", 1)
    with pytest.raises(SourceForgedError):
        probe.call("emit", "acme.done", 1, source="core")
    assert bus.refusals == 2


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_plugin_hears_of_settings_that_a_user_changed(
    bus: Bus, bus_host: PluginHost, start: Start, level: str
) -> None:
    probe = start(bus_host, level=level, permissions=MAY).remote("acme.probe")
    probe.call("subscribe", "config.*")
    bus.emit("config.update", {"source": "plugin.auth", "payload": {"timeout": 3000}})
    end = time.monotonic() + 8
    while not probe.call("heard"):
        assert time.monotonic() < end
        threading.Event().wait(0.002)
    assert probe.call("heard") == [{"timeout": 3000}]


def test_a_plugin_without_permissions_is_not_on_the_bus(
    bus_host: PluginHost, host: PluginHost, start: Start
) -> None:
    probe = start(bus_host).remote("acme.probe")
    with pytest.raises(BusDeniedError, match="is not on the bus"):
        probe.call("emit", "acme.done", 1)
    probe = start(host, permissions=MAY, register=False).remote("acme.probe")  # a host without bus
    with pytest.raises(BusDeniedError, match="is not on the bus"):
        probe.call("emit", "acme.done", 1)


def test_the_next_worker_is_on_the_bus_again(bus_host: PluginHost, start: Start) -> None:
    probe = start(bus_host, permissions=MAY).remote("acme.probe")
    with pytest.raises(PluginCrashedError):
        probe.call("kill")
    assert probe.call("emit", "acme.done", 1) == "acme.probe"


def test_versions_share_a_channel_and_the_last_one_closes_it(
    bus: Bus, bus_host: PluginHost, start: Start
) -> None:
    old = start(bus_host, permissions=MAY)
    new = start(bus_host, permissions=MAY, version="2.0", register=False)
    bus_host.stop(old)
    assert new.remote("acme.probe").call("emit", "acme.done", 1) == "acme.probe"
    bus_host.stop(new)
    bus.channel("acme.probe").close()


def test_no_thread_of_the_bus_is_left(bus: Bus, start: Start, tmp_path: Path) -> None:
    threads = threading.active_count()
    with PluginHost(home=tmp_path, bus=bus) as host:
        start(host, permissions=MAY).remote("acme.probe").call("emit", "acme.done", 1)
    assert threading.active_count() == threads


def test_a_version_may_no_more_than_its_own_manifest_says_beside_another_or_after_it(
    bus: Bus, bus_host: PluginHost, start: Start
) -> None:
    old = start(bus_host, permissions=("emit:secret.*", "subscribe:secret.*", *MAY))
    new = start(bus_host, permissions=MAY, version="2.0", register=False).remote("acme.probe")
    for _ in range(2):
        with pytest.raises(BusDeniedError):
            new.call("emit", "secret.told", 1)
        with pytest.raises(BusDeniedError):
            new.call("subscribe", "secret.*")
        assert new.call("emit", "acme.done", 1) == "acme.probe"
        bus_host.stop(old)
    assert bus.refusals == 4
