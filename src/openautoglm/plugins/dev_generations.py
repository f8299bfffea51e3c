"""Generations of one plugin in a running host: the new one serves before the old one goes.

Owns the order of the change. A plugin in a worker is started beside the one before and takes its
names when it serves; one in this process has to leave first, and comes back where its successor
cannot be loaded.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self, final

from openautoglm.errors import OpenAutoGLMError, SandboxUnavailableError
from openautoglm.native.toolchain import build_folder
from openautoglm.plugins.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from openautoglm.plugins.host import RunningPlugin
    from openautoglm.plugins.manifest import Manifest


@final
class Generations:
    """Hold the host and the generation that serves; used in a `with`.

    Args:
        scratch: folder for the copies that are loaded.

    Attributes:
        number: of the generation that serves; 0 before the first.
    """

    def __init__(self, scratch: Path) -> None:
        self.number = 0
        self._scratch = scratch
        self._host = PluginHost(home=scratch / "home", levels=("L0", "L1", "L2", "L3"))
        self._serving: RunningPlugin | None = None
        self._attempts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.close()

    def load(
        self, manifest: Manifest, package: Path, siblings: tuple[Path, ...] = ()
    ) -> tuple[str, ...]:
        """Load a copy of a package as the next generation.

        Returns:
            What it provides, and where, and the sources that this machine cannot compile.

        Raises:
            OpenAutoGLMError: it cannot be loaded; the generation before it serves on.
        """
        self._attempts += 1
        copied = self._scratch / f"generation-{self._attempts}"
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        shutil.copytree(package, copied / package.name, ignore=ignored)
        before = self._serving
        path = (copied, *siblings)
        if manifest.level == "L0" or (before is not None and before.level == "L0"):
            self._serving = self._in_turn(before, manifest, path)
        else:
            fresh = self._start(manifest, path, register=False)
            if before is not None:
                self._host.stop(before)
            fresh.register()
            self._serving = fresh
        self.number += 1
        level = self._serving.level
        names = (f"{each.point} {each.name} at {level}" for each in manifest.provides)
        return (*names, *_left_out(manifest, copied / package.name))

    def _in_turn(
        self, before: RunningPlugin | None, manifest: Manifest, path: tuple[Path, ...]
    ) -> RunningPlugin:
        if before is None:
            return self._start(manifest, path, register=True)
        self._host.stop(before)
        try:
            return self._start(manifest, path, register=True)
        except OpenAutoGLMError:
            self._serving = self._start(before.manifest, before.path, register=True)
            raise

    def _start(
        self, manifest: Manifest, path: tuple[Path, ...], *, register: bool
    ) -> RunningPlugin:
        try:
            return self._host.start(manifest, path=path, register=register)
        except SandboxUnavailableError:  # a machine to write plugins on need not confine them
            return self._host.start(manifest, path=path, register=register, isolation="L1")


def _left_out(manifest: Manifest, package: Path) -> Iterator[str]:
    """Yield the kernel sources that were not compiled; what was, is not compiled again."""
    for named in {each.sources for each in manifest.provides if each.sources}:
        if (package / named).is_dir():
            for source, why in build_folder(package / named).left_out:
                yield f"without {source.name}: {why}"
