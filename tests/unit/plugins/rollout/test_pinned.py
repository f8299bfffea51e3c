"""Calls that belong together: on one version, under way until let go, judged like others."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import PluginCallError, PluginUnavailableError
from openautoglm.plugins.points import MethodSpec
from openautoglm.plugins.rollout.calls import RoutedObject
from openautoglm.plugins.rollout.routes import RouteTable
from openautoglm.testing.versions import Running, handle, manifest

if TYPE_CHECKING:
    from openautoglm.plugins.rollout.routes import Handle

METHODS = {
    "release": MethodSpec(idempotent=True, everywhere=True),
    "count": MethodSpec(stream=True),
}


def version(number: str, heard: list[str]) -> Handle:
    """Return a version that notes what it is asked."""

    def answer(method: str, *args: object) -> object:
        heard.append(f"{number} {method}")
        if method == "fail":
            raise PluginCallError("it failed")
        if method == "away":
            raise PluginUnavailableError("it is stopped")
        return [number, *args]

    return handle(Running(manifest(number), answer))


def routed(table: RouteTable) -> RoutedObject:
    return RoutedObject(table, "thing", "bare", METHODS)


def test_a_pin_stays_on_its_version_which_is_under_way_until_it_is_closed() -> None:
    heard: list[str] = []
    old, new = version("1", heard), version("2", heard)
    table = RouteTable(old)
    pin = routed(table).pinned()
    table.promote(new, instead_of=old)
    assert routed(table).call("who") == ["2"]
    assert pin.call("who") == ["1"]
    assert list(pin.stream("count")) == ["1"]
    assert (old.in_flight, new.in_flight) == (1, 0)
    assert not old.drain(0.0)
    pin.close()
    pin.close()
    assert old.drain(0.0)


def test_a_pin_that_is_let_go_of_is_closed() -> None:
    old = version("1", [])
    routed(RouteTable(old)).pinned()
    gc.collect()
    assert old.in_flight == 0


def test_answers_of_a_pin_are_judged() -> None:
    old = version("1", [])
    pin = routed(RouteTable(old)).pinned()
    pin.call("who")
    with pytest.raises(PluginCallError):
        pin.call("fail")
    with pytest.raises(PluginCallError):
        list(pin.stream("fail"))
    assert (old.recent.requests, old.recent.errors, old.served) == (3, 2, 1)
    next(values := pin.stream("count", 2))
    del values
    gc.collect()
    assert (old.recent.requests, old.in_flight) == (3, 1)


def test_what_is_for_every_version_reaches_every_version() -> None:
    heard: list[str] = []
    table = RouteTable(version("1", heard))
    table.change(canary=version("2", heard), weight=5, resident=version("0", heard))
    routed(table).call("release")
    assert sorted(heard) == ["0 release", "1 release", "2 release"]
    assert all(each.in_flight == 0 for each in table.snapshot.handles)


def test_an_error_of_one_version_keeps_no_other_from_being_asked() -> None:
    heard: list[str] = []

    def fails(method: str) -> object:
        heard.append(f"fails {method}")
        raise PluginCallError("it failed")

    table = RouteTable(handle(Running(manifest("1"), fails)))
    table.change(canary=version("2", heard), weight=5)
    with pytest.raises(PluginCallError):
        routed(table).call("release")
    assert heard == ["fails release", "2 release"]
