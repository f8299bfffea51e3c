"""What a worker is told at its birth: whose it is, what it serves, what it may use.

Pure data, the same on both sides. Knows nothing of processes.
"""

from __future__ import annotations

from typing import final

import msgspec

from openautoglm.plugins.manifest import Limits


@final
class Served(msgspec.Struct, frozen=True, array_like=True):
    """One contribution of a worker.

    Attributes:
        target: what calls name it: point and name.
        provides: the entry of the manifest, as JSON.
        object: "module:attr" in the plugin's package.
        point: the extension point's name.
        adopt: "module:attr" of the point's `adopt`.
        servant: "module:attr" of the point's `servant`.
    """

    target: str
    provides: bytes
    object: str
    point: str
    adopt: str
    servant: str


@final
class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to begin.

    Attributes:
        plugin: its id.
        version: of the plugin.
        level: "L1" or "L2".
        path: folders that its package and its own dependencies are imported from.
        scratch: the one folder it may write at L2.
        limits: what it may use.
        channels: how many calls it serves at a time, each in a thread of its own.
        on_bus: whether a line to the bus comes after the line of control.
        arena_bytes: how much shared memory it may ask for.
        rest_s: shared memory that nobody used so long is given back.
        peers: modules of the host that are imported before the plugin, e.g. numpy.
        served: its contributions.
    """

    plugin: str
    version: str
    level: str
    path: tuple[str, ...]
    scratch: str
    limits: Limits = Limits()
    channels: int = 1
    on_bus: bool = False
    arena_bytes: int = 1 << 30
    rest_s: float = 5.0
    peers: tuple[str, ...] = ()
    served: tuple[Served, ...] = ()

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules of the host to import before the process is confined, in order."""
        parts = [each for one in self.served for each in (one.adopt, one.servant)]
        return tuple(dict.fromkeys([*self.peers, *(part.partition(":")[0] for part in parts)]))
