"""Installed plugins, started when somebody asks for a name that they provide.

Owns `look`, which registries call, `refresh`, and one host for the whole process: made for the
first such name, ended with the process. Manifests say who provides a name; nothing is imported to
find out. What trusted keys signed runs at the level it asks for, and everything else in the
sandbox; policy is asked before each start. What is upgraded, disabled or removed meanwhile, by any
process, is seen at the next name that is asked for. Kernels and drivers serve names that are there
already: they are not found this way.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from openautoglm import bus
from openautoglm.errors import (
    MissingExtraError,
    OpenAutoGLMError,
    PluginReplaceError,
    UnknownNameError,
)
from openautoglm.plugins.host import forking
from openautoglm.plugins.on_demand_admission import judged, rules
from openautoglm.plugins.points import POINTS
from openautoglm.registry import watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.plugins.host import PluginHost, RunningPlugin
    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.rollout.outcome import RolloutReport
    from openautoglm.policy import Policy

Stamp: TypeAlias = tuple[tuple[str, int, int, int] | None, ...]
"""Of what is installed and of the keyring: file, number, size, time. Every change changes it."""

_log: Final = logging.getLogger("openautoglm.plugins")
_lock = threading.RLock()
_starting: Final[set[str]] = set()
_host: PluginHost | None = None
_policy: Policy | None = None
_seen: Stamp | None = None


def look(point: str, name: str) -> None:
    """See to it that a name is served by the plugin that is installed for it, if one is.

    Registries call it for a name that they lack, and for entries of owners that they watch; not in
    a worker of a plugin. Where nothing was installed or removed since, the latter costs one look
    at a file.

    Raises:
        UnknownNameError: the plugin that has it is disabled.
        PluginUnavailableError: it may not run, or did not start.
        PluginStoreError: the list of plugins is damaged.
        OpenAutoGLMError: what else `PluginHost.start` raises.
    """
    if _stamp() == _seen and (_is_there(point, name) or _provider(point, name) is None):
        return  # also while another plugin is started
    with _lock:
        for failure in _renewed()[1]:
            _log.error("%s", failure)
        if not _is_there(point, name):
            _serve(point, name)


def refresh() -> tuple[str, ...]:
    """Let plugins that serve by their names be those that are installed now.

    A name that is asked for does the same. Whoever holds what was asked for before, such as a
    pipeline, calls this after an upgrade: new calls go to the new version, and calls and streams
    under way end where they began. What is disabled or removed takes no calls any more.

    Returns:
        The plugins that were replaced or stopped.

    Raises:
        PluginReplaceError: a new version did not take the place of the old one, which serves on.
        OpenAutoGLMError: as `look`. Where several plugins fail, the other errors are logged.
    """
    with _lock:
        changed, failures = _renewed()
        for failure in failures[1:]:
            _log.error("%s", failure)
        if failures:
            raise failures[0]
        return changed


@contextmanager
def giving_way(plugin: str, host: PluginHost) -> Iterator[None]:
    """Leave the names of a plugin to a host of somebody's own, which takes them in the block.

    What was asked for before works on. At L0 a plugin is loaded once, so this one is unloaded.
    """
    with _lock:
        held = _serving().get(plugin)
        if _host is not None and _host is not host and held is not None:
            if held.level == "L0":
                _host.stop(plugin)
            else:
                held.revoke()
        yield


def running() -> tuple[RunningPlugin, ...]:
    """Return the plugins that were started this way, in the order they were."""
    with _lock:
        return () if _host is None else _host.plugins


def close() -> None:
    """End them all; the next name that is asked for starts its plugin again."""
    global _host, _policy, _seen  # noqa: PLW0603 - a process has one such host
    with _lock:
        host, _host = _host, None
        policy, _policy = _policy, None
        _seen = None
        if host is not None:
            host.close()
        if policy is not None:
            policy.close()


def _serving() -> dict[str, RunningPlugin]:
    """Return what serves of each plugin: the last good version may be beside it."""
    by_use = sorted(running(), key=lambda each: each.is_registered)
    return {each.manifest.id: each for each in by_use}


def _is_there(point: str, name: str) -> bool:
    return not forking.is_left(point, name) and name in POINTS.get(point).entries().names()


def _stamp() -> Stamp:
    try:
        from openautoglm.plugins.inventory.state import default_home
        from openautoglm.plugins.signing.keyring import FILE_NAME
    except (ImportError, MissingExtraError):
        return ()
    home = str(default_home())
    return _stamp_of(f"{home}/state.json"), _stamp_of(f"{home}/{FILE_NAME}")


def _stamp_of(path: str) -> tuple[str, int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - nothing else is asked of it
    except OSError:
        return None
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def _serve(point: str, name: str) -> None:
    """Start the plugin that has a name, or let the one that gave way have it again."""
    found = _provider(point, name)
    if found is None or found.id in _starting:
        return
    if not found.enabled:
        raise UnknownNameError(
            f"{point} `{name}` is in the plugin {found.id}, which is disabled",
            fix=f"oag plugin enable {found.id}",
        )
    held = _serving().get(found.id)
    if held is not None:
        held.register()
        return
    _starting.add(found.id)
    try:
        _start(found)
    finally:
        _starting.discard(found.id)


def _renewed() -> tuple[tuple[str, ...], list[OpenAutoGLMError]]:
    """Replace and stop what is not as it is installed; return those plugins, and what failed."""
    global _seen  # noqa: PLW0603 - a process has one such host
    stamp = _stamp()
    serving = _serving()
    if stamp == _seen or not serving:
        _seen = stamp
        return (), []
    from openautoglm.plugins.inventory.inventory import Inventory

    same_keys = _seen is not None and stamp[1:] == _seen[1:]
    _seen = stamp
    changed: list[str] = []
    failures: list[OpenAutoGLMError] = []
    try:
        installed = {each.id: each for each in Inventory().list() if each.enabled}
    except OpenAutoGLMError as error:  # what serves does not need the list
        return (), [error]
    if not same_keys:
        _end_ways_back(serving)
    for plugin, held in serving.items():
        found = installed.get(plugin)
        may_stay = found is not None and (same_keys or _may_stay(held))
        if found is not None and _is_of(held, found) and may_stay:
            continue
        changed.append(plugin)
        try:
            _change(held, found, may_stay=may_stay)
        except OpenAutoGLMError as error:
            failures.append(error)
    return tuple(changed), failures


def _end_ways_back(serving: Mapping[str, RunningPlugin]) -> None:
    """Stop last good versions that may not run any more, so that no call falls back to them."""
    for each in running():
        if _host is not None and each is not serving[each.manifest.id] and not _may_stay(each):
            _host.stop(each)


def _is_of(held: RunningPlugin, found: Installed) -> bool:
    return (held.manifest, held.path) == (found.manifest, tuple(found.path))


def _may_stay(held: RunningPlugin) -> bool:
    """Return whether a version may still run as it does, by the keys that are trusted now."""
    from openautoglm.plugins.inventory.inventory import Inventory

    host, policy = _hosting()
    try:
        found = Inventory().show(held.manifest.id, version=held.manifest.version)
        level, verdict = judged(found)
        return (
            _is_of(held, found)
            and host.admit(found, isolation=level, verdict=verdict) == held.level
        )
    except OpenAutoGLMError:
        return False
    finally:
        policy.close()


def _change(held: RunningPlugin, found: Installed | None, *, may_stay: bool) -> None:
    """Put what is installed in the place of what serves; nothing, where it is not to be used.

    What may not stay serves no more, whether anything takes its place or not.
    """
    if _host is None:
        return
    plugin, old = held.manifest.id, held.manifest.version
    is_routed = "L0" not in {held.level, None if found is None else found.manifest.level}
    if found is None or not held.is_registered:
        _host.stop(plugin)
    elif is_routed and may_stay and found.version != old:
        _replace(_host, found)
    else:  # the same version with other files, other trust, or code that is loaded once
        _host.stop(plugin)
        _start(found)


def _replace(host: PluginHost, found: Installed) -> None:
    from openautoglm.plugins.rollout.plan import AT_ONCE

    level, verdict = judged(found)
    _, policy = _hosting()
    try:
        report = cast(
            "RolloutReport",
            host.replace(found.id, found, plan=AT_ONCE, isolation=level, verdict=verdict),
        )
    finally:
        policy.close()
    if not report.ok:
        raise PluginReplaceError(
            f"plugin {found.id} {report.old} serves on: {found.version} did not take its place",
            got=report.reason,
            fix=f"`oag plugin check` the new version, or go back: oag plugin rollback {found.id}",
        )


def _provider(point: str, name: str) -> Installed | None:
    """Return the plugin that has a name, an enabled one first; None without the extra `plugins`."""
    try:
        from openautoglm.plugins.inventory.inventory import Inventory
    except (ImportError, MissingExtraError):
        return None
    found = [
        each
        for each in Inventory().list()
        if any((one.point, one.name) == (point, name) for one in each.manifest.provides)
    ]
    return min(found, key=lambda each: not each.enabled, default=None)


def _start(found: Installed) -> None:
    level, verdict = judged(found)
    host, policy = _hosting()
    try:
        host.start(found, isolation=level, verdict=verdict)
    finally:
        policy.close()  # its process; the next decision starts another
    watch(found.id)


def _hosting() -> tuple[PluginHost, Policy]:
    global _host, _policy  # noqa: PLW0603 - a process has one such host
    if _host is None or _policy is None:
        from openautoglm.plugins.host import PluginHost

        _policy = rules()
        _host = PluginHost(bus=bus.current(), policy=_policy)
        atexit.unregister(close)
        atexit.register(close)  # after the bus was, so that it is there to the host's end
    return _host, _policy


def _leave() -> None:
    """Have a host of its own in a process that was forked."""
    global _lock, _host, _policy, _seen  # noqa: PLW0603 - a process has one such host
    _lock = threading.RLock()  # whoever held the other one is not here
    _host = _policy = _seen = None
    _starting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)
