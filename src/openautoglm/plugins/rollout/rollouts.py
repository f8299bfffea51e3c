"""The routes of all plugins of a host, and the replacements there are: at most one of a plugin.

Owns `Rollouts`. Tells the bus every change of state. Knows nothing of how versions are judged.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast, final

from openautoglm.errors import PluginBusyError, PluginNotFoundError, PluginReplaceError
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.rollout.asks import Asks
from openautoglm.plugins.rollout.calls import RoutedObject
from openautoglm.plugins.rollout.moving import is_stateful
from openautoglm.plugins.rollout.plan import Canary
from openautoglm.plugins.rollout.rollout import Rollout
from openautoglm.plugins.rollout.routes import Handle, RouteTable
from openautoglm.plugins.rollout.states import FIRST, Life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.host.parties import Decision, Loadable
    from openautoglm.plugins.points import Contribution, RemoteObject
    from openautoglm.plugins.rollout.asks import Host, Proof
    from openautoglm.plugins.rollout.outcome import RolloutReport
    from openautoglm.plugins.rollout.routes import Version
    from openautoglm.plugins.rollout.step import Progress

STATE: Final = "plugin.state"
PROGRESS: Final = "plugin.rollout"
"""Type of the message that tells where a replacement is, once a second."""
ENDING_S: Final = 10.0
PLAN: Final = Canary()
_log: Final = logging.getLogger("openautoglm.plugins")


class Announcing(Protocol):
    """What is needed of a bus."""

    def emit(self, type_: str, event: object = None, /) -> object:
        """Send a message."""


@final
class Rollouts:
    """Replaces plugins of one host; `PluginHost.rollouts` is one. `close` ends it.

    Args:
        host: where versions run.
        bus: is told every change of state, as `plugin.state`, and where a replacement is while it
            waits, as `plugin.rollout`.
    """

    def __init__(self, host: Host, *, bus: Announcing | None = None) -> None:
        self._host, self._bus = host, bus
        self._tables: dict[str, RouteTable] = {}
        self._active: dict[str, tuple[threading.Event, Rollout]] = {}
        self._lock = threading.Lock()
        self._over = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._keeper: threading.Thread | None = None

    def adopt(self, running: Version) -> None:
        """Make the routes of a plugin, all of them to a version that runs.

        A plugin that has routes keeps them: a second version beside it is called by itself.
        """
        manifest = running.manifest
        handle = Handle(running, self._life(manifest.id, manifest.version))
        table = RouteTable(handle, on_fall_back=self._fell_back)
        with self._lock:
            if manifest.id in self._tables:
                return
            self._tables[manifest.id] = table
        running.through = lambda contribution, _: _routed(contribution, table)
        for state in FIRST:
            handle.life.go(state, "the host started it")

    def forget(self, running: Version) -> None:
        """Drop the routes of a plugin whose stable version is stopped, and stop the one before."""
        with self._lock:
            table = self._tables.get(running.manifest.id)
            if table is None or table.snapshot.stable.running is not running:
                return
            del self._tables[running.manifest.id]
        stable, resident = table.snapshot.stable, table.snapshot.resident
        stable.life.go("draining", "it is stopped")
        stable.life.go("retired", "it is stopped")
        if resident is not None and table.let_go(resident):
            self._host.stop(resident.running)
            resident.life.go("retired", f"{stable.version} is stopped")

    def table(self, plugin: str) -> RouteTable:
        """Return the routes of a plugin.

        Raises:
            PluginNotFoundError: it does not run.
        """
        with self._lock:
            table = self._tables.get(plugin)
            known = sorted(self._tables)
        if table is None:
            raise PluginNotFoundError(
                f"plugin `{plugin}` does not run",
                got=f"those that can be replaced: {', '.join(known) or 'none'}",
                fix="start it, with its contributions registered",
            )
        return table

    def remote(self, plugin: str, name: str, *, point: str | None = None) -> RemoteObject:
        """Return a contribution whose calls go to whatever version serves; errors as `table`.

        Raises:
            UnknownNameError: it provides none of that name.
        """
        table = self.table(plugin)
        stable = table.snapshot.stable.running
        stable.remote(name, point=point)
        found = next(
            each
            for each in stable.manifest.provides
            if each.name == name and point in {None, each.point}
        )
        return _routed(found, table)

    def replace(
        self,
        plugin: str,
        new: Loadable,
        *,
        plan: Canary = PLAN,
        validate: Callable[[Loadable], Proof] | None = None,
        admit: Callable[[Loadable, Proof | None], Decision] | None = None,
        progress: Callable[[Progress], None] | None = None,
        **options: object,
    ) -> RolloutReport:
        """Put a version in the place of the one that serves; return when that is certain.

        Args:
            plugin: its id.
            new: the version.
            plan: how many calls it gets, and what it is judged by.
            validate: proves it before it is started; `validate_plugin` fits.
            admit: decides on it and the proof before it gets calls.
            progress: is told where it is, when a step begins and once a second.
            options: of the host's `start`, such as `workers`.

        Returns:
            What happened: a version that is rolled back is an outcome, not an error.

        Raises:
            PluginNotFoundError: the plugin does not run.
            PluginBusyError: it is being replaced.
            PluginReplaceError: this cannot take its place.
        """
        table = self.table(plugin)
        _refuse(table, new, plan, options)
        wake = threading.Event()
        rollout = Rollout(
            self._host,
            table,
            new,
            life=self._life(plugin, new.manifest.version),
            plan=plan,
            asks=Asks(validate=validate, admit=admit, options=options),
            announce=_Announce(self._tell, self._emit, progress),
            wake=wake,
            closing=self._closing,
        )
        with self._only(table, rollout, wake):
            report = rollout.run()
            if report.ok:
                self._settle(table, plan, rollout.displaced)
        return report

    def close(self) -> None:
        """End replacements: versions that were not promoted give their calls back."""
        self._closing.set()
        with self._lock:
            for wake, _ in self._active.values():
                wake.set()
            if not self._over.wait_for(lambda: not self._active, ENDING_S):
                _log.error("replacements went on: %s", ", ".join(self._active))
            keeper, self._keeper = self._keeper, None
        if keeper is not None:
            self._work.put(None)
            keeper.join(ENDING_S)

    def leave(self) -> None:
        """Let calls find out that all versions are the parent's, in a process that was forked."""
        for table in self._tables.values():
            table.leave()

    @contextmanager
    def _only(self, table: RouteTable, rollout: Rollout, wake: threading.Event) -> Iterator[None]:
        plugin = table.plugin
        with self._lock:
            if self._closing.is_set():
                raise PluginReplaceError("the host is closed", fix="replace plugins before")
            if plugin in self._active:
                raise PluginBusyError(
                    f"plugin {plugin} is being replaced",
                    got=repr(table.snapshot.shares),
                    fix="wait for the outcome, then try again",
                )
            self._active[plugin] = wake, rollout
        try:
            yield
        finally:
            with self._lock:
                del self._active[plugin]
                self._over.notify_all()

    def _settle(self, table: RouteTable, plan: Canary, displaced: Handle | None) -> None:
        """Let versions go that are not needed any more: now, or once the new one has proved."""
        snapshot = table.snapshot
        old, new = snapshot.resident, snapshot.stable
        if displaced is not None:
            self._retire(displaced, plan, "a later version is ready for the way back")
        if old is None:
            return

        def let_go() -> None:
            if table.let_go(old):
                self._retire(old, plan, f"{new.version} has served long enough")

        if plan.keep_requests:
            new.after(plan.keep_requests, lambda: self._soon(let_go))
        else:
            let_go()

    def _retire(self, handle: Handle, plan: Canary, reason: str) -> None:
        if not handle.drain(plan.drain_s):
            reason = f"{reason}; {handle.in_flight} calls were ended after {plan.drain_s:g} s"
        self._host.stop(handle.running)
        handle.life.go("retired", reason)

    def _fell_back(self, dead: Handle, back: Handle) -> None:
        """See to a stable version that died: its calls go to the last good one by now."""

        def see_to() -> None:
            reason = f"its workers are {dead.running.state}"
            dead.life.go("quarantined", reason)
            dead.running.hand_over(back.running)
            back.life.go("active", f"{dead.version} died: {reason}")
            self._host.stop(dead.running)
            dead.life.go("retired", f"{back.version} serves")

        self._soon(see_to)

    def _soon(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._keeper is None and not self._closing.is_set():
                self._keeper = threading.Thread(
                    target=self._keep, name="openautoglm-rollouts", daemon=True
                )
                self._keeper.start()
        self._work.put(work)

    def _keep(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:  # noqa: BLE001 - logged; other plugins are still to be seen to
                _log.exception("a version of a plugin could not be let go")

    def _life(self, plugin: str, version: str) -> Life:
        def told(old: str, new: str, reason: str) -> None:
            self._tell(life, old, new, reason)
            with self._lock:
                active = self._active.get(plugin)
            if active is not None:
                active[1].note(version, old, new, reason)

        life = Life(plugin, version, told)
        return life

    def _tell(self, life: Life, old: str, new: str, reason: str) -> None:
        _log.info("%s %s is %s: %s", life.plugin, life.version, new, reason)
        event = {"plugin": life.plugin, "version": life.version, "old": old, "new": new}
        self._emit(STATE, {**event, "reason": reason})

    def _emit(self, type_: str, event: object) -> None:
        if self._bus is None:
            return
        try:
            self._bus.emit(type_, event)
        except Exception:  # noqa: BLE001 - logged; a bus that is closed keeps no version
            _log.exception("the bus did not take %s", type_)


@final
@dataclass(frozen=True, slots=True)
class _Announce:
    """Tells the bus, and who asked for the replacement."""

    state: Callable[[Life, str, str, str], None]
    emit: Callable[[str, object], None]
    progress: Callable[[Progress], None] | None

    def step(self, progress: Progress) -> None:
        _log.info("%s: %s", progress.plugin, progress)
        self.emit(PROGRESS, progress.to_event())
        if self.progress is not None:
            self.progress(progress)


def replace(host: object, plugin: str, new: Loadable, **options: object) -> RolloutReport:
    """Put a version in the place of the one that serves; see `Rollouts.replace`."""
    rollouts = cast("Rollouts", getattr(host, "rollouts", host))
    return rollouts.replace(plugin, new, **options)  # type: ignore[arg-type] # options by name


def _routed(contribution: Contribution, table: RouteTable) -> RemoteObject:
    methods = POINTS.get(contribution.point).methods
    return RoutedObject(table, contribution.name, contribution.point, methods)


def _refuse(table: RouteTable, new: Loadable, plan: Canary, options: dict[str, object]) -> None:
    old = table.snapshot.stable.running
    if new.manifest.id != table.plugin:
        raise PluginReplaceError(
            f"plugin {table.plugin} cannot be replaced by another plugin",
            got=new.manifest.id,
            fix="stop the one and start the other",
        )
    if new.manifest.version == old.manifest.version:
        raise PluginReplaceError(
            f"plugin {table.plugin} serves in this version already",
            got=new.manifest.version,
            fix="raise the version",
        )
    if getattr(old, "level", None) == "L0" and plan.requests:
        raise PluginReplaceError(
            f"plugin {table.plugin} runs in this process, where calls are not routed",
            got=f"level L0, weights {plan.weights}",
            fix="replace it at once: plan=AT_ONCE",
        )
    health = getattr(old, "health", None)
    workers = len(getattr(health, "workers", ()))
    workers = max(workers, cast("int", options.get("workers", 1)))
    if workers > 1 and is_stateful(old.manifest) and is_stateful(new.manifest):
        raise PluginReplaceError(
            f"the state of plugin {table.plugin} cannot move",
            got="several workers, each with a state of its own",
            fix="run it with workers=1",
        )
