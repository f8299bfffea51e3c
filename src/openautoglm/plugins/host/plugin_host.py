"""The host of plugins: starts them at their level, supervises them, ends them all.

Owns `PluginHost`, its one thread and its warm processes. It never dies of a plugin in a worker;
at L0 it guards against nothing. In a forked process it is empty and closed: see `forking`.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import sys
import tempfile
import threading
from contextlib import ExitStack, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Final, Self, cast, final

import msgspec

from openautoglm.errors import PluginUnavailableError
from openautoglm.plugins.host import forking
from openautoglm.plugins.host.bus_line import BusLines
from openautoglm.plugins.host.crew import Crew
from openautoglm.plugins.host.nursery import Nurseries
from openautoglm.plugins.host.placing import assignment_for, level_of, place_of, point_of
from openautoglm.plugins.host.restarts import Supervision
from openautoglm.plugins.host.running import RunningPlugin, refused
from openautoglm.plugins.host.sandbox import refuse_unsupported, supported
from openautoglm.plugins.host.watcher import Watcher
from openautoglm.plugins.manifest import Manifest
from openautoglm.plugins.peers import demand

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from openautoglm.plugins.host.assignment import Assignment
    from openautoglm.plugins.host.crew import CrewState
    from openautoglm.plugins.host.nursery import Nursery
    from openautoglm.plugins.host.parties import Announcing, Deciding, Judged, Loadable, Routing
    from openautoglm.plugins.host.placing import Level

_log: Final = logging.getLogger("openautoglm.plugins")
ROLLOUTS: Final = "openautoglm.plugins.rollout.rollouts"
ON_DEMAND: Final = "openautoglm.plugins.on_demand"
"""Imported when they are needed: they stand above this module."""
STATE: Final = "plugin.state"
"""Type of the message that each change of state is on the bus."""


@final
class PluginHost:
    """Runs plugins. `with` owns its thread and all processes.

    Args:
        home: folder for scratch folders; a temporary one by default.
        bus: is told of every change of state, as `plugin.state`.
        policy: decides who may run; without one, only signatures and levels do.
        levels: levels it runs. L0 is for plugins that a trusted key signed; with "L0" among these,
            for all: that is the explicit switch.
        supervision: how workers are looked after.

    Example:
        with PluginHost(bus=bus) as host:
            running = host.start(installed)
            running.remote("acme.upper").call("run", {"text": "hello"})
    """

    def __init__(
        self,
        *,
        home: Path | None = None,
        bus: Announcing | None = None,
        policy: Deciding | None = None,
        levels: Collection[Level] = ("L1", "L2", "L3"),
        supervision: Supervision | None = None,
    ) -> None:
        self._home = home
        self._bus = bus
        self._lines = BusLines(bus)
        self._policy = policy
        self._levels = frozenset(levels)
        self._supervision = supervision or Supervision()
        self._plugins: list[tuple[RunningPlugin, Crew | None]] = []
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._watcher: Watcher | None = None
        self._is_closed = False
        self._rollouts: Routing | None = None
        forking.remember(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def plugins(self) -> tuple[RunningPlugin, ...]:
        """All that run, in the order they were started."""
        return tuple(running for running, _ in self._plugins)

    def start(  # noqa: PLR0913 - one plugin, and how to run it
        self,
        plugin: Manifest | Loadable,
        *,
        path: Sequence[Path] = (),
        isolation: Level | None = None,
        verdict: Judged | None = None,
        workers: int = 1,
        channels: int = 1,
        register: bool = True,
        supervision: Supervision | None = None,
    ) -> RunningPlugin:
        """Start a plugin and return it when it serves.

        Args:
            plugin: what is installed, or a manifest with its `path`.
            path: folders it is imported from.
            isolation: another level than the manifest asks for.
            verdict: on its signatures.
            workers: processes.
            channels: calls at a time in each, in threads: for code that waits more than it works.
            register: put its contributions into the registries of their points.
            supervision: other than the host's.

        Raises:
            PluginUnavailableError: it was refused, or did not start; the message says why.
            PluginPeerError: it needs another version of what the host has.
            SandboxUnavailableError: this machine cannot confine it.
            PluginLoadError: at L0, it cannot be imported.
            PluginContributionError: what it contributes is not what its point takes.
            NameTakenError: a contribution's name is taken.
        """
        if self._is_closed:
            raise PluginUnavailableError("the host is closed", fix="start plugins in another host")
        manifest = plugin if isinstance(plugin, Manifest) else plugin.manifest
        given = path if isinstance(plugin, Manifest) else plugin.path
        folders = tuple(folder.absolute() for folder in given)  # a worker works in its scratch
        level = self.admit(plugin, isolation=isolation, verdict=verdict)
        crew = self._crew(manifest, folders, level, (workers, channels), supervision)
        running = RunningPlugin(manifest, level, folders, crew)
        with self._lock:
            self._plugins.append((running, crew))
        try:
            if crew is not None:
                self._staff(crew)
            with self._taking_over(manifest) if register else nullcontext():
                running.load()
                if register:
                    self.rollouts.adopt(running)
                    running.register()
            if crew is None:
                self._tell(manifest, ("starting", "running"), "it is in this process")
        except BaseException:
            self.stop(running)
            raise
        return running

    def stop(self, plugin: str | RunningPlugin) -> None:
        """Stop a plugin, or every version of an id: revoke, let calls end, end its processes."""
        with self._lock:
            gone = [each for each in self._plugins if plugin in {each[0], each[0].manifest.id}]
            self._plugins = [each for each in self._plugins if each not in gone]
        for running, crew in reversed(gone):
            if self._rollouts is not None:
                self._rollouts.forget(running)
            self._end(running, crew)

    @property
    def rollouts(self) -> Routing:
        """The routes of its plugins; see `openautoglm.plugins.rollout.Rollouts`."""
        with self._lock:
            if self._rollouts is None:
                made = import_module(ROLLOUTS).Rollouts(self, bus=self._bus)
                self._rollouts = cast("Routing", made)
            return self._rollouts

    def replace(self, plugin: str, new: Loadable, **options: object) -> object:
        """Put a version in the place of the one that serves, while calls run.

        Options, outcome and errors are those of `openautoglm.plugins.rollout.Rollouts.replace`.
        """
        return self.rollouts.replace(plugin, new, **options)

    def close(self) -> None:
        """Stop all plugins, the last one first, and end the thread and all processes."""
        if self._rollouts is not None:
            self._rollouts.close()
        with self._lock:
            self._is_closed = True
        for running in reversed(self.plugins):
            self.stop(running)
        self._stack.close()
        self._watcher = None

    def leave(self) -> tuple[RunningPlugin, ...]:
        """Forget all, in a process that was forked: it is the parent's, and lives on there."""
        left, watcher = self.plugins, self._watcher
        if self._rollouts is not None:
            self._rollouts.leave()
        for _, crew in self._plugins:
            if crew is not None:
                _leave(crew)
        if watcher is not None:
            watcher.leave()
            self._nurseries.leave()
        self._lock, self._stack = threading.Lock(), ExitStack()
        self._plugins, self._watcher, self._rollouts = [], None, None
        self._is_closed = True
        return left

    def admit(
        self,
        plugin: Manifest | Loadable,
        *,
        isolation: Level | None = None,
        verdict: Judged | None = None,
    ) -> Level:
        """Return the level that `start` would run a plugin at; errors as there, if it may not."""
        manifest = plugin if isinstance(plugin, Manifest) else plugin.manifest
        demand(manifest)
        is_trusted = verdict is not None and verdict.trusted
        level = level_of(manifest, isolation, self._levels, is_trusted=is_trusted)
        if level == "L2":
            refuse_unsupported(supported())
        for provides in manifest.provides:
            place_of(provides, point_of(provides), level)
        if self._policy is not None:
            self._ask_policy(self._policy, plugin, level, verdict)
        return level

    def _ask_policy(
        self, policy: Deciding, plugin: Manifest | Loadable, level: Level, verdict: Judged | None
    ) -> None:
        from openautoglm.plugins.inventory.known import known_of
        from openautoglm.policy.admission import HostFacts, admission_input

        manifest = plugin if isinstance(plugin, Manifest) else plugin.manifest
        is_trusted = verdict is not None and verdict.trusted
        is_switched = "L0" in self._levels and not is_trusted
        signature = {"state": "unsigned", "reasons": []} if verdict is None else verdict.to_json()
        known = known_of(plugin, signed_digest=signature.get("report") if is_trusted else None)
        facts = HostFacts(
            sandbox=supported().sandbox, wasm=importlib.util.find_spec("wasmtime") is not None
        )
        decision = policy.decide(
            admission_input(
                manifest=json.loads(manifest.to_json()),
                signature=signature,
                isolation=level,
                host=facts,
                report=known.report,
                is_downgrade=known.is_downgrade,
                switches=(*known.switches, *(("unsigned-in-process",) if is_switched else ())),
            )
        )
        if decision.allow is not True:
            raise refused(manifest, [str(reason) for reason in decision.reasons])

    def _crew(
        self,
        manifest: Manifest,
        path: Sequence[Path],
        level: Level,
        counts: tuple[int, int],
        supervision: Supervision | None,
    ) -> Crew | None:
        served = [p for p in manifest.provides if place_of(p, point_of(p), level) == "worker"]
        if not served:
            return None
        attach = self._lines.open(manifest)
        supervised = supervision or self._supervision
        assignment: Assignment = msgspec.structs.replace(
            assignment_for(manifest, served, level=level, path=path),
            scratch=self._scratch(manifest),
            channels=max(1, counts[1]),
            rest_s=supervised.rest_s,
            on_bus=attach is not None,
        )

        def notify(old: CrewState, new: CrewState, reason: str) -> None:
            self._tell(manifest, (old, new), reason)

        return Crew(assignment, supervised, notify, workers=max(1, counts[0]), attach=attach)

    def _taking_over(self, manifest: Manifest) -> AbstractContextManager[None]:
        """Have the names of a plugin free that was started for one of them, or before a fork."""
        forking.take_over(manifest.id)
        on_demand = sys.modules.get(ON_DEMAND)
        if on_demand is None:
            return nullcontext()
        taking: AbstractContextManager[None] = on_demand.giving_way(manifest.id, self)
        return taking

    def _staff(self, crew: Crew) -> None:
        watcher, nursery = self._running_watcher(crew.assignment)
        watcher.soon(lambda: crew.begin(watcher, nursery))
        crew.await_start(crew.supervision.start_s + crew.supervision.stop_s)

    def _end(self, running: RunningPlugin, crew: Crew | None) -> None:
        running.unload()
        if crew is None:
            self._tell(running.manifest, ("running", "stopped"), "it was asked to")
            return
        if self._watcher is not None:
            limits = crew.supervision
            crew.drain(limits.stop_s)
            self._watcher.soon(crew.end)
            if not crew.await_end(2 * limits.stop_s + 1.0):
                _log.error("workers of %s did not end", crew.said)
        if crew.assignment.on_bus:
            self._lines.close(running.manifest)
        shutil.rmtree(crew.assignment.scratch, ignore_errors=True)

    def _running_watcher(self, assignment: Assignment) -> tuple[Watcher, Nursery]:
        with self._lock:
            if self._watcher is None:
                self._watcher = self._stack.enter_context(Watcher())
                self._nurseries = Nurseries(self._watcher)
                self._stack.callback(_close_in, self._watcher, self._nurseries)
            return self._watcher, self._nurseries.of(assignment)

    def _scratch(self, manifest: Manifest) -> str:
        folder = None
        if self._home is not None:
            folder = self._home / "scratch"
            folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=f"{manifest.id}-", dir=folder)

    def _tell(self, manifest: Manifest, states: tuple[str, str], reason: str) -> None:
        old, new = states
        name = f"{manifest.id} {manifest.version}"
        bad = new in {"restarting", "quarantined", "failed"}
        _log.log(logging.WARNING if bad else logging.INFO, "%s is %s: %s", name, new, reason)
        if self._bus is None:
            return
        event = {"plugin": manifest.id, "version": manifest.version, "old": old, "new": new}
        try:
            self._bus.emit(STATE, {**event, "reason": reason})
        except Exception:  # noqa: BLE001 - logged; a bus that is closed keeps no worker from its care
            _log.exception("the bus did not take the state of %s", name)


def _close_in(watcher: Watcher, nurseries: Nurseries) -> None:
    closed = threading.Event()

    def close() -> None:
        nurseries.close()
        closed.set()

    watcher.soon(close)
    closed.wait()


def _leave(crew: Crew) -> None:
    """Let go of a crew that is the parent's; what calls it gets an error that says so."""
    error = forking.refusal(crew.said)
    crew.pool.__init__(crew.said)  # anew: whoever held its lock is not here
    crew.pool.close(error)
    crew.arena.leave()
    for worker in crew.workers:
        worker.leave(error.problem)
