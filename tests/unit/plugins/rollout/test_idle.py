"""Replacements of plugins that nobody calls: recorded requests, what the plan says, progress."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from openautoglm.errors import InvalidParameterError
from openautoglm.plugins.rollout import Canary, Progress, Rollouts
from openautoglm.plugins.trial.requests import PACKED, Request
from openautoglm.testing.versions import Bus, Host, New, Running, manifest, new, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.plugins.rollout.plan import OnIdle

    Scene = Any
    Record = Callable[..., New]
    Calls = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("bare_point")
IDLE = Canary(weights=(20, 100), requests=30, idle_s=0.02, patience_s=10.0, keep_requests=0)


def echo(method: str, *args: object, **kwargs: object) -> object:
    return [method, *args, kwargs]


def asked(value: int, *, expected: object = msgspec.UNSET, error: str = "") -> Request:
    return Request(contribution="thing", method="run", args=[value], expected=expected, error=error)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Return a version whose wheel holds requests."""

    def made(*requests: Request, answer: Any = echo, **about: Any) -> New:  # noqa: ANN401 - what a test says
        folder = tmp_path / "acme_thing"
        folder.mkdir(exist_ok=True)
        (folder / PACKED).write_bytes(b"\n".join(map(msgspec.json.encode, requests)))
        version = new(answer=answer, **about)
        return New(version.manifest, version.answer, (tmp_path,))

    return made


def test_recorded_requests_are_made_of_both_where_nobody_calls(
    scene: Scene, record: Record
) -> None:
    of_old: list[tuple[object, ...]] = []

    def first(*args: object) -> object:
        of_old.append(args)
        return ["another answer than the new version has"]

    scene.old.answer = first
    report = scene.replace(record(asked(1), asked(2, expected=["run", 2, {}])), IDLE)
    assert report.ok, str(report)
    assert report.reason.startswith("of ")
    assert "recorded requests 0 of " in report.reason
    (step,) = report.steps  # the rest would ask the same again
    assert step.recorded == step.requests == step.stable_requests >= 30
    assert set(of_old) == {("run", 1), ("run", 2)}
    assert (step.errors, step.stable_errors) == (0, 0)


@pytest.mark.parametrize(
    "request_", [asked(1, expected=["something else"]), asked(1, error="KeyError")]
)
def test_a_version_that_does_not_answer_as_recorded_is_rolled_back(
    scene: Scene, record: Record, request_: Request
) -> None:
    report = scene.replace(record(request_), IDLE)
    assert report.outcome == "rolled-back"
    assert " failed, 0 of " in report.reason
    assert scene.call(7) == ("1", 7)


def test_its_own_requests_must_be_answered_even_if_the_version_before_cannot(
    scene: Scene, record: Record
) -> None:
    def fail(*_: object) -> object:
        raise ValueError("neither can")

    scene.old.answer = fail
    report = scene.replace(record(asked(1), answer=fail), IDLE)
    assert report.outcome == "rolled-back", str(report)
    assert scene.replace(record(asked(1), version="3"), IDLE).ok


def test_an_error_that_is_the_recorded_answer_is_none(scene: Scene, record: Record) -> None:
    def refuse(*_: object) -> object:
        raise KeyError("as recorded")

    report = scene.replace(record(asked(1, error="KeyError"), answer=refuse), IDLE)
    assert report.ok, str(report)


def test_a_slow_version_is_found_by_recorded_requests(scene: Scene, record: Record) -> None:
    def slow(*_: object) -> object:
        threading.Event().wait(0.01)
        return 1

    plan = Canary(
        weights=(100,), requests=30, idle_s=0.0, p95_slack_s=0.004, alpha=0.01, keep_requests=0
    )
    report = scene.replace(record(asked(1), answer=slow), plan)
    assert report.outcome == "rolled-back", str(report)
    assert "took longer than" in report.reason


@pytest.mark.parametrize(("idempotent", "state"), [(False, False), (True, True)])
def test_what_may_not_be_made_twice_is_not_asked(
    record: Record, *, idempotent: bool, state: bool
) -> None:
    about = {"idempotent": idempotent, "state": state}
    host = Host()
    rollouts = Rollouts(host)
    asked_of_old: list[object] = []
    rollouts.adopt(
        Running(
            manifest("1", idempotent=idempotent, state=state),
            lambda *args: asked_of_old.append(args),
        )
    )
    report = rollouts.replace("acme.thing", record(asked(1), **about), plan=IDLE)
    rollouts.close()
    assert report.outcome == "rolled-back"
    assert "no requests are recorded" in report.reason
    assert ("run", 1) not in asked_of_old


