"""`oag plugin key|sign|verify` as a person uses them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
import typer
from typer.main import get_command

from openautoglm.cli.plugin import doctor
from openautoglm.cli.plugin_install import install
from openautoglm.cli.plugin_signing import PASSPHRASE, signing_commands
from openautoglm.errors import (
    InputDecodeError,
    KeyringError,
    PackageRefusedError,
    PluginPackageError,
    PluginReplaceError,
    SigningKeyError,
)
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.inventory.state import Proof
from openautoglm.plugins.report import Finding, PluginReport
from openautoglm.plugins.signing.verify import report_beside

if TYPE_CHECKING:
    from collections.abc import Mapping


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(
        self, *, version: str = "1.0", files: Mapping[str, bytes] | None = None
    ) -> Path: ...


@dataclass(frozen=True)
class Plugin:
    """`oag plugin` with a home of its own: its exit code and what it printed."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *args: str | Path) -> tuple[int, str]:
        app = typer.Typer()
        signing_commands(app)
        command = get_command(app)
        self.capsys.readouterr()
        code = 0
        with command.make_context("plugin", [str(arg) for arg in args]) as context:
            try:
                command.invoke(context)
            except typer.Exit as end:
                code = end.exit_code
        return code, self.capsys.readouterr().out


@pytest.fixture
def plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Plugin:
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(PASSPHRASE, raising=False)
    return Plugin(capsys)


def test_make_a_key_sign_verify_and_revoke(plugin: Plugin, wheel: WheelMaker) -> None:
    path = wheel()
    assert plugin("verify", path) == (1, "unsigned\n  unsigned\n")
    assert plugin("key", "new", "mine")[0] == 0
    assert plugin("sign", path, "--key", "mine")[1] == f"signed  {path}.dsse.json\n"
    assert plugin("verify", path) == (0, "trusted by mine\n")
    assert plugin("key", "revoke", "mine", "--reason", "lost")[0] == 0
    code, told = plugin("verify", path)
    assert code == 1
    assert "revoked-key: mine (lost)" in told
    assert "revoked" in plugin("key", "list")[1]


def test_a_key_is_shown_on_one_machine_and_trusted_on_another(
    plugin: Plugin, wheel: WheelMaker, tmp_path: Path
) -> None:
    path = wheel()
    plugin("key", "new", "mine")
    plugin("sign", path, "--key", "mine")
    public = plugin("key", "show", "mine")[1].strip()
    there = ("--home", tmp_path / "there")
    assert plugin("verify", path, *there)[0] == 1
    plugin("key", "trust", "alice", public, "--id", "acme.*", "--days", "30", *there)
    assert plugin("verify", path, *there) == (0, "trusted by alice\n")
    assert plugin("key", "need", "author=1", "reviewer=1", *there)[1].endswith("1 reviewer\n")
    code, told = plugin("verify", path, "--json", *there)
    assert code == 1
    assert json.loads(told)["reasons"][0]["code"] == "threshold"
    with pytest.raises(KeyringError, match="base64"):
        plugin("key", "trust", "bob", "no key!", *there)
    with pytest.raises(KeyringError, match="a role and a number"):
        plugin("key", "need", "author", *there)


def test_a_report_is_signed_and_asked_for(
    plugin: Plugin, wheel: WheelMaker, tmp_path: Path
) -> None:
    path = wheel()
    found = (Finding(row="static.peers", status="pass"),)
    report = PluginReport(plugin="acme.upper", version="1.0", findings=found)
    file = tmp_path / "report.json"
    file.write_text(report.to_json(), encoding="utf-8")
    plugin("key", "new", "mine")
    plugin("sign", path, "--key", "mine", "--report", file)
    assert plugin("verify", path, "--report", file)[0] == 0
    other = PluginReport(plugin="acme.upper", version="1.0", findings=(*found, *found))
    file.write_text(other.to_json(), encoding="utf-8")
    assert "report-digest" in plugin("verify", path, "--report", file)[1]
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(InputDecodeError, match="no report"):
        plugin("verify", path, "--report", file)


