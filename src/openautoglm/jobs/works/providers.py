"""Which plugins answer for a work: version and digest of each, for fingerprints.

Owns `of_steps` and `of_backend`, and `known_here_alone`, the steps that no other process has.
Starts nothing that is not started already. Knows nothing of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.errors import MissingExtraError, UnknownNameError
from openautoglm.jobs.works.digest import of_files
from openautoglm.registry import CORE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from openautoglm.pipeline.graph import Pipeline
    from openautoglm.plugins.inventory.installed import Installed

SHOWN: Final = 16
"""Characters of a digest."""


def of_steps(pipeline: Pipeline) -> dict[str, str]:
    """Return, for each plugin that brings a step of a pipeline, its version and digest."""
    return _marks(_owners(pipeline).values())


def of_backend(name: str) -> dict[str, str]:
    """Return the same for the plugin that brings a backend; nothing for those that come with us."""
    from openautoglm.engine.backend import BACKENDS

    if name == "auto":
        return {}
    try:
        return _marks([BACKENDS.entry(name).owner])
    except UnknownNameError:  # whoever loads it says so
        return {}


def known_here_alone(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the steps that this process registered and no plugin brings: workers lack them."""
    others = {name: o for name, o in _owners(pipeline).items() if o != CORE_OWNER}
    installed = _installed() if others else {}
    return tuple(name for name, owner in others.items() if owner not in installed)


def _owners(pipeline: Pipeline) -> dict[str, str]:
    """Return who brings each step, by its name."""
    from openautoglm.pipeline.catalog import STEPS

    entries = {entry.value: entry for entry in map(STEPS.entry, STEPS.names())}
    used = [type(component.step) for component in pipeline.spec.components.values()]
    return {entries[kind].name: entries[kind].owner for kind in used if kind in entries}


def _marks(owners: Iterable[str]) -> dict[str, str]:
    others = sorted(set(owners) - {CORE_OWNER})
    installed = _installed() if others else {}
    return {f"plugin {plugin}": _mark(installed.get(plugin)) for plugin in others}


def _mark(found: Installed | None) -> str:
    if found is None:
        return "of this process alone"
    digest = found.contents or of_files(_files(found.root / found.manifest.package))
    return f"{found.version} {digest.removeprefix('sha256:')[:SHOWN]}"


def _files(package: Path) -> list[Path]:
    """Return the files of a package that pip installed, without what Python made of them."""
    files = package.rglob("*") if package.is_dir() else package.parent.glob(f"{package.name}.*")
    return sorted(f for f in files if f.is_file() and "__pycache__" not in f.parts)


def _installed() -> dict[str, Installed]:
    try:
        from openautoglm.plugins.inventory.inventory import Inventory
    except (ImportError, MissingExtraError):
        return {}
    return {each.id: each for each in Inventory().list()}
