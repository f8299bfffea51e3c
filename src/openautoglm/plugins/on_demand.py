"""Installed plugins, started when somebody asks for a name that they provide.

Owns `start`, which registries call, and one host for the whole process: made for the first such
name, ended with the process. Manifests say who provides a name; nothing is imported to find out.
What trusted keys signed runs at the level it asks for, and everything else in the sandbox; policy
is asked before each start. Kernels and drivers serve names that are there already: they are not
found this way.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from openautoglm import bus
from openautoglm.errors import MissingExtraError, PluginUnavailableError, UnknownNameError
from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openautoglm.plugins.host import PluginHost, RunningPlugin
    from openautoglm.plugins.host.placing import Level
    from openautoglm.plugins.inventory_installed import Installed
    from openautoglm.plugins.signing import Verdict
    from openautoglm.policy import Policy

RULES: Final = "policy"
"""Folder in the home with rules that are asked beside those of the package."""

_lock: Final = threading.RLock()
_starting: Final[set[str]] = set()
_host: PluginHost | None = None
_policy: Policy | None = None


def start(point: str, name: str) -> bool:
    """Start the installed plugin that provides a name; return whether one was started.

    Registries do not ask in a worker of a plugin.

    Raises:
        UnknownNameError: the plugin that has it is disabled.
        PluginUnavailableError: it may not run, or did not start.
        PluginStoreError: the list of plugins is damaged.
        OpenAutoGLMError: what else `PluginHost.start` raises.
    """
    with _lock:
        found = _provider(point, name)
        if found is None or found.id in _starting | _running():
            return False
        if not found.enabled:
            raise UnknownNameError(
                f"{point} `{name}` is in the plugin {found.id}, which is disabled",
                fix=f"oag plugin enable {found.id}",
            )
        _starting.add(found.id)
        try:
            _start(found)
        finally:
            _starting.discard(found.id)
    return True


def running() -> tuple[RunningPlugin, ...]:
    """Return the plugins that were started this way, in the order they were."""
    with _lock:
        return () if _host is None else _host.plugins


def close() -> None:
    """End them all; the next name that is asked for starts its plugin again."""
    global _host, _policy
    with _lock:
        host, _host = _host, None
        policy, _policy = _policy, None
        if host is not None:
            host.close()
        if policy is not None:
            policy.close()


def _running() -> set[str]:
    return {each.manifest.id for each in running()}


def _provider(point: str, name: str) -> Installed | None:
    """Return the plugin that has a name, an enabled one first; None without the extra `plugins`."""
    try:
        from openautoglm.plugins.inventory import Inventory
    except (ImportError, MissingExtraError):
        return None
    found = [
        each
        for each in Inventory().list()
        if any((one.point, one.name) == (point, name) for one in each.manifest.provides)
    ]
    return min(found, key=lambda each: not each.enabled, default=None)


def _start(found: Installed) -> None:
    verdict = _judged(found)
    is_trusted = verdict is not None and verdict.trusted
    level: Level | None = None
    if not is_trusted and found.manifest.level in {"L0", "L1"}:
        level = "L2"
        _refuse_in_process(found)
    host, policy = _hosting()
    try:
        host.start(found, isolation=level, verdict=verdict)
    finally:
        policy.close()  # its process; the next decision starts another


def _hosting() -> tuple[PluginHost, Policy]:
    global _host, _policy  # noqa: PLW0603 - a process has one such host
    if _host is None or _policy is None:
        from openautoglm.plugins.host import PluginHost
        from openautoglm.plugins.inventory_state import default_home
        from openautoglm.policy import DEFAULT_RULES, Policy

        own = default_home() / RULES
        _policy = Policy.load(DEFAULT_RULES, *([own] if own.exists() else []))
        _host = PluginHost(bus=bus.current(), policy=_policy)
        atexit.register(close)
    return _host, _policy


def _judged(found: Installed) -> Verdict | None:
    """Verify the wheel that is kept, and hold the files to it; a pip-installed one has none."""
    if found.wheel is None:
        return None
    from openautoglm.plugins.inventory_state import default_home
    from openautoglm.plugins.signing import KeyringFile, verify
    from openautoglm.plugins.signing.keyring import FILE_NAME

    keyring = KeyringFile(default_home() / FILE_NAME).read()
    verdict = verify(found.wheel, keyring, allow_downgrade=True)  # `rollback` is a person's wish
    package = verdict.package  # None where the wheel itself is refused: policy says so
    if package is not None and not _holds(found.root, package.files):
        raise PluginUnavailableError(
            f"files of the plugin {found.id} {found.version} are not those of its wheel",
            got=str(found.root),
            fix=f"`oag plugin remove {found.id}`, and install the wheel again",
        )
    return verdict


def _holds(root: Path, files: Mapping[str, str]) -> bool:
    """Return whether a folder has the files of a wheel but RECORD as they are there, and no others.

    Byte code is one of the others.
    """
    wanted = {name for name in files if not name.endswith(".dist-info/RECORD")}
    there = {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    if there.keys() != wanted or any(path.is_symlink() for path in there.values()):
        return False
    with suppress(OSError):
        return all(
            hashlib.sha256(path.read_bytes()).hexdigest() == files[name]
            for name, path in there.items()
        )
    return False


def _refuse_in_process(found: Installed) -> None:
    for each in found.manifest.provides:
        is_library = each.sources is not None and each.point != "task"
        if is_library or POINTS.get(each.point).levels == ("L0",):
            raise PluginUnavailableError(
                f"the plugin {found.id} {found.version} runs in this process or not at all",
                got=f"it provides the {each.point} `{each.name}`, and no trusted key signed it",
                fix="sign its wheel with a key you trust (`oag plugin sign`), and install it again",
            )
