"""The plugins there are, and the verbs on them: install, enable, disable, roll back, remove.

Owns `Inventory`. A change is whole or did not happen, also when several processes make changes at
once or one is killed in the middle. Plugins are known by what they say of themselves: nothing of
one is imported here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, final

from msgspec.structs import replace

from openautoglm.errors import (
    PluginConflictError,
    PluginNotFoundError,
    PluginPackageError,
)
from openautoglm.plugins import inventory_conflicts as conflicts
from openautoglm.plugins import inventory_environment as environment
from openautoglm.plugins import peers
from openautoglm.plugins.inventory_dependencies import Fetching
from openautoglm.plugins.inventory_installed import Installed, from_environment, from_store
from openautoglm.plugins.inventory_state import (
    State,
    StateFile,
    StoredPlugin,
    StoredVersion,
    Verdict,
    default_home,
    digests,
    using,
    with_plugin,
    with_version,
    without,
)
from openautoglm.plugins.inventory_store import Store, contents
from openautoglm.plugins.reading import shown
from openautoglm.plugins.wheel import check_runs_here, read_wheel
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from openautoglm.plugins.inventory_conflicts import Conflict
    from openautoglm.plugins.wheel import Wheel

NO_FETCHING: Final = Fetching()


@final
class Inventory:
    """What is installed in one home and in the environment.

    Args:
        home: folder of store and state; see `default_home` for what it is where none is given.

    Example:
        inventory = Inventory()
        inventory.install(Path("dist/acme_upper-0.1.0-py3-none-any.whl"))
        [plugin.id for plugin in inventory.list() if plugin.enabled]
    """

    def __init__(self, home: Path | None = None) -> None:
        self.home = default_home() if home is None else home.absolute()
        self._file = StateFile(self.home)
        self._store = Store(self.home)

    def list(self) -> tuple[Installed, ...]:
        """Return every plugin, in the version that is used, by id; the store hides the environment.

        Raises:
            PluginStoreError: the list is damaged or cannot be read.
        """
        state = self._file.read()
        stored = {plugin: self._installed(plugin, each) for plugin, each in state.plugins.items()}
        found = {each.id: each for each in reversed(self._in_environment(state))}
        return tuple(each for _, each in sorted({**found, **stored}.items()))

    def show(self, plugin: str, *, version: str | None = None) -> Installed:
        """Return one plugin.

        Raises:
            PluginNotFoundError: none of that id, or not in that version, is installed.
        """
        state = self._file.read()
        if plugin in state.plugins:
            return self._installed(plugin, state.plugins[plugin], version)
        for each in self._in_environment(state):
            if each.id == plugin and version in {None, each.version}:
                return each
        raise _unknown(plugin, [each.id for each in self.list()], version)

    def install(
        self,
        path: Path,
        *,
        enable: bool = True,
        replaces: bool = False,
        fetching: Fetching = NO_FETCHING,
        verdict: Verdict | None = None,
        sha256: str | None = None,
    ) -> Installed:
        """Put a wheel into the store and make it the version that is used.

        The version before it stays, and `rollback` goes back to it. The wheel may be removed.

        Args:
            path: of the wheel.
            enable: use it; else it is only put there, and a version that is in use stays so.
            replaces: take the place of the same version with other contents.
            fetching: where pip looks for its dependencies, beside the folder of the wheel.
            verdict: on its signature, kept with it.
            sha256: refuse a wheel that is not the one that was verified.

        Raises:
            PluginPackageError: the wheel is damaged, another one, or for another machine.
            PluginPeerError: it does not go with what the host has.
            PluginConflictError: it does not go with an enabled plugin; both are named.
            PluginStoreError: no room or no permission.
        """
        wheel = read_wheel(path)
        if sha256 not in {None, wheel.sha256}:
            raise PluginPackageError(
                "this is not the wheel that was verified",
                got=f"sha256 {wheel.sha256}",
                fix=f"verify and install the same file: sha256 {sha256}",
            )
        check_runs_here(wheel)
        peers.demand(wheel.manifest)
        copies = peers.vendored(wheel.files, wheel.manifest)
        if copies:
            peers.refuse(wheel.manifest.id, copies)
        _check_version(self._file.read(), wheel, replaces=replaces)
        links = (*fetching.find_links, path.absolute().parent)
        fetching = Fetching(find_links=links, offline=fetching.offline)
        with self._store.staged(wheel, fetching) as staged, self._file.changing() as change:
            _check_version(change.state, wheel, replaces=replaces)
            stored = StoredVersion(
                manifest=wheel.manifest,
                sha256=wheel.sha256,
                contents=staged.contents,
                installed=datetime.now(UTC).isoformat(timespec="seconds"),
                dependencies=staged.dependencies,
                verdict=verdict or Verdict(),
            )
            after = with_version(change.state, stored, enable=enable)
            if enable:
                self._refuse_conflicts(after, self._installed_in(after, wheel.manifest.id))
            staged.commit()
            change.state = after
        self._sweep(digests(change.before))
        return self.show(wheel.manifest.id, version=wheel.manifest.version)

    def enable(self, plugin: str, *, version: str | None = None) -> Installed:
        """Use a plugin from now on, in another of its versions where one is named.

        Raises:
            PluginNotFoundError: there is none of that id, or not in that version.
            PluginPeerError: it does not go with the host.
            PluginConflictError: it does not go with another that is enabled.
        """
        with self._file.changing() as change:
            found = self.show(plugin, version=version)
            self._refuse_conflicts(change.state, found)
            if found.origin == "store":
                stored = using(change.state.plugins[plugin], found.version)
                change.state = with_plugin(change.state, plugin, stored)
            else:
                change.state = _switched(change.state, found, enabled=True)
        return self.show(plugin)

    def disable(self, plugin: str) -> Installed:
        """Use a plugin no more; it stays installed. Errors as `show`."""
        with self._file.changing() as change:
            change.state = _switched(change.state, self.show(plugin), enabled=False)
        return self.show(plugin)

    def rollback(self, plugin: str) -> Installed:
        """Use the version before the present one again; a second time goes back to this one.

        Raises:
            PluginNotFoundError: there is no such plugin, or it has no version before this one.
            PluginConflictError: that version does not go with another plugin.
        """
        with self._file.changing() as change:
            stored = change.state.plugins.get(plugin)
            if stored is None or stored.previous is None:
                self.show(plugin)
                raise PluginNotFoundError(
                    f"plugin `{plugin}` has no version to go back to",
                    got=f"in the store: {', '.join(stored.versions) if stored else 'none'}",
                    fix="install the version you want",
                )
            after = with_plugin(
                change.state,
                plugin,
                replace(stored, current=stored.previous, previous=stored.current),
            )
            if stored.enabled:
                self._refuse_conflicts(after, self._installed_in(after, plugin))
            change.state = after
        return self.show(plugin)

    def remove(self, plugin: str, *, version: str | None = None) -> tuple[str, ...]:
        """Take a plugin out of the store, or one version of it; return the versions that went.

        Raises:
            PluginNotFoundError: there is none, or pip put it into the environment.
        """
        with self._file.changing() as change:
            stored = change.state.plugins.get(plugin)
            if stored is None:
                found = self.show(plugin)
                raise PluginNotFoundError(
                    f"plugin `{plugin}` was not put here by `oag plugin install`",
                    got=f"it is in {found.root}",
                    fix=f"pip uninstall {found.manifest.name}, or oag plugin disable {plugin}",
                )
            if version is not None and version not in stored.versions:
                raise _unknown(plugin, [plugin], version, tuple(stored.versions))
            gone = (version,) if version is not None else tuple(stored.versions)
            change.state = without(change.state, plugin, gone)
        self._sweep(digests(change.before))
        return gone

    def intact(self, installed: Installed) -> bool:
        """Say whether the files of a plugin of the store are those that were installed."""
        if installed.sha256 is None:
            return True
        try:
            return contents(self._store.at(installed.sha256)) == installed.contents
        except OSError:
            return False

    def doctor(self, *, builtin: Mapping[str, Sequence[str]] | None = None) -> tuple[Conflict, ...]:
        """Return all that is wrong, with both sides of each conflict by name.

        Args:
            builtin: names of the host's own contributions, by point.
        """
        from openautoglm.plugins import inventory_doctor

        state = self._file.read()
        stored = [self._installed(plugin, each) for plugin, each in state.plugins.items()]
        there = [*stored, *self._in_environment(state)]
        return inventory_doctor.examine(
            sides=tuple(each.side for each in there if each.enabled),
            broken=[each for each in environment.find() if each.error is not None],
            damaged=[each for each in stored if not self.intact(each)],
            leftovers=self._store.leftovers(digests(state)),
            builtin=builtin or {},
        )

    def clean(self) -> tuple[Path, ...]:
        """Delete what killed processes left in the store, and return it."""
        with self._file.changing() as change:
            return self._store.clean(digests(change.state))

    def _sweep(self, before: frozenset[str]) -> None:
        """Delete what was needed and is no more; under the lock, since another may install it."""
        with self._file.changing() as change:
            for gone in before - digests(change.state):
                self._store.remove(gone)

    def _installed_in(self, state: State, plugin: str) -> Installed:
        return self._installed(plugin, state.plugins[plugin])

    def _installed(
        self, plugin: str, stored: StoredPlugin, version: str | None = None
    ) -> Installed:
        wanted = stored.current if version is None else version
        if wanted not in stored.versions:
            raise _unknown(plugin, [plugin], wanted, tuple(stored.versions))
        found = stored.versions[wanted]
        return from_store(found, stored, self._store.at(found.sha256))

    def _in_environment(self, state: State) -> tuple[Installed, ...]:
        return tuple(
            from_environment(each, each.manifest, enabled=each.id not in state.disabled)
            for each in environment.find()
            if each.manifest is not None
        )

    def _refuse_conflicts(self, state: State, wanted: Installed) -> None:
        peers.demand(wanted.manifest)
        there = [self._installed(plugin, each) for plugin, each in state.plugins.items()]
        there = [each for each in there if each.id != wanted.id]
        if wanted.origin == "store":
            there += self._in_environment(state)
        for other in there:
            for found in conflicts.between([wanted.side, other.side]) if other.enabled else ():
                raise PluginConflictError(found.problem, got=found.got, fix=found.fix)


def _check_version(state: State, wheel: Wheel, *, replaces: bool) -> None:
    """Refuse other contents under a version that is there."""
    manifest = wheel.manifest
    stored = state.plugins.get(manifest.id)
    there = stored.versions.get(manifest.version) if stored is not None else None
    if there is not None and there.sha256 != wheel.sha256 and not replaces:
        raise PluginConflictError(
            f"`{manifest.id}` {manifest.version} is installed with other contents",
            got=f"sha256 {there.sha256[:12]}… is there, and this is {wheel.sha256[:12]}…",
            fix="raise the version, or replace it: --replace",
        )


def _switched(state: State, found: Installed, *, enabled: bool) -> State:
    if found.origin == "environment":
        others = [each for each in state.disabled if each != found.id]
        return replace(state, disabled=tuple(others if enabled else [*others, found.id]))
    return with_plugin(state, found.id, replace(state.plugins[found.id], enabled=enabled))


def _unknown(
    plugin: str, known: Sequence[str], version: str | None, versions: Sequence[str] = ()
) -> PluginNotFoundError:
    if version is not None and plugin in known:
        return PluginNotFoundError(
            f"plugin `{plugin}` is not installed in version {shown(version)}",
            got=f"versions: {', '.join(versions) or 'another'}",
            fix="install that version first",
        )
    return PluginNotFoundError(
        "no plugin of that id is installed",
        got=f"`{shown(plugin)}`; installed: {', '.join(known) or 'none'}",
        fix=suggest(plugin, tuple(known)) or "install it: `oag plugin install WHEEL`",
    )
