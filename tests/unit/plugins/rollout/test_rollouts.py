"""Replacements from beginning to end, with versions that answer what they are told to."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import (
    PluginBusyError,
    PluginCallError,
    PluginCrashedError,
    PluginNotFoundError,
    PluginReplaceError,
    PluginUnavailableError,
)
from openautoglm.plugins.rollout import AT_ONCE, Canary, Rollouts, request_id
from openautoglm.testing.versions import Host, Running, handle, manifest, new, until, versioned

if TYPE_CHECKING:
    from collections.abc import Callable

    Scene = Any
    Calls = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("bare_point")

QUICK = Canary(
    weights=(20, 100), requests=30, patience_s=10.0, alpha=0.01, drain_s=5.0, keep_requests=0
)
LIFE = ["verified", "validated", "staged", "admitted"]


def failing(method: str, *args: object) -> object:
    raise PluginCallError(f"{method} raised", got=args)


# good ones


def test_a_good_version_takes_the_place_of_the_old(scene: Scene, calling: Calls) -> None:
    with calling(scene.call) as got:
        report = scene.replace(new(), workers=3)
    assert (report.outcome, report.old, report.new) == ("promoted", "1", "2"), str(report)
    assert scene.call(7) == ("2", 7)
    assert got.errors == []
    assert {version for version, _ in got.answers} == {"1", "2"}
    assert scene.bus.states("2") == [*LIFE, "canary", "active"]
    assert scene.bus.states("1")[-2:] == ["draining", "retired"]
    assert scene.host.stopped == ["1"]
    assert scene.host.options == {"register": False, "workers": 3}
    assert scene.old.handed == ["2"]
    assert [step.weight for step in report.steps] == [20, 100]
    assert all(step.passed and step.requests >= 30 for step in report.steps)
    assert [c.new for c in report.changes if c.version == "2"] == [*LIFE, "canary", "active"]
    assert len(report.flips_us) == 3
    assert report.to_json().startswith('{"changes":[{"at_s":')


def test_at_once_judges_nothing(scene: Scene) -> None:
    report = scene.replace(new(), AT_ONCE)
    assert report.ok
    assert report.steps == ()
    assert scene.call() == ("2",)


def test_the_last_good_version_stays_until_the_new_one_has_served(scene: Scene) -> None:
    plan = Canary(weights=(100,), requests=0, keep_requests=5)
    assert scene.replace(new(), plan).ok
    for _ in range(4):
        scene.call()
    assert scene.host.stopped == []
    assert scene.rollouts.table("acme.thing").snapshot.resident is not None
    scene.call()
    until(lambda: scene.host.stopped == ["1"])
    until(lambda: scene.bus.states("1")[-1] == "retired")


def test_nothing_keeps_versions_that_are_retired(scene: Scene) -> None:
    plan = Canary(weights=(100,), requests=0, keep_requests=0)
    assert scene.replace(new("2"), plan).ok
    second = weakref.ref(scene.host.started.pop())
    for number in range(3, 6):
        assert scene.replace(new(str(number)), plan).ok
        scene.call()
    gc.collect()
    assert second() is None


def test_a_version_that_dies_early_gives_its_calls_back(scene: Scene) -> None:
    assert scene.replace(new(), AT_ONCE).ok
    second = scene.host.started[0]

    def dead(*_: object) -> object:
        raise PluginUnavailableError("it is quarantined")

    second.state, second.answer = "quarantined", dead
    scene.rollouts.table("acme.thing").snapshot.stable.running.remote("thing")
    assert scene.call(1) == ("1", 1)
    until(lambda: scene.host.stopped == ["2"])
    until(lambda: scene.bus.states("1")[-1] == "active")
    assert scene.bus.states("2")[-2:] == ["quarantined", "retired"]
    assert second.handed == ["1"]


def test_one_request_is_served_by_one_version(scene: Scene) -> None:
    table = scene.rollouts.table("acme.thing")
    second = new()
    with_two = scene.host.start(second)
    table.change(canary=handle(with_two), weight=50)
    for user in map(str, range(50)):
        with request_id(user):
            assert len({scene.call()[0] for _ in range(5)}) == 1
    table.change(canary=None, weight=0)


def test_a_plugin_that_is_stopped_takes_the_version_before_with_it(scene: Scene) -> None:
    plan = Canary(weights=(100,), requests=0, keep_requests=5)
    assert scene.replace(new(), plan).ok
    scene.rollouts.forget(scene.host.started[0])
    assert scene.host.stopped == ["1"]
    assert scene.bus.states("1")[-1] == scene.bus.states("2")[-1] == "retired"
    with pytest.raises(PluginNotFoundError):
        scene.replace(new("3"))


def test_a_second_version_that_is_started_takes_no_routes_away(scene: Scene) -> None:
    second = Running(manifest("2"), versioned("2"))
    scene.rollouts.adopt(second)
    assert second.through is None
    scene.rollouts.forget(second)
    assert scene.call(1) == ("1", 1)


# bad ones


def test_a_version_that_fails_is_rolled_back_and_nobody_notices(
    scene: Scene, calling: Calls
) -> None:
    with calling(scene.call) as got:
        report = scene.replace(new(answer=failing))
    assert report.outcome == "rolled-back"
    assert " failed, 0 of " in report.reason
    assert got.errors == []
    assert {version for version, _ in got.answers} == {"1"}
    assert report.retries >= 8
    assert scene.call() == ("1",)
    assert scene.bus.states("2") == [*LIFE, "canary", "rolled-back", "retired"]
    assert scene.host.stopped == ["2"]
    assert scene.old.handed == []


def test_calls_that_may_not_be_made_twice_end_in_the_error(calling: Calls) -> None:
    host = Host()
    rollouts = Rollouts(host)
    rollouts.adopt(Running(manifest("1", idempotent=False), versioned("1")))
    remote = rollouts.remote("acme.thing", "thing")

    def crash(*_: object) -> object:
        raise PluginCrashedError("its worker died")

    with calling(lambda value: remote.call("run", value)) as got:
        report = rollouts.replace("acme.thing", new(answer=crash, idempotent=False), plan=QUICK)
    rollouts.close()
    assert report.outcome == "rolled-back"
    assert {type(error) for error in got.errors} == {PluginCrashedError}
    late = len(got.errors) - report.steps[0].errors  # under way in the two threads at the verdict
    assert 0 <= late <= 2
    assert report.retries == 0


def test_a_call_that_never_ran_is_made_on_the_other_version_whatever_it_is(
    calling: Calls,
) -> None:
    host = Host()
    rollouts = Rollouts(host)
    rollouts.adopt(Running(manifest("1", idempotent=False), versioned("1")))
    remote = rollouts.remote("acme.thing", "thing")

    def die(*_: object) -> object:
        host.started[0].state = "quarantined"
        raise PluginUnavailableError("it is quarantined")

    with calling(lambda value: remote.call("run", value)) as got:
        report = rollouts.replace("acme.thing", new(answer=die, idempotent=False), plan=QUICK)
    rollouts.close()
    assert report.outcome == "rolled-back"
    assert got.errors == []


def test_a_slow_version_is_rolled_back(scene: Scene, calling: Calls) -> None:
    def slow(*_: object) -> object:
        time.sleep(0.01)
        return ("2", 0)

    plan = Canary(weights=(10, 100), requests=40, p95_slack_s=0.004, alpha=0.01, keep_requests=0)
    with calling(scene.call) as got:
        report = scene.replace(new(answer=slow), plan)
    assert report.outcome == "rolled-back", str(report)
    assert "took longer than" in report.reason
    assert got.errors == []


def test_a_version_that_fails_as_often_as_the_old_one_is_no_worse(
    scene: Scene, calling: Calls
) -> None:
    def sometimes(_: str, value: int) -> object:
        if value % 5 == 0:
            raise KeyError("a request that nobody can answer")
        return ("x", value)

    scene.old.answer = sometimes
    with calling(scene.call) as got:
        report = scene.replace(new(answer=sometimes))
    assert report.ok, str(report)
    assert {str(error) for error in got.errors} == {"'a request that nobody can answer'"}


def test_too_few_requests_are_no_proof(scene: Scene) -> None:
    report = scene.replace(new(), Canary(requests=10, patience_s=0.05, keep_requests=0))
    assert report.outcome == "rolled-back"
    assert "too few to judge in 0.05 s: 0 of 4 answers" in report.reason


def test_a_version_that_is_quarantined_while_it_is_judged_is_rolled_back(scene: Scene) -> None:
    done = []

    def replace() -> None:
        done.append(scene.replace(new()))

    thread = threading.Thread(target=replace)
    thread.start()
    until(lambda: scene.bus.states("2")[-1:] == ["canary"])
    scene.host.started[0].state = "quarantined"
    thread.join()
    assert done[0].outcome == "rolled-back"
    assert scene.bus.states("2")[-3:] == ["quarantined", "rolled-back", "retired"]


def test_a_version_whose_contributions_do_not_fit_is_rolled_back(
    scene: Scene, calling: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PluginCallError("describe raised")

    monkeypatch.setattr(scene.old, "hand_over", refuse)
    with calling(scene.call) as got:
        report = scene.replace(new())
    assert report.outcome == "rolled-back"
    assert "cannot be registered: describe raised" in report.reason
    assert got.errors == []
    assert scene.call() == ("1",)


# rejected ones


@dataclass
class Said:
    """A proof or a decision."""

    ok: object = True
    allow: object = True
    reasons: tuple[str, ...] = ()

    def summary(self) -> str:
        return "1 fail"


def test_a_version_that_the_check_refuses_is_never_started(scene: Scene) -> None:
    report = scene.replace(new(), validate=lambda _: Said(ok=False))
    assert (report.outcome, report.reason) == ("rejected", "the check found: 1 fail")
    assert scene.host.started == []
    assert scene.bus.states("2") == ["verified", "rejected"]


@pytest.mark.parametrize("allow", [False, None, 1, "true"])
def test_a_version_that_policy_does_not_exactly_allow_gets_no_call(
    scene: Scene, allow: object
) -> None:
    asked: list[Any] = []

    def admit(version: object, proof: object) -> Said:
        asked.append((version, proof))
        return Said(allow=allow, reasons=("nobody signed it",))

    report = scene.replace(new(), validate=lambda _: Said(), admit=admit)
    assert (report.outcome, report.reason) == ("rejected", "policy: nobody signed it")
    assert isinstance(asked[0][1], Said)
    assert scene.host.stopped == ["2"]
    assert scene.bus.states("2") == ["verified", "validated", "staged", "rejected"]


def test_who_cannot_decide_has_refused(scene: Scene) -> None:
    def broken(*_: object) -> Said:
        raise RuntimeError("no rules")

    assert scene.replace(new(), validate=broken).outcome == "rejected"
    report = scene.replace(new(), admit=broken)
    assert (report.outcome, scene.host.stopped) == ("rejected", ["2"])
    assert scene.call() == ("1",)


def test_a_version_that_does_not_start_is_rejected(scene: Scene) -> None:
    scene.host.refusal = PluginUnavailableError("it did not start", got="ImportError: no module")
    report = scene.replace(new())
    assert report.outcome == "rejected"
    assert "ImportError: no module" in report.reason


def test_what_cannot_take_its_place_is_refused(scene: Scene) -> None:
    with pytest.raises(PluginReplaceError, match="by another plugin"):
        scene.replace(new(plugin="acme.other"))
    with pytest.raises(PluginReplaceError, match="in this version already"):
        scene.replace(new("1"))
    with pytest.raises(PluginNotFoundError, match="does not run"):
        scene.rollouts.replace("acme.none", new())


def test_a_second_replacement_of_a_plugin_is_refused(scene: Scene) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(_: object) -> Said:
        entered.set()
        leave.wait()
        return Said()

    thread = threading.Thread(target=lambda: scene.replace(new(), AT_ONCE, validate=wait))
    thread.start()
    entered.wait()
    with pytest.raises(PluginBusyError, match="is being replaced"):
        scene.replace(new("3"))
    leave.set()
    thread.join()
    assert scene.call() == ("2",)
    assert scene.replace(new("3"), AT_ONCE).ok
