"""Upgrades of what is installed and not called, with and without the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import PluginNotFoundError, PluginPackageError, PluginReplaceError
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.inventory.state import Verdict
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.rollout.offline import OfflineAsks, candidate, upgrade
from openautoglm.plugins.rollout.outcome import RolloutReport
from openautoglm.plugins.rollout.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.rollout.outcome import Ending
    from openautoglm.plugins.rollout.plan import OnIdle

    Make = Callable[..., Path]


class Said:
    """A proof or a decision."""

    def __init__(self, *, good: Any) -> None:  # noqa: ANN401 - also what is no answer
        self.ok = self.allow = good
        self.reasons = ("because",)

    def summary(self) -> str:
        return "1 fail"


@pytest.fixture
def wheel(tmp_path: Path) -> Make:
    """Pack a version of a step; its code may be replaced."""

    def make(
        version: str,
        *,
        plugin: str = "acme.upper",
        code: str = "",
        change: tuple[str, str] | None = None,
        requests: bool = True,
        isolation: str = "auto",
    ) -> Path:
        folder = new_project(plugin, kind="step", into=tmp_path / f"{plugin}-{version}")
        project = folder / "pyproject.toml"
        text = project.read_text().replace('"0.1.0"', f'"{version}"')
        project.write_text(text.replace("schema = 1", f'schema = 1\nisolation = "{isolation}"'))
        (source,) = folder.glob("src/*/step.py")
        if code:
            source.write_text(code)
        if change:
            source.write_text(source.read_text().replace(*change))
        if not requests:
            (folder / "tests" / "requests.jsonl").unlink()
        return pack(folder).path

    return make


@pytest.fixture
def home(tmp_path: Path, wheel: Make, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """A home in which 0.1.0 is used."""
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    inventory = Inventory(tmp_path / "home")
    inventory.install(wheel("0.1.0"))
    return inventory


def test_a_version_is_used_once_all_have_said_yes(home: Inventory, wheel: Make) -> None:
    told: list[str] = []
    asks = OfflineAsks(
        verify=lambda _: Verdict(trusted=True, keys=("k1",)),
        validate=lambda _: Said(good=True),
        admit=lambda _, proof: Said(good=proof is not None),
    )
    new = candidate(home, "acme.upper", str(wheel("0.2.0")))
    report = upgrade(home, new, asks, told=lambda state, _: told.append(state))
    assert (report.outcome, report.old, report.new) == ("promoted", "0.1.0", "0.2.0")
    assert told == ["verified", "validated", "staged", "admitted", "active"]
    used = home.show("acme.upper")
    assert (used.version, used.previous, used.verdict.keys) == ("0.2.0", "0.1.0", ("k1",))


@pytest.mark.parametrize(
    ("asks", "reason"),
    [
        (OfflineAsks(validate=lambda _: Said(good=False)), "the check found: 1 fail"),
        (OfflineAsks(admit=lambda *_: Said(good=False)), "policy: because"),
        (OfflineAsks(admit=lambda *_: Said(good="yes")), "policy: because"),
    ],
)
def test_what_is_refused_changes_nothing(
    home: Inventory, wheel: Make, asks: OfflineAsks, reason: str
) -> None:
    before = home.show("acme.upper")
    report = upgrade(home, candidate(home, "acme.upper", str(wheel("0.2.0"))), asks)
    assert (report.outcome, report.reason) == ("rejected", reason)
    assert home.show("acme.upper") == before


def test_a_rehearsal_comes_before_the_switch(home: Inventory, wheel: Make) -> None:
    seen: list[tuple[str, str, str]] = []

    def rehearse(old: Installed, new: Installed) -> RolloutReport:
        seen.append((old.version, new.version, home.show("acme.upper").version))
        return report_of("promoted")

    new = candidate(home, "acme.upper", str(wheel("0.2.0")))
    report = upgrade(home, new, OfflineAsks(rehearse=rehearse))
    assert report.ok
    assert seen == [("0.1.0", "0.2.0", "0.1.0")]
    assert [change.new for change in report.changes][-2:] == ["canary", "active"]
    assert home.rollback("acme.upper").version == "0.1.0"


def test_a_rehearsal_that_fails_leaves_nothing_behind(home: Inventory, wheel: Make) -> None:
    before = home.show("acme.upper")
    new = candidate(home, "acme.upper", str(wheel("0.2.0")))
    report = upgrade(home, new, OfflineAsks(rehearse=lambda *_: report_of("rolled-back")))
    assert (report.outcome, report.reason) == ("rolled-back", "it was worse")
    assert home.show("acme.upper") == before
    with pytest.raises(PluginNotFoundError):
        home.show("acme.upper", version="0.2.0")


def report_of(outcome: Ending) -> RolloutReport:
    return RolloutReport(
        plugin="acme.upper", old="0.1.0", new="0.2.0", outcome=outcome, reason="it was worse"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "outcome", "said"),
    [
        ("text.upper()", "promoted", "recorded requests 0 of "),
        ("'wrong'", "rolled-back", " failed, 0 of "),
    ],
    ids=["good", "wrong"],
)
def test_the_rehearsal_makes_recorded_requests_of_both(
    home: Inventory, wheel: Make, code: str, outcome: str, said: str
) -> None:
    path = wheel("0.2.0", change=("text.upper()", code))
    told: list[str] = []
    rehearsal = Rehearsal(
        on_idle="abort", is_trusted=True, told=lambda state, why: told.append(f"{state} {why}")
    )
    report = upgrade(
        home, candidate(home, "acme.upper", str(path)), OfflineAsks(rehearse=rehearsal)
    )
    assert report.outcome == outcome, str(report)
    assert said in report.steps[0].reason
    assert told[0].startswith("canary step 1 of 1, 100 %: 0 of 4 answers of 0.2.0")


def test_a_rehearsal_runs_nothing_unconfined_that_nobody_said_to_trust(
    home: Inventory, wheel: Make, tmp_path: Path
) -> None:
    mark = tmp_path / "was-not-confined"
    writes = f"open({str(mark)!r}, 'w')"
    code = f"import contextlib\nwith contextlib.suppress(OSError):\n    {writes}\nfrom openautoglm"
    home.install(wheel("0.1.1", change=("from openautoglm", code), isolation="L1"))
    new = candidate(home, "acme.upper", str(wheel("0.2.0")))
    assert upgrade(home, new, OfflineAsks(rehearse=Rehearsal(on_idle="promote"))).ok
    assert not mark.exists()
    home.rollback("acme.upper")
    trusting = Rehearsal(on_idle="promote", is_trusted=True)
    assert upgrade(home, new, OfflineAsks(rehearse=trusting)).ok
    assert mark.exists()


@pytest.mark.parametrize(("on_idle", "ok"), [("promote", True), ("abort", False)])
def test_without_recorded_requests_the_check_decides_or_nothing_does(
    home: Inventory, wheel: Make, *, on_idle: OnIdle, ok: bool
) -> None:
    new = candidate(home, "acme.upper", str(wheel("0.2.0", requests=False)))
    report = upgrade(home, new, OfflineAsks(rehearse=Rehearsal(on_idle=on_idle)))
    assert report.ok is ok
    assert home.show("acme.upper").version == ("0.2.0" if ok else "0.1.0")


def test_a_wheel_that_changes_after_it_was_looked_at_is_not_installed(
    home: Inventory, wheel: Make
) -> None:
    new = candidate(home, "acme.upper", str(wheel("0.2.0")))
    shutil.copy(wheel("0.3.0"), new.wheel)
    with pytest.raises(PluginPackageError, match="not the wheel that was verified"):
        upgrade(home, new, OfflineAsks())
    assert home.show("acme.upper").version == "0.1.0"


def test_what_cannot_take_its_place_is_refused(home: Inventory, wheel: Make) -> None:
    with pytest.raises(PluginReplaceError, match="by another plugin"):
        candidate(home, "acme.upper", str(wheel("0.2.0", plugin="acme.other")))
    with pytest.raises(PluginReplaceError, match="in this version already"):
        candidate(home, "acme.upper", "0.1.0")
    with pytest.raises(PluginNotFoundError):
        candidate(home, "acme.upper", "7.0")
    with pytest.raises(PluginNotFoundError):
        candidate(home, "acme.none", "7.0")


def oag(*arguments: str | Path, exits: int = 0) -> str:
    command = [sys.executable, "-m", "openautoglm", "plugin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_command_goes_forth_and_back(home: Inventory, wheel: Make) -> None:
    told = oag("upgrade", "acme.upper", wheel("0.2.0"), "--trusted")
    assert "canary     step 1 of 1, 100 %: 0 of 4 answers of 0.2.0" in told
    assert "upgraded   acme.upper 0.1.0 -> 0.2.0" in told
    assert oag("upgrade", "acme.upper", "--rollback") == "back to   acme.upper 0.1.0\n"
    report: Any = json.loads(oag("upgrade", "acme.upper", "0.2.0", "--trusted", "--json"))
    assert report["outcome"] == "promoted"
    assert "a higher version" in oag("upgrade", "acme.upper", "0.1.0", "--trusted", exits=1)
    oag("upgrade", "acme.upper", "0.1.0", "--trusted", "--allow-downgrade")
    assert home.show("acme.upper").version == "0.1.0"


@pytest.mark.slow
def test_a_version_that_fails_its_check_is_shown_and_not_used(home: Inventory, wheel: Make) -> None:
    told = oag(
        "upgrade", "acme.upper", wheel("0.2.0", code="import nothing_there"), "--trusted", exits=1
    )
    assert "rejected   the check found" in told
    assert "fail" in told
    assert home.show("acme.upper").version == "0.1.0"


def test_the_command_wants_one_thing_to_do(home: Inventory) -> None:
    assert home.show("acme.upper").version == "0.1.0"
    oag("upgrade", "acme.upper", exits=2)
    oag("upgrade", "acme.upper", "0.2.0", "--rollback", exits=2)
