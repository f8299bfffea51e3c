"""`Bus`: one bus, as the host's own code has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from openautoglm.bus.hub import Hub
from openautoglm.bus.names import check_source
from openautoglm.bus.permissions import CORE, PermissionTable
from openautoglm.bus.ports import Channel, Port, close_all
from openautoglm.errors import InvalidParameterError, NameTakenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.bus.audit import AuditLog
    from openautoglm.bus.outbox import Outbox
    from openautoglm.bus.permissions import Permission


@final
class Bus(Port):
    """A bus within one process, spoken to as its host: the source is `core`, which may do all.

    What the host sends may claim the source of another, since it is the host that passes on what
    plugins say; give plugins a `channel`, which may not.

    Starts no thread until somebody subscribes or responds. Close it, or use it in a `with`; the
    outbox and the audit log are closed by who made them, afterwards.

    Args:
        permissions: what sources may do from the start; none, unless it says so.
        audit: where refusals and quarantined messages are written; without one they are logged.
        outbox: where durable messages are stored.
        durable: patterns of the types of which all messages are stored.

    Example:
        >>> with Bus() as bus:
        ...     seen = []
        ...     _ = bus.subscribe("config.*", seen.append, inline=True)
        ...     _ = bus.emit("config.update", {"source": "plugin.auth", "payload": {"timeout": 3}})
        ...     seen[0].source, seen[0].payload
        ('plugin.auth', {'timeout': 3})
    """

    __slots__ = ("_channels",)

    def __init__(
        self,
        *,
        permissions: PermissionTable | None = None,
        audit: AuditLog | None = None,
        outbox: Outbox | None = None,
        durable: Iterable[str] = (),
    ) -> None:
        table = PermissionTable() if permissions is None else permissions
        super().__init__(Hub(table, audit=audit, outbox=outbox, durable=durable), CORE)
        self._channels: dict[str, Channel] = {}

    @property
    def speaks_for_others(self) -> bool:
        """Always: the host passes on what others say."""
        return True

    @property
    def permissions(self) -> PermissionTable:
        """The table that holds now."""
        return self._hub.permissions

    @property
    def refusals(self) -> int:
        """How often something was refused, or a message quarantined: lines for the audit log."""
        return self._hub.refusals

    def channel(self, source: str, permissions: Iterable[str] = ()) -> Channel:
        """Open the bus for one source, with further permissions of its own.

        Args:
            source: what its messages are stamped with; not `core`.
            permissions: as manifests write them, `emit:acme.*`; taken back when it is closed.

        Raises:
            MessageError: the source or a permission is not well formed.
            NameTakenError: the source has a channel already, or is the host's own.
        """
        check_source(source)
        if source.partition(".")[0].lower() == CORE:
            raise NameTakenError(
                "`core` is the host's own source", got=source, fix="name the channel otherwise"
            )
        if isinstance(permissions, str):
            raise InvalidParameterError(
                "permissions are a list of texts", got=permissions, fix=f"write [{permissions!r}]"
            )
        with self._hub.lock:
            if source in self._channels:
                raise NameTakenError(
                    f"`{source}` has a channel already",
                    fix="close it first, or name this otherwise",
                )
            before = self._hub.permissions
            self._hub.permissions = before.granting(source, permissions)
            granted = self._hub.permissions.permissions[len(before.permissions) :]
            made = Channel(self._hub, source, lambda: self._end(source, granted))
            self._channels[source] = made
            return made

    def _end_own(self) -> None:
        with self._hub.lock:
            channels = list(self._channels.values())
        close_all(channels)

    def _end(self, source: str, granted: tuple[Permission, ...]) -> None:
        with self._hub.lock:
            if self._channels.pop(source, None) is not None:
                kept = [rule for rule in self._hub.permissions.permissions if rule not in granted]
                self._hub.permissions = PermissionTable(kept)
