"""The upgrade of an installed plugin that no host here runs: proved, decided upon, then switched.

Owns `upgrade`. The switch is one write of the inventory; the version before stays in the store.
Since there are no calls, a rehearsal judges both versions on recorded requests. Other processes
find out by themselves (`on_demand`); a host of somebody's own goes on with what it runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.errors import OpenAutoGLMError, PluginNotFoundError, PluginReplaceError
from openautoglm.plugins.inventory.dependencies import Fetching
from openautoglm.plugins.report import PluginReport
from openautoglm.plugins.rollout.outcome import Change, RolloutReport
from openautoglm.plugins.rollout.states import Life
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host.parties import Decision
    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.inventory.inventory import Inventory
    from openautoglm.plugins.inventory.state import Verdict
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.rollout.asks import Proof
    from openautoglm.plugins.rollout.outcome import Ending, StepReport
    from openautoglm.plugins.rollout.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that is to be used: its wheel, what it says of itself, and the one used now."""

    wheel: Path
    manifest: Manifest
    sha256: str
    current: Installed


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineAsks:
    """Who is asked before a version is used; None: nobody.

    Attributes:
        verify: returns the verdict on the signature, and raises where it is refused.
        validate: proves it.
        admit: decides on it and on the proof.
        rehearse: replaces the version used now by this one, both as they lie in the store, and
            returns what came of it; asked where the plugin is enabled.
        fetching: where dependencies come from.
        allow_unsigned: whether it may lack a trusted signature where a version before had one.
    """

    verify: Callable[[Candidate], Verdict] | None = None
    validate: Callable[[Candidate], Proof] | None = None
    admit: Callable[[Candidate, Proof | None], Decision] | None = None
    rehearse: Callable[[Installed, Installed], RolloutReport] | None = None
    fetching: Fetching = Fetching()  # noqa: RUF009 - frozen
    allow_unsigned: bool = False


def candidate(inventory: Inventory, plugin: str, target: str) -> Candidate:
    """Return what a wheel, or a version that is in the store, stands for.

    Raises:
        PluginNotFoundError: the plugin, or that version of it, is not installed.
        PluginPackageError: the wheel cannot be read.
        PluginReplaceError: the wheel is another plugin's, or the version is used already.
    """
    current = inventory.show(plugin)
    path = Path(target)
    if path.suffix != ".whl":
        found = inventory.show(plugin, version=target)
        if found.wheel is None:
            raise PluginReplaceError(
                f"plugin {plugin} was put into the environment by pip",
                got=str(found.root),
                fix="upgrade it with pip, or install its wheel: `oag plugin install`",
            )
        path = found.wheel
    wheel = read_wheel(path)
    if wheel.manifest.id != plugin:
        raise PluginReplaceError(
            f"plugin {plugin} cannot be replaced by another plugin",
            got=f"{path.name} is {wheel.manifest.id}",
            fix=f"oag plugin install {path}",
        )
    if wheel.manifest.version == current.version:
        raise PluginReplaceError(
            f"plugin {plugin} is used in this version already",
            got=current.version,
            fix="raise the version, or change its contents: `oag plugin install --replace`",
        )
    return Candidate(wheel=path, manifest=wheel.manifest, sha256=wheel.sha256, current=current)


