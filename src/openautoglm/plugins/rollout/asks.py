"""What a replacement needs of others beside what a host needs: a host, and a proof.

Protocols only, so that rollouts are tried without workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.plugins.host.parties import Decision, Loadable
    from openautoglm.plugins.rollout.routes import Version


class Proof(Protocol):
    """What a check found; `PluginReport` is one."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""

    def summary(self) -> str:
        """Return it in a line."""


class Host(Protocol):
    """What starts and stops versions; `PluginHost` is one."""

    def start(self, plugin: Loadable, /, **options: object) -> Version:
        """Start a version and return it when it serves."""

    def stop(self, plugin: Version, /) -> None:
        """Stop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """Who is asked before a version gets calls; None: nobody.

    Attributes:
        validate: proves it.
        admit: decides on it and on what was found, None where nothing was asked.
        options: for the host's `start`.
    """

    validate: Callable[[Loadable], Proof] | None = None
    admit: Callable[[Loadable, Proof | None], Decision] | None = None
    options: Mapping[str, object]
