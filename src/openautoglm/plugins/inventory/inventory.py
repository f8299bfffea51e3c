"""The plugins there are, and the verbs on them: install, enable, disable, roll back, remove.

Owns `Inventory`. A change is whole or did not happen, also when several processes make changes at
once or one is killed in the middle. Plugins are known by what they say of themselves: nothing of
one is imported here.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, final

from msgspec.structs import replace

from openautoglm.errors import (
    ContentStoreError,
    PluginConflictError,
    PluginNotFoundError,
)
from openautoglm.plugins import peers
from openautoglm.plugins.inventory import conflicts, environment, judging
from openautoglm.plugins.inventory.dependencies import Fetching
from openautoglm.plugins.inventory.installed import Installed, from_environment, from_store
from openautoglm.plugins.inventory.intake import May, bring_dependencies, fitting
from openautoglm.plugins.inventory.state import (
    State,
    StateFile,
    StoredVersion,
    Verdict,
    default_home,
    digests,
    is_lower,
    using,
    with_plugin,
    with_version,
    without,
)
from openautoglm.plugins.inventory.store import AGAIN, ContentStore
from openautoglm.plugins.reading import shown
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from openautoglm.plugins import signing
    from openautoglm.plugins.inventory.conflicts import Conflict
    from openautoglm.plugins.inventory.store import StoredContent
    from openautoglm.plugins.report import PluginReport

NO_FETCHING: Final = Fetching()
STORE: Final = "store"
"""The folder of the store in a home."""


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
        self._store = ContentStore(self.home / STORE)

    def list(self) -> tuple[Installed, ...]:
        """Return every plugin, in the version that is used, by id; the store hides the environment.

        Raises:
            PluginStoreError: the list is damaged or cannot be read.
        """
        state = self._file.read()
        stored = {plugin: self._installed(state, plugin) for plugin in state.plugins}
        found = {each.id: each for each in reversed(self._in_environment(state))}
        return tuple(each for _, each in sorted({**found, **stored}.items()))

    def show(self, plugin: str, *, version: str | None = None) -> Installed:
        """Return one plugin.

        Raises:
            PluginNotFoundError: none of that id, or not in that version, is installed.
        """
        state = self._file.read()
        if plugin in state.plugins:
            return self._installed(state, plugin, version)
        for each in self._in_environment(state):
            if each.id == plugin and version in {None, each.version}:
                return each
        raise _unknown(plugin, [each.id for each in self.list()], version)

    def install(  # noqa: PLR0913 - one wheel, and what a person says of it
        self,
        path: Path,
        *,
        enable: bool = True,
        replaces: bool = False,
        allow_downgrade: bool = False,
        allow_unsigned: bool = False,
        fetching: Fetching = NO_FETCHING,
        verdict: Verdict | None = None,
        report: PluginReport | None = None,
        sha256: str | None = None,
    ) -> Installed:
        """Put a wheel into the store and make it the version that is used.

        The version before it stays, and `rollback` goes back to it. The wheel may be removed. It
        is read once: what is judged by the signature beside it is what is stored.

        Args:
            path: of the wheel.
            enable: use it; else it is only put there, and a version that is in use stays so.
            replaces: take the place of the same version with other contents.
            allow_downgrade: take a version lower than one that was installed before.
            allow_unsigned: take one that no trusted key signed, where one signed a version before.
            fetching: where pip looks for its dependencies, beside the folder of the wheel.
            verdict: on its signature, to be kept instead of this home's own.
            report: of its check, to be kept where no trusted key stands for another.
            sha256: refuse a wheel that is not the one that was looked at.

        Raises:
            PluginPackageError: the wheel is damaged, another one, for another machine, or
                contradicts its signature or its lock.
            PluginReplaceError: it is older than one that was installed before, or no trusted key
                signed it where one signed a version before.
            PluginPeerError: it does not go with what the host has.
            PluginConflictError: it does not go with an enabled plugin; both are named.
            PluginStoreError: no room or no permission.
        """
        wheel = fitting(path, sha256)
        manifest = wheel.manifest
        beside = judging.read_beside(path)
        judged = judging.judge(wheel.package, beside, self.home, allow_downgrade=allow_downgrade)
        kept, state = verdict or judged.verdict, self._file.read()
        is_free = allow_unsigned or kept.trusted or not judging.was_trusted(self.home, manifest.id)
        may = May(replaces=replaces, downgrade=allow_downgrade, unsigned=is_free)
        may.check(state, wheel)
        links = (*fetching.find_links, path.absolute().parent)
        fetching = Fetching(find_links=links, offline=fetching.offline)
        bring = partial(bring_dependencies, wheel, fetching=fetching)
        with (
            self._store.staged(wheel.package, beside=beside, bring=bring) as staged,
            self._file.changing() as change,
        ):
            may.check(change.state, wheel)
            stored = StoredVersion(
                manifest=manifest,
                sha256=wheel.sha256,
                contents=staged.contents,
                installed=datetime.now(UTC).isoformat(timespec="seconds"),
                dependencies=staged.brought,
                verdict=kept,
                proof=judged.proof or (None if report is None else judging.proof_of(report)),
            )
            after = with_version(change.state, stored, enable=enable)
            if enable:
                self._refuse_conflicts(after, self._installed(after, manifest.id))
            staged.commit()
            change.state = after
        self._sweep(digests(change.before))
        if enable and judged.verdict.trusted:
            judging.remember(self.home, manifest.id, manifest.version)
        return self.show(manifest.id, version=manifest.version)

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
                self._refuse_conflicts(after, self._installed(after, plugin))
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

    def open(self, installed: Installed) -> StoredContent:
        """Hold every file of a plugin of the store to what was installed, and return them.

        Raises:
            ContentStoreError: one of them is not what was installed; it is named.
        """
        if installed.sha256 is None or installed.contents is None:
            raise ContentStoreError(
                f"plugin `{installed.id}` is not in the store", got=str(installed.root)
            )
        content = self._store.open(installed.sha256, contents=installed.contents)
        if content.manifest.digest != installed.manifest.digest:
            raise ContentStoreError(
                "the list of plugins has another manifest than the plugin itself",
                got=f"{installed.id} {installed.version} in {self._file.path}",
                fix=AGAIN,
            )
        return content

    def judged(self, installed: Installed) -> signing.Verdict:
        """Open a plugin of the store, and judge what was opened by this home's keyring of today.

        A version that a person went back to is no downgrade.

        Raises:
            ContentStoreError: as `open`.
            KeyringError: the keyring cannot be read.
        """
        return judging.judge_content(self.open(installed), self.home)

    def intact(self, installed: Installed) -> bool:
        """Say whether the files of a plugin of the store are those that were installed."""
        with suppress(ContentStoreError):
            return installed.sha256 is None or bool(self.open(installed))
        return False

    def doctor(self, *, builtin: Mapping[str, Sequence[str]] | None = None) -> tuple[Conflict, ...]:
        """Return all that is wrong, with both sides of each conflict by name.

        Args:
            builtin: names of the host's own contributions, by point.
        """
        from openautoglm.plugins.inventory import doctor

        state = self._file.read()
        stored = [self._installed(state, plugin) for plugin in state.plugins]
        there = [*stored, *self._in_environment(state)]
        return doctor.examine(
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

    def _installed(self, state: State, plugin: str, version: str | None = None) -> Installed:
        stored = state.plugins[plugin]
        wanted = stored.current if version is None else version
        if wanted not in stored.versions:
            raise _unknown(plugin, [plugin], wanted, tuple(stored.versions))
        found = stored.versions[wanted]
        is_downgrade = is_lower(state, plugin, wanted)
        folder = self._store.at(found.sha256)
        return from_store(found, stored, folder, is_downgrade=is_downgrade)

    def _in_environment(self, state: State) -> tuple[Installed, ...]:
        return tuple(
            from_environment(each, each.manifest, enabled=each.id not in state.disabled)
            for each in environment.find()
            if each.manifest is not None
        )

    def _refuse_conflicts(self, state: State, wanted: Installed) -> None:
        peers.demand(wanted.manifest)
        there = [self._installed(state, plugin) for plugin in state.plugins]
        there = [each for each in there if each.id != wanted.id]
        if wanted.origin == "store":
            there += self._in_environment(state)
        for other in there:
            for found in conflicts.between([wanted.side, other.side]) if other.enabled else ():
                raise PluginConflictError(found.problem, got=found.got, fix=found.fix)


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
