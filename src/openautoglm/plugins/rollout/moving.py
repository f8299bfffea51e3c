"""State, from one version of a plugin into the next: `export_state`, then `import_state`.

Knows nothing of routes: who calls this holds all calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.rollout.routes import Version


def is_stateful(manifest: Manifest) -> bool:
    """Whether any of its contributions says that it has state."""
    return any(each.state for each in manifest.provides)


def move(old: Version, new: Version, timeout_s: float) -> int:
    """Give the new version the state of every contribution that both have; return how many.

    Everything is exported before anything is imported, and the old version keeps what it has.

    Raises:
        Exception: what either of them raised.
    """
    there = {(each.point, each.name) for each in new.manifest.provides if each.state}
    both = [each for each in old.manifest.provides if each.state]
    both = [each for each in both if (each.point, each.name) in there]
    exported = [
        old.remote(each.name, point=each.point).call("export_state", timeout_s=timeout_s)
        for each in both
    ]
    for each, state in zip(both, exported, strict=True):
        new.remote(each.name, point=each.point).call(
            "import_state", state, old.manifest.version, timeout_s=timeout_s
        )
    return len(both)
