"""What nodes of a cluster have, beside what a worker needs: `lacking`. Pure; knows no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CPU: Final = "CPU"
EPSILON: Final = 1e-6
INTERNAL: Final = ("node:", "object_store_memory")
"""Begin the names of what Ray keeps for itself."""
SHOWN: Final = 8
"""Nodes in a message at most."""


def needs_of(resources: Mapping[str, float]) -> dict[str, float]:
    """Return what a worker takes of its node: what the job says, and a core where it says none.

    Example:
        >>> needs_of({"GPU": 0.5})
        {'CPU': 1.0, 'GPU': 0.5}
    """
    return {CPU: 1.0, **{name: float(amount) for name, amount in resources.items()}}


def lacking(needs: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """Return what keeps every node from ever holding a worker; empty where one can.

    Args:
        needs: of one worker, by name.
        nodes: what each has in all, used or not.

    Example:
        >>> lacking({"CPU": 1, "GPU": 1}, [{"CPU": 8}, {"CPU": 4}])
        'no node has GPU 1'
        >>> lacking({"CPU": 8, "oag-camera": 1}, [{"CPU": 8}, {"oag-camera": 1, "CPU": 4}])
        'no node has CPU 8 and oag-camera 1 together'
        >>> lacking({"CPU": 4}, [{"CPU": 8}])
        ''
    """
    if not nodes:
        return "there are no nodes"
    if any(_holds(needs, node) for node in nodes):
        return ""
    alone = [name for name in needs if not any(_holds({name: needs[name]}, node) for node in nodes)]
    if alone:
        return f"no node has {' nor '.join(amount(name, needs[name]) for name in alone)}"
    return f"no node has {' and '.join(amount(name, needs[name]) for name in needs)} together"


def amount(name: str, number: float) -> str:
    """Write an amount for people.

    Example:
        >>> amount("CPU", 2.0), amount("memory", 3 << 30)
        ('CPU 2', 'memory 3.0 GiB')
    """
    return f"memory {number / (1 << 30):.1f} GiB" if name == "memory" else f"{name} {number:g}"


def table_of(nodes: Mapping[str, Mapping[str, float]]) -> str:
    """Write what each node has, a line each.

    Args:
        nodes: by a name for people.

    Example:
        >>> print(table_of({"10.0.0.7": {"CPU": 8.0, "node:10.0.0.7": 1.0}}))
        <BLANKLINE>
            10.0.0.7: CPU 8
    """
    lines = [f"\n    {name}: {_has(node)}" for name, node in list(nodes.items())[:SHOWN]]
    more = len(nodes) - SHOWN
    return "".join(lines) + (f"\n    and {more} more" if more > 0 else "")


def _has(node: Mapping[str, float]) -> str:
    shown = {name: number for name, number in node.items() if not name.startswith(INTERNAL)}
    return ", ".join(amount(name, number) for name, number in sorted(shown.items())) or "nothing"


def _holds(needs: Mapping[str, float], node: Mapping[str, float]) -> bool:
    return all(node.get(name, 0.0) + EPSILON >= number for name, number in needs.items())