def upgrade(
    inventory: Inventory,
    new: Candidate,
    asks: OfflineAsks,
    *,
    told: Callable[[State, str], None] | None = None,
) -> RolloutReport:
    """Use another version from now on, unless something speaks against it.

    Args:
        inventory: what is installed.
        new: see `candidate`.
        asks: who is asked.
        told: is told each state the version comes to, and why.

    Returns:
        `promoted`; or `rejected` or `rolled-back` with the reason, and then nothing was changed.

    Raises:
        OpenAutoGLMError: what those who are asked raise, and what `Inventory.install` does.
    """
    began, changes = time.monotonic(), list[Change]()

    def note(old: State, state: State, reason: str) -> None:
        at_s = round(time.monotonic() - began, 6)
        version = new.manifest.version
        changes.append(Change(version=version, old=old, new=state, reason=reason, at_s=at_s))
        if told is not None:
            told(state, reason)

    life = Life(new.manifest.id, new.manifest.version, note)
    ending: Ending = "promoted"
    steps: tuple[StepReport, ...] = ()
    try:
        known = _admitted(new, asks, life)
        reason, steps = _switched(inventory, new, asks, life, known)
    except _RejectedError as rejected:
        ending, reason = "rejected", str(rejected)
        life.go("rejected", reason)
    except _FailedError as failed:
        ending, reason, steps = "rolled-back", failed.report.reason, failed.report.steps
        life.go("rolled-back", reason)
    return RolloutReport(
        plugin=new.manifest.id,
        old=new.current.version,
        new=new.manifest.version,
        outcome=ending,
        reason=reason,
        steps=steps,
        changes=tuple(changes),
        seconds=round(time.monotonic() - began, 6),
    )


class _RejectedError(Exception):
    """Something speaks against it."""


class _FailedError(Exception):
    """The rehearsal did."""

    def __init__(self, report: RolloutReport) -> None:
        super().__init__(report.reason)
        self.report = report


def _admitted(
    new: Candidate, asks: OfflineAsks, life: Life
) -> tuple[Verdict | None, PluginReport | None]:
    verdict = None if asks.verify is None else asks.verify(new)
    is_trusted = verdict is not None and verdict.trusted
    life.go("verified", "a trusted key signed it" if is_trusted else "it is whole, not trusted")
    proof = None if asks.validate is None else asks.validate(new)
    if proof is not None and proof.ok is not True:
        raise _RejectedError(f"the check found: {proof.summary()}")
    life.go("validated", "nobody was asked" if proof is None else proof.summary())
    life.go("staged", f"sha256 {new.sha256[:12]}…")
    decision = None if asks.admit is None else asks.admit(new, proof)
    if decision is not None and decision.allow is not True:
        raise _RejectedError("policy: " + ("; ".join(map(str, decision.reasons)) or "no reason"))
    life.go("admitted", "nobody was asked" if decision is None else "by policy")
    return verdict, proof if isinstance(proof, PluginReport) else None


def _switched(
    inventory: Inventory,
    new: Candidate,
    asks: OfflineAsks,
    life: Life,
    known: tuple[Verdict | None, PluginReport | None],
) -> tuple[str, tuple[StepReport, ...]]:
    """Put it into the store, rehearse, and use it; else take it out again."""
    plugin, version = new.manifest.id, new.manifest.version
    verdict, report = known
    was_there = _is_there(inventory, plugin, version)
    is_rehearsed = asks.rehearse is not None and new.current.enabled
    steps: tuple[StepReport, ...] = ()
    try:
        installed = inventory.install(
            new.wheel,
            enable=new.current.enabled and not is_rehearsed,
            allow_downgrade=asks.admit is not None,  # who admitted it knew
            allow_unsigned=asks.allow_unsigned,
            fetching=asks.fetching,
            verdict=verdict,
            report=report,
            sha256=new.sha256,
        )
        if asks.rehearse is not None and is_rehearsed:
            life.go("canary", "recorded requests are made of both versions")
            steps = _rehearsed(asks.rehearse(new.current, installed))
            inventory.enable(plugin, version=version)
    except BaseException as error:
        if is_rehearsed and not was_there and _is_there(inventory, plugin, version):
            inventory.remove(plugin, version=version)
        if isinstance(error, OpenAutoGLMError):
            life.go("rolled-back", error.problem)
        raise
    reason = f"{new.current.version} stays in the store, for the way back"
    life.go("active", reason)
    return reason, steps


def _rehearsed(report: RolloutReport) -> tuple[StepReport, ...]:
    if not report.ok:
        raise _FailedError(report)
    return report.steps


def _is_there(inventory: Inventory, plugin: str, version: str) -> bool:
    try:
        inventory.show(plugin, version=version)
    except PluginNotFoundError:
        return False
    return True
