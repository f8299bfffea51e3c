"""One version of a plugin at work: its contributions, its health, its end.

Owns `RunningPlugin`. Knows nothing of other plugins.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from msgspec.structs import replace

from openautoglm.errors import PluginUnavailableError, UnknownNameError
from openautoglm.plugins.host.health import Health, WorkerHealth
from openautoglm.plugins.host.local import LocalObject
from openautoglm.plugins.host.placing import place_of, point_of, target_of
from openautoglm.plugins.host.remote import CrewObject
from openautoglm.plugins.inprocess import InProcessPlugin, content
from openautoglm.registry import Registry, owned_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from openautoglm.plugins.host.crew import Crew
    from openautoglm.plugins.host.placing import Level, Place
    from openautoglm.plugins.host.process import WorkerProcess
    from openautoglm.plugins.host.wasm import WasmObject
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.points import ExtensionPoint, RemoteObject

_BACK: Final = 100  # times to the next worker that are kept
Through: TypeAlias = "Callable[[Provides, RemoteObject], RemoteObject]"


@final
class RunningPlugin:
    """What `PluginHost.start` returns.

    Attributes:
        manifest: what the plugin says of itself.
        level: what it runs at.
        path: where it is imported from.
        through: makes of a contribution that can be called what the registries hold; None: as it
            is, for calls of this version alone.
    """

    def __init__(
        self, manifest: Manifest, level: Level, path: Sequence[Path], crew: Crew | None
    ) -> None:
        self.manifest = manifest
        self.level: Level = level
        self.path = tuple(path)
        self._crew = crew
        self._code: InProcessPlugin | None = None
        self._modules: list[WasmObject] = []
        self._remotes: dict[str, RemoteObject] = {}
        self._values: dict[str, object] = {}  # what runs in this process
        self.through: Through | None = None
        self._registered = False
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"<{self.manifest.id} {self.manifest.version} at {self.level}: {self.state}>"

    @property
    def state(self) -> str:
        """See `Health.state`."""
        if self._crew is not None:
            return self._crew.state
        return "stopped" if self._is_stopped else "running"

    @property
    def health(self) -> Health:
        """How it is now."""
        return _health(self, self._crew)

    def remote(self, name: str, *, point: str | None = None) -> RemoteObject:
        """Return a contribution to call.

        Raises:
            UnknownNameError: it provides none of that name, or two at different points.
        """
        found = [
            target
            for each in self.manifest.provides
            if each.name == name and point in {None, each.point}
            if (target := target_of(each)) in self._remotes
        ]
        if len(found) != 1:
            raise UnknownNameError(
                f"{self.manifest.id} has {'no' if not found else 'more than one'} `{name}` to call",
                got=", ".join(self._remotes) or "nothing that can be called",
                fix="name the point too: remote(name, point=...)" if found else None,
            )
        return self._remotes[found[0]]

    def empty(self, shape: int | Sequence[int], dtype: npt.DTypeLike = "<f4") -> npt.NDArray[Any]:
        """Return a new array that goes to the plugin's workers without a copy.

        At L0 and L3 it is an array like any other.

        Raises:
            SharedTensorError: a dtype that cannot be shared, or no room.
        """
        if self._crew is not None:
            return self._crew.arena.empty(shape, dtype)
        import numpy as np

        return np.empty(shape, dtype)

    def drain(self, timeout_s: float) -> bool:
        """Wait until no call is under way; return whether that came true in time."""
        if self._crew is None:
            return True
        return self._crew.pool.drain(time.monotonic() + timeout_s)

    @property
    def is_registered(self) -> bool:
        """Whether its contributions are in the registries."""
        return self._registered

    def register(self) -> None:
        """Put its contributions into the registries of their points, under its id.

        Raises:
            NameTakenError: one of the names has an entry; nothing is registered then.
        """
        if self._registered:
            return
        self._registered = True
        added = []
        try:
            with owned_by(self.manifest.id):
                for provides in self.manifest.provides:
                    point = point_of(provides)
                    point.entries().add(provides.name, self.entry(provides))
                    added.append((point, provides.name))
        except BaseException:
            for point, name in added:  # not all of its id: another host may run it too
                _removed(point, name)
            self._registered = False
            raise

    def hand_over(self, other: RunningPlugin) -> None:
        """Let the registries hold what another version contributes in place of this one's.

        A name that both have changes by one store: no reader finds it missing. Calls under way
        end where they began.

        Raises:
            NameTakenError: a name that only the other has is another plugin's; nothing changes.
        """
        theirs = {(each.point, each.name): each for each in other.manifest.provides}
        ours = {(each.point, each.name): each for each in self.manifest.provides}
        made = {key: (point_of(each), other.entry(each)) for key, each in theirs.items()}
        with owned_by(other.manifest.id):
            added = []
            try:
                for key in theirs.keys() - ours.keys():
                    made[key][0].entries().add(key[1], made[key][1])
                    added.append(key)
            except BaseException:
                for key in added:
                    _removed(made[key][0], key[1])
                raise
            for key in theirs.keys() & ours.keys():
                is_routed = self._is_routed(ours[key]) and other._is_routed(theirs[key])
                _exchanged(made[key][0], key[1], made[key][1], is_routed=is_routed)
        for key in ours.keys() - theirs.keys():
            _removed(point_of(ours[key]), key[1])
        self._registered, other._registered = False, True

    def _is_routed(self, provides: Provides) -> bool:
        return self.through is not None and target_of(provides) not in self._values

    def entry(self, provides: Provides) -> object:
        """Return what the registry of a contribution's point holds for it."""
        target, point = target_of(provides), point_of(provides)
        if target in self._values:
            return self._values[target]
        remote = self._remotes[target]
        if self.through is not None:
            remote = self.through(provides, remote)
        return point.adapted(remote, provides)

    def revoke(self) -> None:
        """Take its contributions out of the registries."""
        if not self._registered:
            return
        self._registered = False
        for name in {provides.point for provides in self.manifest.provides}:
            entries = next(point_of(p) for p in self.manifest.provides if p.point == name).entries()
            entries.revoke(self.manifest.id)

    def load(self) -> None:
        """Make what can be called of every contribution; the workers serve by now."""
        for provides in self.manifest.provides:
            self._load(provides)

    def unload(self) -> None:
        """Let go of what runs in this process."""
        self.revoke()
        self._is_stopped = True
        for module in self._modules:
            module.close()
        if self._code is not None:
            self._code.unload()

    def _load(self, provides: Provides) -> None:
        point, target, place = point_of(provides), target_of(provides), self._place(provides)
        if place == "worker" and self._crew is not None:
            self._remotes[target] = CrewObject(
                self._crew.calls, target, point.methods, idempotent=provides.idempotent
            )
        elif place == "wasm":
            self._remotes[target] = self._wasm(provides)
        elif place == "file":
            value = content(self.manifest, self.path, provides)
            self._values[target] = point.adopted(value, provides)
        else:
            self._code = self._code or self._loaded()
            adopted = self._code.values[provides.point, provides.name]
            self._values[target] = adopted
            if point.servant is not None:
                self._remotes[target] = LocalObject(adopted, point.served(adopted))

    def _loaded(self) -> InProcessPlugin:
        """Load what is code in this process; modules and files of the plugin are not."""
        provides = tuple(each for each in self.manifest.provides if self._place(each) == "host")
        return InProcessPlugin(replace(self.manifest, provides=provides), self.path)

    def _place(self, provides: Provides) -> Place:
        return place_of(provides, point_of(provides), self.level)

    def _wasm(self, provides: Provides) -> WasmObject:
        from openautoglm.plugins.host.wasm import WasmLimits, WasmObject

        binary = content(self.manifest, self.path, provides).read_bytes()
        made = WasmObject(binary, WasmLimits.declared(self.manifest.limits))
        self._modules.append(made)
        return made


