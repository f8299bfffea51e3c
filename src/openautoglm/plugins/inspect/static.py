"""All static rows of one plugin, in their order.

Owns what is asked when. A plugin without a readable manifest is asked about its sources only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openautoglm.plugins.inspect.advisories import known_bad_rows
from openautoglm.plugins.inspect.api import load, object_rows
from openautoglm.plugins.inspect.dependencies import dependency_rows
from openautoglm.plugins.inspect.files import library_rows, source_rows
from openautoglm.plugins.inspect.fit import fit_rows
from openautoglm.plugins.inspect.manifest_rows import (
    house_rows,
    manifest_rows,
    point_rows,
)
from openautoglm.plugins.inspect.previous import previous_rows
from openautoglm.plugins.inspect.protocol import protocol_rows
from openautoglm.plugins.inspect.secrets import secret_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.report import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a plugin is compared with.

    Attributes:
        previous: wheel or project of the version before, or None.
        advisories: folder of advisories, or None.
    """

    previous: Path | None = None
    advisories: Path | None = None


def static_rows(subject: Subject, beside: Beside | None = None) -> Iterator[Finding]:
    """Ask everything that can be asked without running the plugin."""
    against = beside or Beside()
    yield from manifest_rows(subject)
    if subject.manifest is not None:
        yield from _manifest_told(subject, subject.manifest, against)
    yield from source_rows(subject)
    yield from library_rows(subject)
    yield from secret_rows(subject)
    yield from house_rows(subject)


def _manifest_told(subject: Subject, manifest: Manifest, against: Beside) -> Iterator[Finding]:
    yield from point_rows(manifest)
    package = load(subject, manifest)
    yield from object_rows(subject, manifest, package)
    yield from protocol_rows(manifest, package)
    yield from previous_rows(manifest, package, against.previous)
    yield from fit_rows(subject, manifest)
    yield from dependency_rows(subject, manifest)
    yield from known_bad_rows(manifest, against.advisories)
