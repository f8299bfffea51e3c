"""All that is wrong with what is installed, put together from what was found.

Files were looked at before. Knows nothing of the store.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from openautoglm.errors import MissingExtraError
from openautoglm.plugins import peers
from openautoglm.plugins.inventory.conflicts import Conflict, between, with_builtins, with_host
from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from openautoglm.plugins.inventory.conflicts import Side
    from openautoglm.plugins.inventory.environment import Found
    from openautoglm.plugins.inventory.installed import Installed


def examine(
    *,
    sides: Sequence[Side],
    broken: Sequence[Found],
    damaged: Sequence[Installed],
    leftovers: Sequence[Path],
    builtin: Mapping[str, Sequence[str]],
) -> tuple[Conflict, ...]:
    """Return every conflict, those between plugins first."""
    host = peers.Host()
    return (
        *between(sides),
        *(each for side in sides for each in with_host(side, sides, host)),
        *(each for side in sides for each in with_builtins(side, builtin)),
        *_unreadable(broken),
        *_changed(damaged),
        *_left(leftovers),
    )


def _unreadable(broken: Sequence[Found]) -> Iterator[Conflict]:
    for each in broken:
        error = each.error
        yield Conflict(
            kind="manifest",
            problem=f"plugin `{each.id}` in the environment is left out: its manifest is wrong",
            sides=(each.id, peers.HOST),
            got="" if error is None else error.problem,
            fix="install a version that was packed with `oag plugin pack`",
        )


def _changed(damaged: Sequence[Installed]) -> Iterator[Conflict]:
    for each in damaged:
        yield Conflict(
            kind="files",
            problem=f"files of plugin `{each.id}` {each.version} are not those that were installed",
            sides=(each.id, peers.HOST),
            got=str(each.root),
            fix=f"install it again: `oag plugin remove {each.id}`, then install the wheel",
        )


def _left(leftovers: Sequence[Path]) -> Iterator[Conflict]:
    for path in leftovers:
        yield Conflict(
            kind="leftover",
            problem="a folder in the store belongs to no plugin",
            sides=(path.name, peers.HOST),
            got=str(path),
            fix="delete it: `oag plugin doctor --clean`",
        )


def builtin_names() -> dict[str, tuple[str, ...]]:
    """Return the names of the host's own contributions, by point.

    This imports the registries of all points, and with them much of the host; a point whose extra
    is not installed is left out.
    """
    found = {}
    for point in POINTS.names():
        with suppress(MissingExtraError, ImportError):
            found[point] = POINTS.get(point).entries().names()
    return found
