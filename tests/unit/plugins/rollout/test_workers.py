"""Replacements in a real host, with real workers."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import ops
from openautoglm.errors import PluginCrashedError, PluginReplaceError, PluginUnavailableError
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.rollout import AT_ONCE, Canary
from openautoglm.testing.bare import BARE_OBJECTS
from openautoglm.testing.versions import Bus, New, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.plugins.host.placing import Level

    Calls = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("bare_point")
PLAN = Canary(
    weights=(20, 100), requests=50, patience_s=20.0, alpha=0.01, drain_s=5.0, keep_requests=0
)
QUICK = Supervision(heartbeat_s=0.05, start_s=5.0, grace_s=0.05, backoff_s=0.01, stop_s=2.0)
PLUGIN = """
import os

class Thing:
    def __init__(self):
        self.count = 0

    def who(self, value):
        {body}
        return ["{version}", value]

    def next(self):
        self.count += 1
        return self.count

    def forever(self):
        while True:
            yield "{version}"

    def export_state(self):
        return self.count

    def import_state(self, state, from_version):
        {importing}
        self.count = state
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that writes a version of the plugin."""

    def version(
        number: str,
        *,
        body: str = "",
        importing: str = "",
        idempotent: bool = True,
        state: bool = False,
    ) -> New:
        folder = tmp_path / number
        (folder / "acme_thing").mkdir(parents=True)
        text = PLUGIN.format(version=number, body=body or "pass", importing=importing or "pass")
        (folder / "acme_thing" / "__init__.py").write_text(text, "utf-8")
        provides = Provides(
            point="bare",
            contract=1,
            name="thing",
            object="acme_thing:Thing",
            idempotent=idempotent,
            state=state,
        )
        manifest = Manifest(
            id="acme.thing",
            name="acme-thing",
            version=number,
            package="acme_thing",
            host_api=">=1.0,<2",
            isolation="L1",
            limits=Limits(call_timeout_s=5.0),
            provides=(provides,),
        )
        return New(manifest, lambda *_: None, (folder,))

    return version


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def host(tmp_path: Path, bus: Bus) -> Iterator[PluginHost]:
    with PluginHost(home=tmp_path / "home", supervision=QUICK, bus=bus) as made:
        yield made


def thing() -> Any:  # noqa: ANN401 - a remote object
    return BARE_OBJECTS.get("thing")


@pytest.mark.slow
def test_what_the_registry_holds_goes_on_to_the_new_version(
    host: PluginHost, bus: Bus, make: Callable[..., New], calling: Calls
) -> None:
    host.start(make("1.0"))
    held = thing()
    with calling(lambda value: held.call("who", value)) as got:
        report: Any = host.replace("acme.thing", make("2.0"), plan=PLAN)
    assert report.ok, str(report)
    assert got.errors == []
    assert {version for version, _ in got.answers} == {"1.0", "2.0"}
    assert held.call("who", 1) == thing().call("who", 1) == ["2.0", 1]
    assert [each.manifest.version for each in host.plugins] == ["2.0"]
    assert ("2.0", "canary", "active") in {event[:3] for event in bus.events}


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    ["raise ValueError(value)", "os._exit(3)", "__import__('time').sleep(0.05)"],
    ids=["raises", "dies", "slow"],
)
def test_a_bad_version_is_rolled_back_and_no_request_is_lost(
    host: PluginHost, make: Callable[..., New], calling: Calls, body: str
) -> None:
    host.start(make("1.0"))
    with calling(lambda value: [value, thing().call("who", value)]) as got:
        report: Any = host.replace("acme.thing", make("2.0", body=body), plan=PLAN)
    assert report.outcome == "rolled-back", str(report)
    assert got.errors == []
    assert all(answer[1] == value for value, answer in got.answers)
    assert [each.manifest.version for each in host.plugins] == ["1.0"]


@pytest.mark.slow
def test_a_version_that_cannot_be_imported_never_serves(
    host: PluginHost, make: Callable[..., New]
) -> None:
    host.start(make("1.0"))
    broken = make("2.0")
    (broken.path[0] / "acme_thing" / "__init__.py").write_text("import nothing_there", "utf-8")
    report: Any = host.replace("acme.thing", broken, plan=PLAN)
    assert report.outcome == "rejected"
    assert "nothing_there" in report.reason
    assert thing().call("who", 1) == ["1.0", 1]


@pytest.mark.slow
@pytest.mark.parametrize("importing", ["", "raise ValueError(state)"], ids=["moves", "refused"])
def test_state_goes_on_counting(
    host: PluginHost, make: Callable[..., New], calling: Calls, importing: str
) -> None:
    host.start(make("1.0", state=True))
    with calling(lambda _: thing().call("next"), 4) as got:
        new = make("2.0", state=True, importing=importing)
        report: Any = host.replace("acme.thing", new, plan=PLAN)
    assert report.ok is (not importing)
    assert got.errors == []
    assert sorted(got.answers) == list(range(1, len(got.answers) + 1))


@pytest.mark.slow
def test_a_stream_that_goes_on_longer_than_its_version_ends_in_an_error(
    host: PluginHost, make: Callable[..., New]
) -> None:
    host.start(make("1.0"))
    stream = thing().stream("forever")
    assert next(stream) == "1.0"
    plan = Canary(weights=(100,), requests=0, drain_s=0.05, keep_requests=0)
    report: Any = host.replace("acme.thing", make("2.0"), plan=plan)
    assert report.ok
    with pytest.raises((PluginUnavailableError, PluginCrashedError)):
        all(value == "1.0" for value in stream)
    assert next(thing().stream("forever")) == "2.0"


@pytest.mark.slow
def test_a_new_version_that_crashes_again_and_again_gives_way_to_the_last_good_one(
    tmp_path: Path, make: Callable[..., New]
) -> None:
    limits = Supervision(heartbeat_s=0.05, start_s=5.0, intensity=1, backoff_s=0.01, stop_s=2.0)
    with PluginHost(home=tmp_path / "home", supervision=limits) as host:
        host.start(make("1.0"))
        plan = Canary(weights=(100,), requests=0, keep_requests=10_000)
        report: Any = host.replace("acme.thing", make("2.0"), plan=plan)
        assert report.ok
        new = host.plugins[-1]
        while new.state not in {"quarantined", "stopping", "stopped"}:
            for worker in new.health.workers:
                os.kill(worker.pid, signal.SIGKILL)
            assert thing().call("who", 1)[1] == 1
        assert thing().call("who", 1) == ["1.0", 1]


@pytest.mark.slow
def test_a_host_that_closes_in_the_middle_answers_or_says_why_not(
    tmp_path: Path, make: Callable[..., New], calling: Calls
) -> None:
    import threading

    bus, done = Bus(), list[Any]()
    patient = replace(QUICK, start_s=20.0)  # on a busy machine a version may start late
    with PluginHost(home=tmp_path / "home", supervision=patient, bus=bus) as host:
        host.start(make("1.0"))
        held = thing()
        with calling(lambda value: held.call("who", value)) as got:
            plan = Canary(requests=10**6, p95_slack_s=60.0)  # slow is what a busy machine is
            thread = threading.Thread(
                target=lambda: done.append(host.replace("acme.thing", make("2.0"), plan=plan))
            )
            thread.start()
            until(lambda: not {"canary", "rejected"}.isdisjoint(bus.states("2.0")), timeout_s=30.0)
            host.close()
            thread.join()
    assert done[0].outcome == "interrupted"
    assert bus.states("2.0")[-1] in {"retired", "stopped"}
    assert {type(error) for error in got.errors} <= {PluginUnavailableError, PluginCrashedError}
    assert BARE_OBJECTS.names() == ()


@pytest.mark.slow
def test_in_the_process_calls_are_not_routed_and_versions_change_at_once(
    tmp_path: Path, make: Callable[..., New]
) -> None:
    levels: tuple[Level, ...] = ("L0",)
    with PluginHost(home=tmp_path / "home", levels=levels) as host:
        host.start(make("1.0"), isolation="L0")
        with pytest.raises(PluginReplaceError, match="calls are not routed"):
            host.replace("acme.thing", make("2.0"), isolation="L0")
        again: Any = host.replace("acme.thing", make("2.1"), plan=AT_ONCE, isolation="L0")
        assert again.ok, str(again)
        assert thing().who(1) == ["2.1", 1]


@pytest.mark.slow
def test_an_operator_is_found_at_any_moment(tmp_path: Path, calling: Calls) -> None:
    project = new_project("acme.try-it", kind="operator-python", into=tmp_path / "work")
    described = project / "pyproject.toml"
    inventory = Inventory(tmp_path / "home")
    first = inventory.install(pack(project).path)
    described.write_text(described.read_text().replace('"0.1.0"', '"0.2.0"'))
    second = inventory.install(pack(project).path)
    name = first.manifest.provides[0].name
    with PluginHost(home=tmp_path / "scratch", supervision=QUICK) as host:
        host.start(first, isolation="L1")
        with calling(lambda _: ops.get(name).name) as got:
            report: Any = host.replace("acme.try-it", second, plan=AT_ONCE, isolation="L1")
        assert report.ok, str(report)
        assert got.errors == []
        assert ops.get(name).name == name
    assert name not in ops.names()
