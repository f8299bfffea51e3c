"""What policy is told of an installed plugin, and what rules make of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import PluginReplaceError, PluginUnavailableError
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.inventory.known import Known, known_of
from openautoglm.plugins.report import Finding, PluginReport
from openautoglm.plugins.rollout.offline import OfflineAsks, candidate, upgrade
from openautoglm.plugins.signing import KeyringFile, new_local_key, sign
from openautoglm.policy import DEFAULT_RULES, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.inventory.inventory import Inventory

PASSED = (Finding(row="trial.load", status="pass"), Finding(row="static.size", status="warn"))


class Asked:
    """A policy that says no and keeps what it was told."""

    def __init__(self) -> None:
        self.document: Any = None
        self.allow = False
        self.reasons = ("no",)

    def decide(self, document: Mapping[str, object], /) -> Asked:
        self.document = document
        return self


def told(found: Installed, home: Inventory) -> Any:  # noqa: ANN401 - a document
    """Return the input of policy when a host starts a plugin; it can be sent as JSON."""
    asked = Asked()
    with PluginHost(policy=asked) as host, pytest.raises(PluginUnavailableError):
        host.start(found, verdict=home.judged(found))
    return json.loads(json.dumps(asked.document))


def report(version: str = "0.1.0", profile: str = "full") -> PluginReport:
    return PluginReport(plugin="acme.upper", version=version, findings=PASSED, profile=profile)


def test_a_host_tells_of_the_check_and_of_no_downgrade(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    found = home.install(wheel(), report=report())
    document = told(found, home)
    assert document["report"] == {
        "ok": True,
        "plugin": "acme.upper",
        "version": "0.1.0",
        "profile": "full",
        "digest": report().digest,
        "signed": False,
        "failed": [],
        "warned": ["static.size"],
    }
    assert document["installed"] == {"is_downgrade": False}
    assert document["requested"]["switches"] == []


def test_without_a_check_there_is_no_report(home: Inventory, wheel: Callable[..., Path]) -> None:
    assert told(home.install(wheel()), home)["report"] is None
    assert known_of(home.show("acme.upper").manifest) == Known()


def test_going_back_is_a_downgrade_that_a_person_wanted(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    home.install(wheel())
    home.install(wheel(version="0.2.0"))
    document = told(home.rollback("acme.upper"), home)
    assert document["installed"] == {"is_downgrade": True}
    assert document["requested"]["switches"] == ["downgrade"]
    assert told(home.rollback("acme.upper"), home)["installed"] == {"is_downgrade": False}


def test_a_report_is_signed_as_long_as_the_key_counts(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    path = wheel()
    sign(path, new_local_key(home.home, "mine").key, report())
    found = home.install(path, report=report(profile="static"))
    assert told(found, home)["report"]["signed"] is True
    assert told(found, home)["report"]["profile"] == "full"
    (home.home / "keyring.json").unlink()
    assert told(found, home)["report"]["signed"] is False


def test_a_signed_version_that_was_only_put_there_keeps_none_out(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    key = new_local_key(home.home, "mine").key
    for version, is_used in (("0.1.0", True), ("0.3.0", False), ("0.2.0", True)):
        path = wheel("acme.upper", version)
        sign(path, key)
        assert home.install(path, enable=is_used).verdict.trusted
    assert KeyringFile(home.home / "keyring.json").read().versions == {"acme.upper": "0.2.0"}
    old = wheel("acme.upper", "0.1.1")
    sign(old, key)
    with pytest.raises(PluginReplaceError, match="a higher version") as refused:
        home.install(old)
    assert refused.value.got == "0.1.1, after 0.2.0"


def test_the_report_of_an_upgrade_is_kept_and_an_older_version_needs_somebody_to_admit_it(
    home: Inventory, wheel: Callable[..., Path]
) -> None:
    old = wheel()
    home.install(wheel(version="0.2.0"))
    new = candidate(home, "acme.upper", str(old))
    with pytest.raises(PluginReplaceError, match="a higher version"):
        upgrade(home, new, OfflineAsks())
    yes = Asked()
    yes.allow = True
    asks = OfflineAsks(validate=lambda _: report(profile="quick"), admit=lambda *_: yes)
    assert upgrade(home, new, asks).ok
    kept = home.show("acme.upper").proof
    assert kept is not None
    assert (kept.ok, kept.profile, kept.warned) == (True, "quick", ("static.size",))


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        ({"require_report": True}, "there is no check report"),
        ({"require_signed_report": True}, "a check report that a trusted key stands for"),
        ({"allow_downgrade": False}, "an older version than one before"),
        ({}, None),
    ],
)
def test_rules_can_ask_for_a_check_and_for_no_older_version(
    home: Inventory, wheel: Callable[..., Path], lists: Mapping[str, bool], reason: str | None
) -> None:
    home.install(wheel())
    home.install(wheel(version="0.2.0"))
    document = told(home.rollback("acme.upper"), home)
    with Policy.load(DEFAULT_RULES, data={"plugin": lists}) as policy:
        decision = policy.decide(document)
    assert decision.allow is (reason is None)
    assert reason is None or any(reason in each for each in decision.reasons)


def test_a_rule_of_ones_own_sees_the_rows(
    home: Inventory, wheel: Callable[..., Path], tmp_path: Path
) -> None:
    document = told(home.install(wheel(), report=report()), home)
    (tmp_path / "input.json").write_text(json.dumps(document))
    (tmp_path / "own.rego").write_text(
        "package plugin.admission\nimport rego.v1\n"
        'deny contains "too large" if "static.size" in input.report.warned\n'
    )
    command = [sys.executable, "-m", "openautoglm", "policy", "eval"]
    command += ["--input", str(tmp_path / "input.json"), "--rules", str(DEFAULT_RULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["allow"]) == (0, True)
    command += ["--rules", str(tmp_path / "own.rego")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["reasons"]) == (1, ["too large"])
