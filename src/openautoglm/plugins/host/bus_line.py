"""The bus in a worker: one more socket, whose other end is a channel of the plugin's own.

Owns `BusLines`, the channels of a host's plugins, and `join`, the worker's side. Stamping,
permissions and audit are the channel's, in the host. Knows nothing of messages.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast, final

from openautoglm.errors import BusDeniedError
from openautoglm.plugins import loans

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from openautoglm.bus import Bus, Channel, Port
    from openautoglm.plugins.manifest import Manifest

_log: Final = logging.getLogger("openautoglm.plugins")


class Attached(Protocol):
    """The host's end of one worker's line."""

    def close(self) -> None:
        """End it, and all that the worker opened on the bus."""


@final
class BusLines:
    """The channels of plugins on one bus: one for each id, whatever its versions are.

    Versions that run beside each other, or one after the other, may do what both the first one and
    their own manifest may: a later one gets no permission that nobody judged it by. While there is
    one that may ask for what is lent to it, it is answered on the bus.
    """

    def __init__(self, bus: object) -> None:
        self._bus = cast("Bus", bus) if hasattr(bus, "channel") else None
        self._channels: dict[str, tuple[Channel, tuple[str, ...], int]] = {}
        self._lock = threading.Lock()

    def open(self, manifest: Manifest) -> Callable[[socket.socket], Attached] | None:
        """Return what attaches a worker, or None for a plugin that may say and hear nothing.

        Raises:
            MessageError: a permission is not well formed.
            NameTakenError: the bus knows that source as another's.
        """
        if self._bus is None or not manifest.permissions:
            return None
        from openautoglm.bus.bridge import Attachment

        with self._lock:
            channel, permissions, users = self._channels.get(manifest.id) or (
                self._bus.channel(manifest.id, manifest.permissions),
                manifest.permissions,
                0,
            )
            if not users and loans.may_ask(manifest.id, permissions):
                loans.open_on(self._bus)
            self._channels[manifest.id] = channel, permissions, users + 1
        if set(permissions) != set(manifest.permissions):
            _log.warning(
                "%s %s has only the permissions that the version beside it has too",
                manifest.id,
                manifest.version,
            )
        return lambda connection: Attachment(channel, connection, permissions=manifest.permissions)

    def close(self, manifest: Manifest) -> None:
        """Let go of what `open` returned; the last version closes the channel."""
        with self._lock:
            found = self._channels.pop(manifest.id, None)
            if found is None:
                return
            channel, permissions, users = found
            if users > 1:
                self._channels[manifest.id] = channel, permissions, users - 1
                return
        channel.close()
        if self._bus is not None and loans.may_ask(manifest.id, permissions):
            loans.close_on(self._bus)


@final
class _NoBus:
    """The bus of a plugin without permissions: every verb is refused, none is silent."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin

    def __getattr__(self, verb: str) -> NoReturn:
        raise BusDeniedError(
            f"plugin `{self._plugin}` is not on the bus",
            got=verb,
            fix='write what it does into its manifest: permissions = ["emit:acme.*"]',
        )


def join(plugin: str, connection: socket.socket | None) -> None:
    """Let `openautoglm.bus` of this worker speak as its plugin; starts a thread."""
    from openautoglm import bus

    port: object = _NoBus(plugin)
    if connection is not None:
        from openautoglm.bus.bridge import RemotePort

        port = RemotePort(connection, plugin)
    bus.use(cast("Port", port))
