"""What a host needs of those that it works with: plugins, policy, signatures, bus, replacements.

Protocols alone. Knows nothing of who keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from openautoglm.plugins.host.running import RunningPlugin
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.points import RemoteObject


class Loadable(Protocol):
    """A plugin that lies somewhere; what the inventory has installed is one."""

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""

    @property
    def path(self) -> Sequence[Path]:
        """Folders it is imported from."""


class Routing(Protocol):
    """What the host needs of those who replace its plugins."""

    def adopt(self, running: RunningPlugin, /) -> object:
        """Make the routes of a plugin that runs."""

    def forget(self, running: RunningPlugin, /) -> None:
        """Drop them."""

    def remote(self, plugin: str, name: str, /, *, point: str | None = None) -> RemoteObject:
        """Return a contribution by name, whatever version serves it."""

    def replace(self, plugin: str, new: Loadable, /, **options: object) -> object:
        """Replace a plugin."""

    def close(self) -> None:
        """End what is under way."""

    def leave(self) -> None:
        """Have no locks that nobody holds, in a process that was forked."""


class Announcing(Protocol):
    """What the host needs of a bus."""

    def emit(self, type_: str, event: object = None, /) -> object:
        """Send a message."""


class Decision(Protocol):
    """What the host needs of a policy's decision."""

    @property
    def allow(self) -> bool:
        """Whether the plugin may run."""

    @property
    def reasons(self) -> Sequence[object]:
        """Why not."""


class Deciding(Protocol):
    """What the host needs of a policy."""

    def decide(self, document: Mapping[str, object], /) -> Decision:
        """Decide on the input of `policy.admission_input`."""


class Judged(Protocol):
    """What the host needs of a verdict on signatures."""

    @property
    def trusted(self) -> bool:
        """Whether trusted keys signed these bytes."""

    def to_json(self) -> Mapping[str, object]:
        """Return what policy needs."""
