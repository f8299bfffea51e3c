"""A plugin's own dependencies: fetched by pip, put beside the plugin, never over the host.

Owns the two runs of pip: one that only resolves, with everything that is installed pinned to what
it is, and one that puts what is missing into a folder of the plugin's own. Only wheels are taken,
so that no code of a dependency runs while it is installed, and only those that were resolved, by
their hashes. Where the plugin brings a lock, they must be in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import PluginPeerError, PluginStoreError
from openautoglm.plugins.inventory.lock import Locked, refuse_unlocked
from openautoglm.plugins.manifest import normalised
from openautoglm.plugins.reading import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.plugins.manifest import Manifest

TIMEOUT_S: Final = 600


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """Where pip looks.

    Attributes:
        find_links: folders of wheels.
        offline: only there; no index is asked.
    """

    find_links: tuple[Path, ...] = ()
    offline: bool = False

    @property
    def options(self) -> list[str]:
        """The options of pip."""
        links = [f"--find-links={folder}" for folder in self.find_links]
        return [*links, *(["--no-index"] if self.offline else [])]


def put_dependencies(
    manifest: Manifest,
    folder: Path,
    fetching: Fetching,
    lock: Mapping[str, Locked] | None = None,
) -> dict[str, str]:
    """Put what a plugin depends on and the environment lacks into a folder.

    Args:
        manifest: of the plugin.
        folder: made if there is anything to put.
        fetching: where pip looks.
        lock: the plugin's own, by name; nothing else is taken then.

    Returns:
        What lies there now, name to version.

    Raises:
        PluginPeerError: they cannot be had without changing what the host has.
        PluginPackageError: one is not what the lock says.
        PluginStoreError: pip is not there or failed.
    """
    if not manifest.dependencies:
        return {}
    with tempfile.TemporaryDirectory(prefix="oag-pip-") as scratch:
        wanted = _resolved(manifest, Path(scratch), fetching, lock or {})
        if not wanted:
            return {}
        if lock is not None:
            refuse_unlocked(manifest.id, wanted, lock)
        listed = Path(scratch, "wanted.txt")
        listed.write_text("".join(f"{each}\n" for each in wanted), encoding="utf-8")
        options = ["--no-deps", "--no-compile", f"--target={folder}", f"--requirement={listed}"]
        done = _pip(["install", "--require-hashes", *options, *fetching.options])
    if done.returncode != 0:
        raise _failed(manifest, done)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    return {each.name: each.version for each in wanted}


def _resolved(
    manifest: Manifest, scratch: Path, fetching: Fetching, lock: Mapping[str, Locked]
) -> tuple[Locked, ...]:
    """Return each distribution that is missing, with the hash of the wheel that pip found."""
    pins, report = scratch / "pins.txt", scratch / "report.json"
    there = {normalised(each.name): each.version for each in distributions() if each.name}
    pinned = {**{name: each.version for name, each in lock.items()}, **there}
    pins.write_text("".join(f"{n}=={v}\n" for n, v in sorted(pinned.items())), encoding="utf-8")
    options = ["--dry-run", f"--report={report}", f"--constraint={pins}", *fetching.options]
    done = _pip(["install", *options, "--", *manifest.dependencies])
    if done.returncode != 0:
        if "conflict" in done.stderr.lower():
            raise PluginPeerError(
                f"plugin `{manifest.id}`: its dependencies do not go with what the host has",
                got=_last_words(done),
                fix="widen the plugin's ranges, or change what is installed beside the host",
            )
        raise _failed(manifest, done)
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    wanted = tuple(_found(manifest, each) for each in found)
    return tuple(each for each in wanted if each.name not in there)


def _found(manifest: Manifest, found: dict[str, dict[str, object]]) -> Locked:
    archive = found["download_info"].get("archive_info")
    hashes = archive.get("hashes", {}) if isinstance(archive, dict) else {}
    name, version = normalised(str(found["metadata"]["name"])), str(found["metadata"]["version"])
    if "sha256" not in hashes:
        raise PluginStoreError(
            f"a dependency of plugin `{manifest.id}` has no hash; nothing was installed",
            got=f"{name} {version}",
            fix="have it as a wheel in a folder: --find-links DIR",
        )
    return Locked(name=name, version=version, hashes=frozenset({hashes["sha256"]}))


def _pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    plain = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
    first, *rest = arguments
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PIP_TARGET"}}
    try:
        return subprocess.run(  # noqa: S603 - this Python's own pip
            [sys.executable, "-m", "pip", first, *plain, *rest],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as cause:
        raise PluginStoreError(
            f"pip did not end in {TIMEOUT_S} seconds; nothing was installed",
            fix="try again, or fetch the wheels first and name their folder: --find-links DIR",
        ) from cause


def _failed(manifest: Manifest, done: subprocess.CompletedProcess[str]) -> PluginStoreError:
    if "No module named pip" in done.stderr:
        return PluginStoreError(
            f"plugin `{manifest.id}` has dependencies, and there is no pip to fetch them",
            got=", ".join(manifest.dependencies),
            fix="python -m ensurepip, or install them into the environment yourself",
        )
    return PluginStoreError(
        f"the dependencies of plugin `{manifest.id}` cannot be had; nothing was installed",
        got=_last_words(done),
        fix="check the names and the network, or name a folder of wheels: --find-links DIR",
    )


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line]
    return shown("; ".join(line.removeprefix("ERROR: ") for line in lines) or "no message")
