"""A replacement of an installed plugin in a host of its own, judged on recorded requests alone.

Owns `Rehearsal`. Nobody else calls there; what a plugin writes in it is gone afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.rollout.outcome import RolloutReport
from openautoglm.plugins.rollout.plan import Canary
from openautoglm.plugins.rollout.probes import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host.placing import Level
    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.rollout.plan import OnIdle
    from openautoglm.plugins.rollout.step import Progress

PLAN: Final = Canary(
    weights=(100,), requests=64, idle_s=0.0, patience_s=30.0, alpha=0.01, keep_requests=0
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Replaces one version by another, and returns what came of it.

    Attributes:
        on_idle: what becomes of a version without recorded requests.
        is_trusted: run both unconfined (L1), whatever they ask for; else nothing is.
        told: is told where it is: the state, and what it waits for.
    """

    on_idle: OnIdle
    is_trusted: bool = False
    told: Callable[[str, str], None] | None = None

    def __call__(self, old: Installed, new: Installed) -> RolloutReport:
        """Do it.

        Raises:
            PluginCheckError: the recorded requests cannot be read.
        """
        if not recorded(old.manifest, new):
            return self._without(old, new, "no requests are recorded that do no harm twice")
        with PluginHost() as host:
            try:
                host.start(old, isolation=self._level(old))
            except OpenAutoGLMError as error:
                return self._without(old, new, f"{old.version} does not start: {error.problem}")
            report = host.replace(
                new.id,
                new,
                plan=replace(PLAN, on_idle=self.on_idle),
                progress=self._on,
                isolation=self._level(new),
            )
        return cast("RolloutReport", report)

    def _level(self, plugin: Installed) -> Level | None:
        """Return where a version runs: confined as its check was, whoever signed it."""
        if plugin.manifest.level == "L3":
            return None
        return "L1" if self.is_trusted else "L2"

    def _without(self, old: Installed, new: Installed, reason: str) -> RolloutReport:
        is_good = self.on_idle == "promote"
        if is_good and self.told is not None:
            self.told("canary", f"{reason}: its check decides")
        return RolloutReport(
            plugin=new.id,
            old=old.version,
            new=new.version,
            outcome="promoted" if is_good else "rolled-back",
            reason=reason,
        )

    def _on(self, progress: Progress) -> None:
        if self.told is not None:
            self.told("canary", str(progress))