def _exchanged(point: ExtensionPoint, name: str, value: object, *, is_routed: bool) -> None:
    """Put a value under a name; where that takes two steps, a routed entry serves on instead."""
    entries = point.entries()
    if isinstance(entries, Registry):
        entries.exchange(name, value)
    elif not is_routed:
        _removed(point, name)
        entries.add(name, value)


def _removed(point: ExtensionPoint, name: str) -> None:
    remove: Callable[[str], object] = point.entries().remove  # type: ignore[attr-defined] # what holds entries has it
    remove(name)


def _health(running: RunningPlugin, crew: Crew | None) -> Health:
    manifest = running.manifest
    if crew is None:
        return Health(
            plugin=manifest.id, version=manifest.version, level=running.level, state=running.state
        )
    workers = tuple(crew.workers)
    return Health(
        plugin=manifest.id,
        version=manifest.version,
        level=running.level,
        state=crew.state,
        reason=crew.reason,
        workers=tuple(map(_worker_health, workers)),
        calls=crew.calls.made,
        in_flight=crew.pool.busy,
        retries=crew.calls.retries,
        timeouts=crew.calls.timeouts,
        crashes=crew.crashes,
        restarts=crew.restarts.total,
        back_ms=tuple(round(seconds * 1e3, 3) for seconds in crew.back_s[-_BACK:]),
        shared_bytes=crew.arena.held_bytes,
        dropped_lines=sum(worker.dropped_lines for worker in workers),
    )


def _worker_health(worker: WorkerProcess) -> WorkerHealth:
    owes = worker.owes_since
    return WorkerHealth(
        pid=worker.pid,
        state=worker.state,
        silent_s=0.0 if owes is None else round(time.monotonic() - owes, 3),
        rss_bytes=worker.rss_bytes,
    )


def refused(manifest: Manifest, reasons: Sequence[str]) -> PluginUnavailableError:
    """Return the error of a plugin that policy does not admit."""
    return PluginUnavailableError(
        f"policy does not admit {manifest.id} {manifest.version}",
        got="; ".join(reasons) or "it gives no reason",
        fix="see `oag policy`, or sign and check the plugin",
    )
