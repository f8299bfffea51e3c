"""`oag plugin upgrade`: another version of an installed plugin, or the one before."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from openautoglm.cli.plugin_signing import ring

if TYPE_CHECKING:
    from openautoglm.plugins.host.parties import Decision
    from openautoglm.plugins.inventory.state import Verdict
    from openautoglm.plugins.report import PluginReport
    from openautoglm.plugins.rollout.asks import Proof
    from openautoglm.plugins.rollout.offline import Candidate, OfflineAsks
    from openautoglm.plugins.signing import Verdict as Judged


class _OnIdle(StrEnum):
    """What becomes of a version without recorded requests: its check has passed by then."""

    PROMOTE = "promote"
    ABORT = "abort"


def upgrade_commands(app: typer.Typer) -> None:
    """Add `upgrade` to the commands of `oag plugin`."""
    app.command()(upgrade)


def upgrade(  # noqa: PLR0913, PLR0917 - options of a command
    plugin: Annotated[str, typer.Argument(metavar="ID", help="The plugin, as `list` names it.")],
    target: Annotated[
        str | None,
        typer.Argument(metavar="WHEEL|VERSION", help="A wheel, or a version in the store."),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Back to the version before this one.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="The whole check; a quick one otherwise.")
    ] = False,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Check it unconfined (L1): only code you trust.")
    ] = False,
    downgrade: Annotated[
        bool,
        typer.Option("--allow-downgrade", help="An older version than was seen before is fine."),
    ] = False,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="No trusted key signed it, as one did before.")
    ] = False,
    find_links: Annotated[
        list[Path] | None,
        typer.Option("--find-links", metavar="DIR", help="Wheels it depends on; may be repeated."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no package index for what it depends on.")
    ] = False,
    on_idle: Annotated[
        _OnIdle,
        typer.Option("--on-idle", help="What becomes of a version without recorded requests."),
    ] = _OnIdle.PROMOTE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Use another version of a plugin, if it is proved and policy lets it in.

    It is verified, checked beside the version before, decided upon, and put into the store. The
    requests recorded in it are made of both versions; where it is not worse, one write makes it the
    one in use. The version before stays: --rollback goes back to it. What
    does not pass changes nothing and makes the exit code 1. Programs that use it by its names
    follow at the next one they ask for; a host of one's own does with `host.replace`.
    """
    from openautoglm.plugins.inventory.inventory import Inventory
    from openautoglm.plugins.rollout.offline import candidate
    from openautoglm.plugins.rollout.offline import upgrade as switch
    from openautoglm.plugins.rollout.rehearsal import Rehearsal

    if rollback == (target is not None):
        raise typer.BadParameter("name a wheel or a version, or say --rollback")
    if target is None:
        from openautoglm.cli.plugin_output import tell

        tell("back to", Inventory().rollback(plugin), as_json=as_json)
        return
    inventory = Inventory()
    new = candidate(inventory, plugin, target)
    asked = _Asked(is_full=full, is_trusted=trusted, is_downgrade=downgrade)
    told = None if as_json else lambda state, reason: typer.echo(f"{state:<10} {reason}")
    asks = replace(
        asked.asks(tuple(find_links or ()), offline),
        allow_unsigned=allow_unsigned,
        rehearse=Rehearsal(on_idle=on_idle.value, is_trusted=trusted, told=told),
    )
    report = switch(inventory, new, asks, told=told)
    if as_json:
        typer.echo(report.to_json())
    elif report.ok:
        typer.echo(f"upgraded   {plugin} {report.old} -> {report.new}")
    elif asked.report is not None and not asked.report.ok:
        typer.echo(str(asked.report))
    if not report.ok:
        raise typer.Exit(1)


class _Asked:
    """Who is asked on behalf of the command, and what they said."""

    def __init__(self, *, is_full: bool, is_trusted: bool, is_downgrade: bool) -> None:
        self._is_full, self._is_trusted, self._may_downgrade = is_full, is_trusted, is_downgrade
        self._judged: Judged | None = None
        self.report: PluginReport | None = None

    def asks(self, find_links: tuple[Path, ...], is_offline: bool) -> OfflineAsks:
        from openautoglm.plugins.inventory.dependencies import Fetching
        from openautoglm.plugins.rollout.offline import OfflineAsks

        return OfflineAsks(
            verify=self._verify,
            validate=self._validate,
            admit=self._admit,
            fetching=Fetching(find_links=find_links, offline=is_offline),
        )

    def _verify(self, new: Candidate) -> Verdict:
        from openautoglm.errors import PluginPackageError
        from openautoglm.plugins.inventory.state import Verdict
        from openautoglm.plugins.signing import verify

        judged = self._judged = verify(
            new.wheel, ring(None).read(), allow_downgrade=self._may_downgrade
        )
        reasons = tuple(f"{each.code}: {each.detail}" for each in judged.reasons)
        if judged.package is not None and judged.package.sha256 != new.sha256:
            reasons = ("the wheel changed while it was read", *reasons)
        elif judged.state != "refused":
            return Verdict(trusted=judged.trusted, keys=judged.keys, reasons=reasons)
        raise PluginPackageError(
            "the wheel contradicts the signature beside it",
            got="; ".join(reasons),
            fix="get the wheel again from who signed it; `oag plugin verify` tells more",
        )

    def _validate(self, new: Candidate) -> Proof:
        from openautoglm.plugins.validation import validate_plugin

        self.report = validate_plugin(
            new.wheel,
            isolation="L1" if self._is_trusted else "L2",
            profile="full" if self._is_full else "quick",
            previous=new.current.wheel,
        )
        return self.report

    def _admit(self, new: Candidate, _: Proof | None) -> Decision:
        import json
        from importlib.util import find_spec

        from packaging.version import Version

        from openautoglm.plugins.host.placing import level_of
        from openautoglm.plugins.host.sandbox import supported
        from openautoglm.plugins.inventory.judging import proof_of
        from openautoglm.policy import Policy
        from openautoglm.policy.admission import HostFacts, admission_input, report_input

        judged, report = self._judged, self.report
        is_trusted = judged is not None and judged.trusted
        is_older = Version(new.manifest.version) < Version(new.current.version)
        about = {"plugin": new.manifest.id, "version": new.manifest.version}
        signed = judged.report if judged is not None and is_trusted else None
        return Policy.default().decide(
            admission_input(
                manifest=json.loads(new.manifest.to_json()),
                signature={"state": "unsigned", "reasons": []}
                if judged is None
                else judged.to_json(),
                isolation=level_of(new.manifest, None, ("L1", "L2", "L3"), is_trusted=is_trusted),
                host=HostFacts(sandbox=supported().sandbox, wasm=find_spec("wasmtime") is not None),
                report=None
                if report is None
                else report_input(proof_of(report), **about, signed_digest=signed),
                is_downgrade=is_older or (judged is not None and judged.is_downgrade),
                switches=("downgrade",) if self._may_downgrade else (),
            )
        )
