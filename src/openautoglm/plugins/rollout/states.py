"""The life of one version of a plugin, as a table: the states, and which may follow which.

Owns `ALLOWED` and `Life`. Knows nothing of what happens in a state.
"""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final, get_args

from openautoglm.errors import PluginLifeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

State: TypeAlias = Literal[
    "discovered",
    "verified",
    "validated",
    "staged",
    "admitted",
    "canary",
    "active",
    "draining",
    "retired",
    "rejected",
    "quarantined",
    "rolled-back",
]
STATES: Final[tuple[State, ...]] = get_args(State)

ALLOWED: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        "discovered": frozenset({"verified", "rejected"}),
        "verified": frozenset({"validated", "rejected"}),
        "validated": frozenset({"staged", "rejected"}),
        "staged": frozenset({"admitted", "rejected"}),
        "admitted": frozenset({"canary", "active", "rolled-back"}),
        "canary": frozenset({"active", "rolled-back", "quarantined"}),
        "active": frozenset({"draining", "rolled-back", "quarantined"}),
        "draining": frozenset({"active", "retired"}),
        "quarantined": frozenset({"rolled-back", "retired"}),
        "rolled-back": frozenset({"retired"}),
        "rejected": frozenset(),
        "retired": frozenset(),
    }
)
"""What may follow a state. A version is proved before it may serve (`validated`), decided upon
while its workers are warm but get no calls (`admitted`), and gets no new calls in `draining`, from
where the last good version comes back. `rejected` and `retired` are ends."""

FIRST: Final[tuple[State, ...]] = ("verified", "validated", "staged", "admitted", "active")
"""How a version comes that takes no other's place."""

Told: TypeAlias = "Callable[[State, State, str], None]"


@final
class Life:
    """The state of one version, which only goes ways of the table.

    Example:
        >>> life = Life("acme.upper", "1.0")
        >>> life.go("rejected", "its files were altered")
        >>> life.state, life.is_over
        ('rejected', True)
    """

    def __init__(self, plugin: str, version: str, told: Told | None = None) -> None:
        self.plugin, self.version = plugin, version
        self._told = told
        self._state: State = "discovered"
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """Where it is."""
        return self._state

    @property
    def is_over(self) -> bool:
        """Whether nothing can follow."""
        return not ALLOWED[self._state]

    def go(self, state: State, reason: str) -> None:
        """Go to another state, and tell.

        Raises:
            PluginLifeError: the table has no such way; the state is as it was.
        """
        with self._lock:
            old = self._state
            if state not in ALLOWED[old]:
                raise PluginLifeError(
                    f"plugin {self.plugin} {self.version} cannot go from {old} to {state}",
                    got=reason,
                    fix=f"from {old} it goes to {', '.join(sorted(ALLOWED[old])) or 'nowhere'}",
                )
            self._state = state
        if self._told is not None:
            self._told(old, state, reason)
