"""Which driver this program runs on, and why not the others.

Owns the table of drivers. `choose` is pure: the facts come in as arguments. `detect` asks this
process once and keeps the answer. A driver's module is imported only when it was chosen.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from openautoglm.errors import NameTakenError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.platform_io.interface import PlatformIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What drivers are chosen by: `sys.platform` and `os.name`."""

    sys_platform: str
    os_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One implementation of `PlatformIO` that can be chosen.

    Attributes:
        name: what it is called.
        home: where it lives, "module:Class"; the class is called without arguments.
        refuses: returns why it cannot run with these facts, or None when it can.
        owner: who added it, for `revoke_drivers`; empty where nobody takes it back as a whole.
    """

    name: str
    home: str
    refuses: Callable[[Facts], str | None]
    owner: str = ""

    def load(self) -> PlatformIO:
        """Import the driver's module and return the driver.

        Raises:
            PlatformError: nothing can be called at `home`.
        """
        module, _, name = self.home.partition(":")
        try:
            return cast("PlatformIO", getattr(importlib.import_module(module), name)())
        except (ImportError, AttributeError, TypeError, ValueError) as cause:
            raise PlatformError(
                f"platform driver `{self.name}` cannot be loaded",
                got=f"{self.home}: {cause}",
                fix='its home is "module:Class", and the class is called without arguments',
            ) from cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The driver chosen, the facts, and what was said against the drivers before it."""

    driver: Driver
    facts: Facts
    refusals: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        refused = [f"{name}: no, {why}" for name, why in self.refusals]
        return "\n".join([*refused, f"{self.driver.name}: chosen"])


def _needs_platform(wanted: str) -> Callable[[Facts], str | None]:
    def refuses(facts: Facts) -> str | None:
        found = facts.sys_platform
        return None if found == wanted else f"sys.platform is `{found}`, not `{wanted}`"

    return refuses


def _needs_operating_system(facts: Facts) -> str | None:
    found = facts.os_name
    return None if found in {"posix", "nt"} else f"os.name is `{found}`, not `posix` or `nt`"


# Emscripten and WASI call themselves posix too, so they are asked first.
_BUILTIN = (
    Driver(
        name="emscripten",
        home="openautoglm.platform_io.emscripten:EmscriptenIO",
        refuses=_needs_platform("emscripten"),
    ),
    Driver(
        name="wasi",
        home="openautoglm.platform_io.wasi:WasiIO",
        refuses=_needs_platform("wasi"),
    ),
    Driver(
        name="local",
        home="openautoglm.platform_io.local:LocalIO",
        refuses=_needs_operating_system,
    ),
)

_added: tuple[Driver, ...] = ()
_lock = threading.Lock()


def drivers() -> tuple[Driver, ...]:
    """Return the drivers in the order they are asked: the one added last first."""
    return (*_added, *_BUILTIN)


def add_driver(driver: Driver) -> None:
    """Add a driver; it is asked before those there are.

    Raises:
        NameTakenError: a driver has that name.
    """
    global _added  # noqa: PLW0603 - the one table there is; readers see a whole tuple
    with _lock:
        if any(known.name == driver.name for known in drivers()):
            raise NameTakenError(
                f"platform driver `{driver.name}` is taken", fix="choose another name"
            )
        _added = (driver, *_added)
    forget()


def remove_driver(name: str) -> None:
    """Remove a driver that was added; a built-in one or an unknown name stays as it is."""
    global _added  # noqa: PLW0603 - as in add_driver
    with _lock:
        _added = tuple(driver for driver in _added if driver.name != name)
    forget()


def revoke_drivers(owner: str) -> tuple[str, ...]:
    """Remove all drivers an owner added and no others; return their names, sorted."""
    global _added  # noqa: PLW0603 - as in add_driver
    with _lock:
        gone = tuple(sorted(driver.name for driver in _added if owner and driver.owner == owner))
        _added = tuple(driver for driver in _added if driver.name not in gone)
    if gone:
        forget()
    return gone


def choose(
    *, sys_platform: str, os_name: str, candidates: tuple[Driver, ...] | None = None
) -> Choice:
    """Choose the first driver that does not refuse.

    Raises:
        PlatformError: every driver refuses; the message holds each reason.

    Example:
        >>> print(choose(sys_platform="wasi", os_name="posix"))
        emscripten: no, sys.platform is `wasi`, not `emscripten`
        wasi: chosen
    """
    facts = Facts(sys_platform=sys_platform, os_name=os_name)
    refusals: list[tuple[str, str]] = []
    for driver in drivers() if candidates is None else candidates:
        why = driver.refuses(facts)
        if why is None:
            return Choice(driver=driver, facts=facts, refusals=tuple(refusals))
        refusals.append((driver.name, why))
    raise PlatformError(
        "no driver for this platform",
        got="; ".join(f"{name}: {why}" for name, why in refusals) or "no drivers at all",
        fix="add one with openautoglm.platform_io.add_driver",
    )


@functools.cache
def explain() -> Choice:
    """Return the choice for this process; `print` it to see why."""
    return choose(sys_platform=sys.platform, os_name=os.name)


@functools.cache
def detect() -> PlatformIO:
    """Return the driver for this process, the same object every time."""
    return explain().driver.load()


def forget() -> None:
    """Drop what was detected, so that the next `detect` asks again."""
    explain.cache_clear()
    detect.cache_clear()
