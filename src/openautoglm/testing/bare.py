"""An extension point without rules: any class, all its public methods called as they are.

For plugins' own tests and for measuring what a call costs; `POINTS` does not list it. Knows nothing
of workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from openautoglm.plugins.points import ExtensionPoint
from openautoglm.registry import Registry

if TYPE_CHECKING:
    from openautoglm.plugins.points import Contribution, RemoteObject


class AnyObject(Protocol):
    """What a bare contribution is: nothing is asked of it."""


BARE_OBJECTS: Final[Registry[object]] = Registry("bare object")
"""What plugins contribute to `BARE`."""

BARE: Final = ExtensionPoint(
    name="bare",
    contract=1,
    summary="any object",
    protocol=f"{__name__}:AnyObject",
    registry=f"{__name__}:BARE_OBJECTS",
    conformance=f"{__name__}:findings",
    adopt=f"{__name__}:adopt",
    adapter=f"{__name__}:adapter",
    servant=f"{__name__}:servant",
    levels=("L0", "L1", "L2"),
)


def adopt(value: object, _: Contribution) -> object:
    """Return an instance of a class; anything else as it is."""
    return value() if isinstance(value, type) else value


def adapter(remote: RemoteObject, _: Contribution) -> object:
    """Return the remote object itself."""
    return remote


def servant(adopted: object) -> object:
    """Return the object itself."""
    return adopted