@pytest.mark.parametrize(
    ("on_idle", "outcome", "reason"),
    [
        ("promote", "promoted", "no calls came in 0.02 s"),
        ("abort", "rolled-back", "at 20 %: no calls came in 0.02 s"),
        ("wait", "rolled-back", "at 20 %: too few to judge in 0.2 s"),
    ],
)
def test_without_recorded_requests_the_plan_says_what_becomes_of_it(
    scene: Scene, on_idle: OnIdle, outcome: str, reason: str
) -> None:
    plan = Canary(weights=(20, 100), idle_s=0.02, patience_s=0.2, on_idle=on_idle, keep_requests=0)
    report = scene.replace(new(), plan)
    assert (report.outcome, report.reason.startswith(reason)) == (outcome, True), report.reason


def test_what_is_not_said_is_safe() -> None:
    assert Canary().on_idle == "abort"
    with pytest.raises(InvalidParameterError, match="no such way"):
        Canary(on_idle="hope")  # type: ignore[arg-type] # that is the point


def test_patience_ends_what_recorded_requests_would_take_too_long_for(
    scene: Scene, record: Record
) -> None:
    plan = Canary(
        weights=(100,), requests=10**6, idle_s=0.0, patience_s=0.3, alpha=0.01, keep_requests=0
    )
    report = scene.replace(record(asked(1), asked(2)), plan)
    assert report.ok, str(report)
    assert 4 <= report.steps[0].recorded < 10**6


def test_a_file_of_requests_that_cannot_be_read_is_told(scene: Scene, record: Record) -> None:
    version = record(asked(1))
    (version.path[0] / "acme_thing" / PACKED).write_text("{}", "utf-8")
    report = scene.replace(version, IDLE)
    assert report.outcome == "rejected"
    assert "line 1 of the recorded requests" in report.reason
    assert scene.host.started == []


def test_calls_are_judged_where_they_come(scene: Scene, record: Record, calling: Calls) -> None:
    plan = Canary(weights=(50, 100), requests=30, idle_s=5.0, keep_requests=0, p95_slack_s=1.0)
    with calling(scene.call):
        report = scene.replace(record(asked(1)), plan)
    assert report.ok, str(report)
    assert [step.recorded for step in report.steps] == [0, 0]


def test_a_call_under_way_is_no_idleness(scene: Scene) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(*_: object) -> object:
        entered.set()
        leave.wait()
        return ("1",)

    scene.old.answer = wait
    caller = threading.Thread(target=scene.call)
    caller.start()
    entered.wait()
    plan = Canary(requests=10, idle_s=0.01, patience_s=0.3, keep_requests=0)
    report = scene.replace(new(), plan)
    leave.set()
    caller.join()
    assert "too few to judge in 0.3 s" in report.reason


def test_who_waits_is_told_what_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openautoglm.plugins.rollout.step.TELL_S", 0.02)
    told: list[Progress] = []
    plan = Canary(weights=(5, 100), requests=10, idle_s=0.2, keep_requests=0)
    report = scene.replace(new(), plan, progress=told.append)
    assert report.outcome == "rolled-back"
    first = told[0]
    assert (first.old, first.new, first.step, first.steps, first.weight) == ("1", "2", 1, 2, 5)
    assert str(first).startswith("step 1 of 2, 5 %: 0 of 4 answers of 2; waits for calls; none for")
    assert len(told) > 2
    assert told[-1].seconds > first.seconds
    bus: Bus = scene.bus
    assert [each["seconds"] for each in bus.progress] == [each.seconds for each in told]
    assert set(bus.progress[0]) >= {"plugin", "step", "weight", "answers", "wanted", "waits_for"}
    assert bus.types == {"plugin.state", "plugin.rollout"}
    assert "it is abort in" in first.waits_for


def test_a_host_that_closes_while_nobody_calls_says_so(scene: Scene, record: Record) -> None:
    done: list[Any] = []
    plan = Canary(requests=10**6, idle_s=0.0, keep_requests=0)
    thread = threading.Thread(target=lambda: done.append(scene.replace(record(asked(1)), plan)))
    thread.start()
    until(lambda: "canary" in scene.bus.states("2"))
    scene.rollouts.close()
    thread.join()
    assert done[0].outcome == "interrupted"


def test_requests_for_what_only_the_new_version_has_are_left_out(record: Record) -> None:
    from openautoglm.plugins.rollout.probes import recorded

    version = record(asked(1), Request(contribution="other", method="run"))
    assert [r.contribution for _, r in recorded(manifest("1"), version)] == ["thing"]
    nothing = msgspec.structs.replace(manifest("1"), provides=())
    assert recorded(nothing, version) == ()
