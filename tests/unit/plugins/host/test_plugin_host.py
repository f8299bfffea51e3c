"""Who is let in, at which level, and where contributions are found."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import (
    NameTakenError,
    PluginLoadError,
    PluginUnavailableError,
    UnknownNameError,
)
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.placing import level_of, place_of
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE_OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.plugins.host.placing import Level

    Start = Callable[..., Any]

LOCAL: tuple[Level, ...] = ("L0",)
STEP = '''
"""A step."""

from collections.abc import Mapping
from typing import ClassVar

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    """Write in capitals."""

    outputs: ClassVar[Mapping[str, str]] = {"text": "in capitals"}

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"text": text.upper()}
'''


@dataclass(frozen=True)
class Verdict:
    """What signing says."""

    trusted: bool

    def to_json(self) -> Mapping[str, object]:
        return {"state": "trusted" if self.trusted else "unsigned", "reasons": []}


def manifest(isolation: str = "auto", **fields: Any) -> Manifest:  # noqa: ANN401 - fields of a manifest
    provides = Provides(
        point=fields.pop("point", "bare"),
        contract=fields.pop("contract", 1),
        name="acme.thing",
        object=fields.pop("object", "probe_plugin:Probe"),
    )
    return Manifest(
        id="acme.thing",
        name="acme-thing",
        version=fields.pop("version", "1.0"),
        package=fields.pop("package", "probe_plugin"),
        host_api=">=1.0,<2",
        isolation=isolation,  # type: ignore[arg-type] # as in a file
        provides=(provides,),
    )


# levels, as decisions


@pytest.mark.parametrize(
    ("isolation", "point", "asked", "trusted", "allowed", "level"),
    [
        ("auto", "step", None, False, "L1 L2 L3", "L2"),
        ("auto", "operator", None, False, "L1 L2 L3", "L2"),
        ("auto", "operator", None, True, "L1 L2 L3", "L0"),
        ("auto", "operator", None, False, "L0 L2", "L0"),
        ("L0", "step", None, True, "L1 L2 L3", "L0"),
        ("L1", "step", None, False, "L1 L2 L3", "L1"),
        ("L1", "step", "L2", False, "L1 L2 L3", "L2"),
        ("L0", "step", "L2", False, "L1 L2 L3", "L2"),
    ],
)
def test_the_level_is_the_weakest_that_is_asked_for_and_allowed(
    isolation: str,
    point: str,
    asked: Level | None,
    *,
    trusted: bool,
    allowed: str,
    level: str,
) -> None:
    made = manifest(isolation, point=point)
    assert level_of(made, asked, allowed.split(), is_trusted=trusted) == level  # type: ignore[arg-type] # words


@pytest.mark.parametrize(
    ("isolation", "asked", "allowed", "why"),
    [
        ("L0", None, "L1 L2 L3", "no trusted key signed it"),
        ("L2", "L0", "L1 L2 L3", "no trusted key signed it"),
        ("L1", None, "L2 L3", "this host runs L2, L3"),
        ("L3", None, "L1 L2", "this host runs L1, L2"),
    ],
)
def test_a_level_that_is_not_allowed_is_refused(
    isolation: str,
    asked: Level | None,
    allowed: str,
    why: str,
) -> None:
    with pytest.raises(PluginUnavailableError, match=why):
        level_of(manifest(isolation), asked, allowed.split(), is_trusted=False)  # type: ignore[arg-type] # words


def test_a_contribution_that_cannot_leave_the_process_is_refused_elsewhere() -> None:
    provides = manifest("L2", point="driver").provides[0]
    with pytest.raises(PluginUnavailableError, match="cannot run at L2"):
        place_of(provides, POINTS.get("driver"), "L2")


def test_a_contribution_for_another_contract_is_refused(host: PluginHost) -> None:
    with pytest.raises(PluginUnavailableError, match="contract 7; this host has 1"):
        host.start(manifest("L1", contract=7))


def test_a_contribution_to_no_point_is_refused(host: PluginHost) -> None:
    with pytest.raises(UnknownNameError, match="no extension point is called `nowhere`"):
        host.start(manifest("L1", point="nowhere"))


# L0


def test_code_at_l0_runs_here_and_is_forgotten_at_its_end(probe_path: Path) -> None:
    with PluginHost() as host:
        running = host.start(manifest("L0"), path=[probe_path], verdict=Verdict(trusted=True))
        probe: Any = running.remote("acme.thing")
        assert probe.call("thread") == __import__("threading").get_ident()
        assert list(probe.stream("count", 3)) == [0, 1, 2]
        assert BARE_OBJECTS.get("acme.thing").told == "nothing"  # type: ignore[attr-defined] # the object itself
        assert running.empty(3).shape == (3,)
        assert running.health.level == "L0"
        second = host.start(
            manifest("L0"), path=[probe_path], verdict=Verdict(trusted=True), register=False
        )
        second.remote("acme.thing").call("import_state", "other", "1.0")
        assert probe.call("what_was_told") == "nothing"
    assert not [name for name in sys.modules if "acme_thing" in name or "probe_plugin" in name]
    assert running.state == "stopped"


def test_the_switch_for_l0_lets_unsigned_code_in(probe_path: Path) -> None:
    with PluginHost(levels=LOCAL) as host:
        assert host.start(manifest("L0"), path=[probe_path]).level == "L0"


def test_an_import_that_fails_at_l0_leaves_nothing(probe_path: Path) -> None:
    with PluginHost(levels=LOCAL) as host:
        with pytest.raises(PluginLoadError, match="cannot be imported"):
            host.start(manifest("L0", object="probe_plugin:Absent"), path=[probe_path])
        assert host.plugins == ()
    assert not [name for name in sys.modules if "probe_plugin" in name]


# registries


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_contributions_are_registered_under_the_plugins_id_and_revoked(
    host: PluginHost, start: Start, level: str
) -> None:
    running = start(host, level=level)
    assert BARE_OBJECTS.entry("acme.probe").owner == "acme.probe"
    found: Any = BARE_OBJECTS.get("acme.probe")
    assert found.call("echo", 1) == 1
    host.stop("acme.probe")
    assert BARE_OBJECTS.names() == ()
    assert running.state == "stopped"


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_folder_may_be_given_from_here(
    host: PluginHost,
    probe_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    level: str,
) -> None:
    if level == "L2" and not supported().sandbox:
        pytest.skip(f"no sandbox here: {supported().reasons}")
    monkeypatch.chdir(probe_path.parent)
    running = host.start(manifest(level), path=[Path(probe_path.name)])
    assert running.remote("acme.thing").call("echo", 1) == 1


def test_a_taken_name_stops_the_newcomer_and_leaves_the_other(
    host: PluginHost, start: Start
) -> None:
    with owned_by("someone"):
        BARE_OBJECTS.add("acme.probe", "theirs")
    try:
        with pytest.raises(NameTakenError, match="someone"):
            start(host)
        assert BARE_OBJECTS.get("acme.probe") == "theirs"
        assert host.plugins == ()
    finally:
        BARE_OBJECTS.revoke("someone")


def test_a_second_version_serves_beside_the_first(host: PluginHost, start: Start) -> None:
    start(host)
    new = start(host, version="2.0", register=False)
    assert new.remote("acme.probe").call("echo", 2) == 2
    assert [running.manifest.version for running in host.plugins] == ["1.0", "2.0"]
    host.stop(new)
    assert BARE_OBJECTS.get("acme.probe").call("echo", 1) == 1  # type: ignore[attr-defined] # a remote object


def test_a_version_hands_its_names_over_to_the_next(host: PluginHost, start: Start) -> None:
    old = start(host)
    new = start(host, version="2.0", register=False)
    pid: Any = new.remote("acme.probe").call("pid")
    old.hand_over(new)
    assert BARE_OBJECTS.get("acme.probe").call("pid") == pid  # type: ignore[attr-defined] # a remote object
    host.stop(old)
    assert BARE_OBJECTS.get("acme.probe").call("pid") == pid  # type: ignore[attr-defined] # a remote object
    host.stop(new)
    assert BARE_OBJECTS.names() == ()


def test_a_version_with_other_names_hands_over_what_it_has(host: PluginHost, start: Start) -> None:
    old = start(host)
    new = start(host, version="2.0", as_name="acme.other", register=False)
    with owned_by("someone"):
        BARE_OBJECTS.add("acme.other", "theirs")
    with pytest.raises(NameTakenError):
        old.hand_over(new)
    assert BARE_OBJECTS.names() == ("acme.other", "acme.probe")
    BARE_OBJECTS.revoke("someone")
    old.hand_over(new)
    assert BARE_OBJECTS.names() == ("acme.other",)


def test_drain_waits_for_the_calls_under_way(host: PluginHost, start: Start) -> None:
    import threading

    running = start(host)
    began = threading.Event()

    def call() -> None:
        began.set()
        running.remote("acme.probe").call("wait", 0.1)

    thread = threading.Thread(target=call)
    thread.start()
    began.wait()
    assert running.drain(5.0)
    thread.join()
    assert running.health.in_flight == 0


def test_a_step_of_a_plugin_runs_in_a_sandbox(host: PluginHost, tmp_path: Path) -> None:
    from openautoglm.pipeline.catalog import STEPS

    if not supported().sandbox:
        pytest.skip(f"no sandbox here: {supported().reasons}")
    package = tmp_path / "acme_upper"
    package.mkdir()
    (package / "__init__.py").write_text(STEP, encoding="utf-8")
    made = manifest(point="step", object="acme_upper:Upper", package="acme_upper")
    running = host.start(made, path=[tmp_path])
    assert running.level == "L2"
    step: Any = STEPS.get("acme.thing")()
    assert step.run(text="hello") == {"text": "HELLO"}
    host.stop(running)
    assert "acme.thing" not in STEPS.names()


# policy


@dataclass(frozen=True)
class Decision:
    """What a policy says."""

    allow: bool
    reasons: tuple[str, ...] = ()


class Asked:
    """A policy that answers one thing, and remembers the question."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.document: Mapping[str, Any] = {}

    def decide(self, document: Mapping[str, object], /) -> Decision:
        self.document = document
        return self.decision


def test_policy_decides_who_runs(start: Start) -> None:
    policy = Asked(Decision(allow=False, reasons=("not on a Monday",)))
    with PluginHost(policy=policy) as host:
        with pytest.raises(PluginUnavailableError, match="not on a Monday"):
            start(host)
        assert host.plugins == ()
    assert policy.document["manifest"]["id"] == "acme.probe"
    assert policy.document["requested"] == {"isolation": "L1", "switches": []}
    assert policy.document["signature"]["state"] == "unsigned"


def test_policy_lets_in(start: Start) -> None:
    policy = Asked(Decision(allow=True))
    with PluginHost(policy=policy) as host:
        assert start(host, verdict=Verdict(trusted=True)).state == "running"
    assert policy.document["signature"]["state"] == "trusted"


def test_only_true_admits(start: Start) -> None:
    policy = Asked(Decision(allow="yes"))  # type: ignore[arg-type] # a policy that is not exact
    with PluginHost(policy=policy) as host, pytest.raises(PluginUnavailableError):
        start(host)
