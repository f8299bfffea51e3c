"""A forked process, and the hosts that it came with: their processes and memory are the parent's.

Owns what is done in the child, at the fork: nothing there touches what is the parent's, calls into
workers are refused with the reason, and a plugin that is started in the child takes the names over.
Plugins in this process (L0, L3) are copied with it and serve on.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final, Protocol

from openautoglm.errors import PluginUnavailableError
from openautoglm.registry import watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.plugins.host.running import RunningPlugin


class Forked(Protocol):
    """A host."""

    def leave(self) -> Sequence[RunningPlugin]:
        """Forget all, in the child; return what runs in the parent."""


_hosts: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()
_left: Final[list[RunningPlugin]] = []


def remember(host: Forked) -> None:
    """Have a host forget all in processes that are forked from now on."""
    _hosts.add(host)


def is_left(point: str, name: str) -> bool:
    """Whether a name is that of a plugin whose workers are those of the parent."""
    return any(
        (each.point, each.name) == (point, name)
        for running in _left
        if running.level in {"L1", "L2"}
        for each in running.manifest.provides
    )


def take_over(plugin: str) -> None:
    """Take what the parent's host registered of a plugin out of the registries of this process."""
    for running in [each for each in _left if each.manifest.id == plugin]:
        _left.remove(running)
        running.unload()


def refusal(said: str) -> PluginUnavailableError:
    """Return the error of calls into workers of the parent."""
    return PluginUnavailableError(
        f"plugin {said} runs for another process, from which this one was forked",
        got=f"process {os.getpid()}",
        fix="start it in this process too, fork before plugins are started, or do not fork: "
        'multiprocessing.set_start_method("spawn")',
    )


def _leave_all() -> None:
    for host in tuple(_hosts):
        _left.extend(host.leave())
    for running in _left:
        watch(running.manifest.id)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
