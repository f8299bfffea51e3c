"""What must hold before a wheel comes into the store, and what comes with it.

Owns `May`, which says what a person allowed. Knows nothing of folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from openautoglm.errors import PluginConflictError, PluginPackageError, PluginReplaceError
from openautoglm.plugins import peers
from openautoglm.plugins.inventory import judging
from openautoglm.plugins.inventory.dependencies import Fetching, put_dependencies
from openautoglm.plugins.inventory.lock import parse_lock

if TYPE_CHECKING:
    from pathlib import Path

    from openautoglm.plugins.inventory.state import State
    from openautoglm.plugins.wheel import Wheel


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class May:
    """What a person said that a wheel may do to those before it."""

    replaces: bool
    downgrade: bool
    unsigned: bool

    def check(self, state: State, wheel: Wheel) -> None:
        """Refuse what is there with other contents, what is older, and what lost its signature.

        Raises:
            PluginConflictError: it is there with other contents.
            PluginReplaceError: it is older than one that was installed before, or not trusted
                where one before was.
        """
        manifest = wheel.manifest
        stored = state.plugins.get(manifest.id)
        there = stored.versions.get(manifest.version) if stored is not None else None
        if there is not None and there.sha256 != wheel.sha256 and not self.replaces:
            raise PluginConflictError(
                f"`{manifest.id}` {manifest.version} is installed with other contents",
                got=f"sha256 {there.sha256[:12]}… is there, and this is {wheel.sha256[:12]}…",
                fix="raise the version, or replace it: --replace",
            )
        if not self.downgrade:
            judging.refuse_older(state, wheel.package)
        if not self.unsigned:
            raise PluginReplaceError(
                f"a key you trust signed plugin `{manifest.id}` before, and none signed this one",
                got=f"{manifest.id} {manifest.version}",
                fix="get the wheel with its signature beside it from its author; --allow-unsigned "
                "takes this one all the same",
            )


def fitting(path: Path, sha256: str | None) -> Wheel:
    """Read a wheel, and hold it to this machine and this host.

    Args:
        path: of the wheel.
        sha256: what it must be, or None.

    Raises:
        PluginPackageError: it is damaged, another one, or for another machine.
        PluginPeerError: it does not go with what the host has.
    """
    from openautoglm.plugins.wheel import check_runs_here, read_wheel

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
    return wheel


def bring_dependencies(wheel: Wheel, folder: Path, *, fetching: Fetching) -> dict[str, str]:
    """Put what a wheel depends on into a folder; errors as `put_dependencies`."""
    from openautoglm.plugins.wheel import LOCK

    lock = None if wheel.lock is None else parse_lock(wheel.lock, file=LOCK)
    return put_dependencies(wheel.manifest, folder, fetching, lock)
