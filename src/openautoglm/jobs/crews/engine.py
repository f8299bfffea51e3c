"""What runs the workers of a job, as people name it: `Engine`.

`local` is processes of this machine; `ray` a Ray cluster, by its address where it is not the one of
this machine. Imports no Ray before it is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.location import redacted
from openautoglm.errors import ClusterError, InvalidParameterError
from openautoglm.jobs.crews.address import Address
from openautoglm.registry import suggest
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.crews.crew import Crew
    from openautoglm.jobs.orders import Orders

LOCAL: Final = "local"
RAY: Final = "ray"
ENGINES: Final = (LOCAL, RAY)
SERVERS: Final = ("postgresql://", "postgres://")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs workers.

    Attributes:
        name: what people call it.
        is_ray: whether it is a Ray cluster.
        address: of that; None for the one of this machine.
    """

    name: str = LOCAL
    is_ray: bool = False
    address: Address | None = None

    @classmethod
    def read(cls, given: str | None = None) -> Engine:
        """Return the engine that is meant: the one given, that of the settings, or this machine.

        Raises:
            InvalidParameterError: there is none of that name.

        Example:
            >>> Engine.read("local").is_ray, str(Engine.read("ray://head:10001").address)
            (False, 'ray://head:10001')
        """
        name = given or Settings.from_env(os.environ).engine or LOCAL
        if name in ENGINES:
            return cls(name=name, is_ray=name == RAY)
        if ":" not in name:
            raise InvalidParameterError(
                "there is no such engine",
                got=name,
                fix=suggest(name, ENGINES) or f"use {', '.join(ENGINES)}, or the HOST:PORT of one",
            )
        return cls(name=name, is_ray=True, address=Address.read(name))

    def check(self, ledger: str) -> None:
        """Refuse what cannot work, before anything is started.

        Args:
            ledger: URL of the ledger.

        Raises:
            ClusterError: the ledger is a file of this machine, or there is no cluster.
            MissingExtraError: Ray is not installed.
        """
        if not self.is_ray:
            return
        if not ledger.startswith(SERVERS):
            raise ClusterError(
                "a ledger in a file is of one machine, and the workers would be on others",
                got=redacted(ledger),
                fix="name one in PostgreSQL: --ledger postgresql://USER:PASSWORD@HOST/DATABASE, "
                "or OPENAUTOGLM_LEDGER",
            )
        from openautoglm.jobs.crews.cluster import found, ray_module

        ray_module()
        found(self.address)

    def crew(self, orders: Orders, resources: Mapping[str, float]) -> Crew:
        """Return the crew of a job, which is yet to be entered.

        Args:
            orders: of all workers.
            resources: that one worker needs of a node.
        """
        if self.is_ray:
            from openautoglm.jobs.crews.ray import RayCrew

            return RayCrew(orders, resources, self.address)
        from openautoglm.jobs.crews.local import LocalCrew

        return LocalCrew(orders)
