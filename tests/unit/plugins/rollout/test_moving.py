"""What outlives a call while versions change: streams, state, the host itself."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import (
    PluginCallError,
    PluginCrashedError,
    PluginReplaceError,
)
from openautoglm.plugins.rollout import AT_ONCE, Canary, Rollouts
from openautoglm.testing.versions import Host, Running, manifest, new, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Scene = Any
    Calls = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("bare_point")

QUICK = Canary(
    weights=(20, 100), requests=30, patience_s=10.0, alpha=0.01, drain_s=5.0, keep_requests=0
)


# streams


def test_a_stream_stays_on_its_version_and_is_waited_for(scene: Scene) -> None:
    scene.old.answer = lambda *_: itertools.repeat("1")
    remote = scene.rollouts.remote("acme.thing", "thing")
    stream = remote.stream("count")
    assert next(stream) == "1"
    plan = Canary(weights=(100,), requests=0, drain_s=60.0, keep_requests=0)
    thread = threading.Thread(target=lambda: scene.replace(new(), plan))
    thread.start()
    until(lambda: scene.bus.states("2")[-1:] == ["active"])
    assert [next(stream) for _ in range(3)] == ["1", "1", "1"]
    assert scene.host.stopped == []
    assert scene.call() == ("2",)
    stream.close()
    thread.join()
    assert scene.host.stopped == ["1"]


def test_a_stream_that_fails_before_its_first_value_begins_again_elsewhere(
    scene: Scene, calling: Calls
) -> None:
    def values(version: str) -> Callable[..., object]:
        def answer(*_: object) -> Iterator[str]:
            if version == "2":
                raise PluginCrashedError("its worker died")
            yield from [version] * 3

        return answer

    scene.old.answer = values("1")
    remote = scene.rollouts.remote("acme.thing", "thing")
    with calling(lambda _: list(remote.stream("count"))) as got:
        report = scene.replace(new(answer=values("2")))
    assert report.outcome == "rolled-back"
    assert got.errors == []
    assert all(values == ["1", "1", "1"] for values in got.answers)
    assert scene.rollouts.table("acme.thing").snapshot.stable.in_flight == 0


def test_calls_that_belong_together_stay_on_their_version(scene: Scene) -> None:
    remote: Any = scene.rollouts.remote("acme.thing", "thing")
    pinned = remote.pinned()
    plan = Canary(weights=(100,), requests=0, drain_s=0.0, keep_requests=1)
    assert scene.replace(new(), plan).ok
    assert pinned.call("write", 1) == ("1", 1)
    assert remote.call("write", 1) == ("2", 1)


# state


class Counter:
    """Counts; its state is the count."""

    def __init__(self, version: str, fault: str = "") -> None:
        self.version, self.fault = version, fault
        self.count, self.imported = 0, ""
        self.lock = threading.Lock()

    def __call__(self, method: str, *args: Any) -> object:  # noqa: ANN401 - a state
        if method == self.fault:
            raise PluginCallError(f"{method} raised")
        if method == "export_state":
            return {"count": self.count}
        if method == "import_state":
            self.count, self.imported = args[0]["count"], args[1]
            return None
        with self.lock:
            self.count += 1
            return self.count


@pytest.fixture
def counting() -> Iterator[tuple[Rollouts, Host, Counter]]:
    host, first = Host(), Counter("1")
    rollouts = Rollouts(host)
    rollouts.adopt(Running(manifest("1", state=True), first))
    yield rollouts, host, first
    rollouts.close()


def test_state_moves_and_no_count_is_lost_or_doubled(
    counting: tuple[Rollouts, Host, Counter], calling: Calls
) -> None:
    rollouts, _, _ = counting
    remote = rollouts.remote("acme.thing", "thing")
    with calling(lambda _: remote.call("next"), 4) as got:
        for version in range(2, 12):
            second = Counter(str(version))
            report = rollouts.replace(
                "acme.thing", new(str(version), second, state=True), plan=QUICK
            )
            assert report.ok, str(report)
            assert second.imported == str(version - 1)
            assert report.held_ms > 0
    assert sorted(got.answers) == list(range(1, len(got.answers) + 1))
    assert got.errors == []


@pytest.mark.parametrize("fault", ["import_state", "next"])
def test_a_version_that_fails_gives_the_state_back(
    counting: tuple[Rollouts, Host, Counter], calling: Calls, fault: str
) -> None:
    rollouts, _, first = counting
    remote = rollouts.remote("acme.thing", "thing")
    with calling(lambda _: remote.call("next"), 4) as got:
        report = rollouts.replace(
            "acme.thing", new("2", Counter("2", fault), state=True), plan=QUICK
        )
    assert report.outcome == "rolled-back"
    assert sorted(got.answers) == list(range(1, len(got.answers) + 1))
    assert (got.errors == []) is (fault == "import_state")
    assert first.count == len(got.answers)


def test_a_failed_export_leaves_everything_as_it_was(
    counting: tuple[Rollouts, Host, Counter],
) -> None:
    rollouts, host, first = counting
    first.fault = "export_state"
    report = rollouts.replace("acme.thing", new("2", Counter("2"), state=True), plan=QUICK)
    assert (report.outcome, host.stopped) == ("rolled-back", ["2"])
    assert "its state did not move: export_state raised" in report.reason
    assert rollouts.remote("acme.thing", "thing").call("next") == 1


def test_state_of_several_workers_does_not_move(
    counting: tuple[Rollouts, Host, Counter],
) -> None:
    rollouts, _, _ = counting
    with pytest.raises(PluginReplaceError, match="cannot move"):
        rollouts.replace("acme.thing", new("2", state=True), workers=2)


# the end


def test_closing_in_the_middle_keeps_the_old_version_and_says_so(
    scene: Scene, calling: Calls
) -> None:
    done: list[Any] = []
    plan = Canary(requests=10**6, patience_s=600.0)
    with calling(scene.call) as got:
        thread = threading.Thread(target=lambda: done.append(scene.replace(new(), plan)))
        thread.start()
        until(lambda: scene.bus.states("2")[-1:] == ["canary"])
        scene.rollouts.close()
        thread.join()
    assert done[0].outcome == "interrupted"
    assert done[0].reason == "the host is being closed"
    assert scene.bus.states("2")[-2:] == ["rolled-back", "retired"]
    assert got.errors == []
    with pytest.raises(PluginReplaceError, match="the host is closed"):
        scene.replace(new("3"))


def test_a_bus_that_fails_stops_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise RuntimeError("the bus is closed")

    monkeypatch.setattr(scene.bus, "emit", closed)
    assert scene.replace(new(), AT_ONCE).ok


def test_a_plan_that_makes_no_sense_is_refused() -> None:
    from openautoglm.errors import InvalidParameterError

    wrong: list[dict[str, Any]] = [
        {"weights": ()},
        {"weights": (5, 25)},
        {"weights": (25, 5, 100)},
        {"weights": (0, 100)},
        {"alpha": 0.0},
        {"p95_ratio": 0.5},
        {"max_error_rate": 1.0},
        {"requests": -1},
    ]
    for fields in wrong:
        with pytest.raises(InvalidParameterError):
            Canary(**fields)