def test_a_locked_key_takes_its_passphrase_from_the_environment(
    plugin: Plugin, wheel: WheelMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    plugin("key", "new", "mine", "--lock")
    path = wheel()
    assert plugin("sign", path, "--key", "mine")[0] == 0
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(SigningKeyError, match="no terminal"):
        plugin("sign", path, "--key", "mine")


def test_a_key_that_is_not_there_is_told(plugin: Plugin, wheel: WheelMaker) -> None:
    with pytest.raises(SigningKeyError, match="no such key"):
        plugin("sign", wheel(), "--key", "mine")


def entry_points(version: str) -> dict[str, bytes]:
    """Return what makes a wheel one that can be installed."""
    text = b"[openautoglm.plugins]\nacme.upper = acme_upper\n"
    return {f"acme_upper-{version}.dist-info/entry_points.txt": text}


def test_an_older_version_than_one_installed_with_a_signature_is_refused(
    plugin: Plugin, wheel: WheelMaker
) -> None:
    old, new = (wheel(version=v, files=entry_points(v)) for v in ("1.0", "1.1"))
    plugin("key", "new", "mine")
    for path in (old, new):
        plugin("sign", path, "--key", "mine")
    install(new, offline=True, check=False)
    code, told = plugin("verify", old)
    assert (code, "downgrade: 1.0, seen 1.1" in told) == (1, True)
    for path in (old, wheel(version="1.0", files=entry_points("1.0"))):
        with pytest.raises(PluginReplaceError, match="a higher version of plugin") as caught:
            install(path, offline=True, check=False)
        assert caught.value.got == "1.0, after 1.1"
        assert "oag plugin rollback acme.upper" in str(caught.value.fix)
    install(old, offline=True, check=False, allow_downgrade=True)


def test_a_plugin_that_was_signed_is_not_followed_by_one_that_is_not(
    plugin: Plugin, wheel: WheelMaker
) -> None:
    signed, unsigned = (wheel(version=v, files=entry_points(v)) for v in ("1.0", "99.0"))
    plugin("key", "new", "mine")
    plugin("sign", signed, "--key", "mine")
    install(signed, offline=True, check=False)
    with pytest.raises(PluginReplaceError, match="none signed this one") as caught:
        install(unsigned, offline=True, check=False)
    assert caught.value.got == "acme.upper 99.0"
    assert "--allow-unsigned" in str(caught.value.fix)
    assert [each.version for each in Inventory().list()] == ["1.0"]
    install(unsigned, offline=True, check=False, allow_unsigned=True)


def test_a_folder_is_told_to_be_packed(
    plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin("key", "new", "mine")
    for folder in (Path(), Path("/"), tmp_path):
        for command in (("verify", folder), ("sign", folder, "--key", "mine")):
            with pytest.raises(PackageRefusedError, match="this is a folder") as caught:
                plugin(*command)
            assert f"`oag plugin pack {folder}`" in str(caught.value.fix)
        with pytest.raises(PluginPackageError, match="the wheel cannot be read"):
            install(folder)


@pytest.mark.usefixtures("plugin")
def test_a_wheel_whose_check_fails_is_shown_and_not_installed(
    wheel: WheelMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    path = wheel(version="1.0", files=entry_points("1.0"))  # its step has no `run`
    with pytest.raises(typer.Exit) as end:
        install(path, offline=True)
    told = capsys.readouterr().out
    assert end.value.exit_code == 1
    assert "fail static.protocol (step:acme.upper): there is no method `run`" in told
    assert "nothing was installed" in told
    assert "--no-check" in told
    assert Inventory().list() == ()
    install(path, offline=True, check=False)
    assert Inventory().show("acme.upper").proof is None


@pytest.mark.usefixtures("plugin")
def test_a_report_is_kept_for_policy_if_it_is_about_this_wheel(
    wheel: WheelMaker, tmp_path: Path
) -> None:
    path, file = wheel(version="1.0", files=entry_points("1.0")), tmp_path / "report.json"
    found = (Finding(row="trial.load", status="pass"), Finding(row="static.size", status="warn"))
    report = PluginReport(plugin="acme.upper", version="1.0", findings=found)
    file.write_text(report.to_json(), encoding="utf-8")
    install(path, offline=True, report=file)
    kept = Inventory().show("acme.upper").proof
    assert kept == Proof(ok=True, profile="full", digest=report.digest, warned=("static.size",))
    file.write_text(replace(report, version="1.1").to_json(), encoding="utf-8")
    with pytest.raises(InputDecodeError, match="another plugin or version"):
        install(path, offline=True, report=file)
    bad = (*found, Finding(row="trial.calls", status="fail"))
    file.write_text(replace(report, findings=bad).to_json(), encoding="utf-8")
    with pytest.raises(typer.Exit):
        install(path, offline=True, report=file)


def test_a_report_that_a_trusted_key_stands_for_comes_with_the_wheel(
    plugin: Plugin, wheel: WheelMaker, tmp_path: Path
) -> None:
    path, file = wheel(version="1.0", files=entry_points("1.0")), tmp_path / "report.json"
    found = (Finding(row="trial.load", status="pass"),)
    report = PluginReport(plugin="acme.upper", version="1.0", findings=found)
    file.write_text(report.to_json(), encoding="utf-8")
    plugin("key", "new", "mine")
    plugin("sign", path, "--key", "mine", "--report", file)
    install(path, offline=True, check=False)
    kept = Inventory().show("acme.upper").proof
    assert kept is not None
    assert kept.digest == report.digest == Inventory().judged(Inventory().show("acme.upper")).report
    report_beside(path).write_text(replace(report, profile="quick").to_json(), encoding="utf-8")
    install(path, offline=True, check=False)
    assert Inventory().show("acme.upper").proof is None


def test_doctor_tells_of_a_signature_whose_key_was_revoked(
    plugin: Plugin, wheel: WheelMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    path = wheel(version="1.0", files=entry_points("1.0"))
    plugin("key", "new", "mine")
    plugin("sign", path, "--key", "mine")
    install(path, offline=True, check=False)
    doctor()
    plugin("key", "revoke", "mine", "--reason", "lost")
    with pytest.raises(typer.Exit) as end:
        doctor()
    assert end.value.exit_code == 1
    assert "revoked-key: mine (lost)" in capsys.readouterr().out
