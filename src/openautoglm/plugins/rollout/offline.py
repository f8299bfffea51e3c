"""The upgrade of an installed plugin that no host here runs: proved, decided upon, then switched.

Owns `upgrade`. The switch is one write of the inventory; the version before stays in the store. No
call is judged, since there are none. Hosts in other processes go on with what they run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.errors import OpenAutoGLMError, PluginReplaceError
from openautoglm.plugins.inventory_dependencies import Fetching
from openautoglm.plugins.rollout.outcome import Change, RolloutReport
from openautoglm.plugins.rollout.states import Life
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.inventory import Inventory
    from openautoglm.plugins.inventory_installed import Installed
    from openautoglm.plugins.inventory_state import Verdict
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.rollout.asks import Decision, Proof
    from openautoglm.plugins.rollout.outcome import Ending
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
        fetching: where dependencies come from.
    """

    verify: Callable[[Candidate], Verdict] | None = None
    validate: Callable[[Candidate], Proof] | None = None
    admit: Callable[[Candidate, Proof | None], Decision] | None = None
    fetching: Fetching = Fetching()  # noqa: RUF009 - frozen


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
        `promoted`, or `rejected` with the reason; then nothing was changed.

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
    try:
        reason = _switched(inventory, new, asks, life)
    except _RejectedError as rejected:
        ending, reason = "rejected", str(rejected)
        life.go("rejected", reason)
    return RolloutReport(
        plugin=new.manifest.id,
        old=new.current.version,
        new=new.manifest.version,
        outcome=ending,
        reason=reason,
        changes=tuple(changes),
        seconds=round(time.monotonic() - began, 6),
    )


class _RejectedError(Exception):
    """Something speaks against it."""


def _switched(inventory: Inventory, new: Candidate, asks: OfflineAsks, life: Life) -> str:
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
    try:
        inventory.install(
            new.wheel,
            enable=new.current.enabled,
            fetching=asks.fetching,
            verdict=verdict,
            sha256=new.sha256,
        )
    except OpenAutoGLMError as error:
        life.go("rolled-back", error.problem)
        raise
    reason = f"{new.current.version} stays in the store, for the way back"
    life.go("active", reason)
    return reason
