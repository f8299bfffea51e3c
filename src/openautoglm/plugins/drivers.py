"""Platform drivers as contributions: named, owned, taken back with their owner.

Owns `DRIVERS`, the view of `platform_io`'s table that the host registers in. Knows no platform.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import NoOwnerError, PluginContributionError, UnknownNameError
from openautoglm.platform_io import Driver, add_driver, remove_driver, revoke_drivers
from openautoglm.platform_io.detection import drivers
from openautoglm.registry import current_owner, suggest

if TYPE_CHECKING:
    from openautoglm.plugins.points import Contribution

METHODS: Final = ("read_file", "write_file", "get_env")


@final
class DriverEntries:
    """The platform drivers there are, with the verbs of a `Registry`."""

    def add(self, name: str, value: Driver) -> None:
        """Add a driver for the owner of the enclosing `owned_by`; it is asked before the others.

        Raises:
            NoOwnerError: outside any `owned_by`.
            NameTakenError: a driver has that name.
        """
        owner = current_owner()
        if owner is None:
            raise NoOwnerError(
                f"platform driver `{name}` was added without an owner",
                fix='add it inside `with owned_by("plugin-id"):`',
            )
        add_driver(replace(value, name=name, owner=owner))

    def names(self) -> tuple[str, ...]:
        """Return the names of all drivers, sorted."""
        return tuple(sorted(driver.name for driver in drivers()))

    def get(self, name: str) -> Driver:
        """Return a driver.

        Raises:
            UnknownNameError: there is none of that name.
        """
        for driver in drivers():
            if driver.name == name:
                return driver
        raise UnknownNameError(
            f"no platform driver is called `{name}`",
            got=f"known: {', '.join(self.names())}",
            fix=suggest(name, self.names()) or "check the name",
        )

    def remove(self, name: str) -> Driver:
        """Remove a driver that was added and return it; errors as `get`. Built-in ones stay."""
        driver = self.get(name)
        remove_driver(name)
        return driver

    def revoke(self, owner: str) -> tuple[str, ...]:
        """Remove all that an owner added; return the names."""
        return revoke_drivers(owner)


DRIVERS: Final = DriverEntries()
"""The platform drivers, as a registry."""


def adopt_driver(value: object, contribution: Contribution) -> Driver:
    """Return the driver of a class that keeps `PlatformIO` and says where it `refuses` to run.

    Example:
        >>> from openautoglm.platform_io.memory import MemoryIO
        >>> class Everywhere(MemoryIO):
        ...     @staticmethod
        ...     def refuses(facts):
        ...         return None

    Raises:
        PluginContributionError: the value is no such class.
    """
    where = f"driver `{contribution.name}`"
    if not isinstance(value, type):
        raise PluginContributionError(
            f"{where} is a class", got=repr(value)[:200], fix="name the class, not an object of it"
        )
    missing = [name for name in (*METHODS, "refuses") if not callable(getattr(value, name, None))]
    if missing:
        raise PluginContributionError(
            f"{where} lacks {', '.join(missing)}",
            got=value.__qualname__,
            fix="write what `PlatformIO` has, and a static `refuses(facts) -> str | None`",
        )
    if "." in value.__qualname__:
        raise PluginContributionError(
            f"{where} is a class at the top of its module",
            got=value.__qualname__,
            fix="move it out of what it is inside",
        )
    home = f"{value.__module__}:{value.__qualname__}"
    return Driver(name=contribution.name, home=home, refuses=getattr(value, "refuses"))  # noqa: B009 - type checkers know no `refuses` of a bare type
