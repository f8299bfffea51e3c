"""The command that makes this machine a node of a cluster: `start_command`. Starts nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InvalidParameterError
from openautoglm.jobs.cluster.devices import advertised
from openautoglm.jobs.crews.address import Address, probe
from openautoglm.jobs.crews.token import use_token
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterable

PORT: Final = 6379
"""Of heads, where nobody says otherwise."""


def start_command(
    head: str,
    more: Iterable[str],
    options: Iterable[str],
    *,
    background: bool = False,
    check: bool = True,
) -> list[str]:
    """Return the words of `ray start` for this machine.

    Args:
        head: `HOST:PORT`, or the host alone.
        more: resources besides those that are found, see `advertised`.
        options: others of `ray start`.
        background: Ray leaves the terminal; else the command ends with the node.
        check: whether to look for Ray and for the head before.

    Raises:
        InvalidParameterError: the address or a resource is none.
        ClusterError: no head is there, or it wants another token than the one here.
        MissingExtraError: Ray is not installed.
    """
    address = _address(head)
    resources = json.dumps(advertised(more))
    if check:
        need("ray", extra="ray", why="a node of a cluster")
        probe(address)
        use_token(address)
    block = () if background else ("--block",)
    command = ["ray", "start", f"--address={address}", f"--resources={resources}"]
    return [*command, *block, *options]


def _address(head: str) -> Address:
    has_port = head.rpartition(":")[2].isdecimal() and not head.endswith("]")
    address = Address.read(head if has_port else f"{head}:{PORT}")
    if address.is_client:
        raise InvalidParameterError(
            "a node joins at its head's own port, not at the one for clients",
            got=head,
            fix=f"write HOST:{PORT}",
        )
    return address
