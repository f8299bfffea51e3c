"""What policy is told of an installed plugin beside its manifest: its check, the versions before.

Pure. Knows nothing of rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from openautoglm.plugins.inventory.installed import Installed
from openautoglm.policy.admission import report_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.policy.admission import Switch


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What `admission_input` takes of it.

    Attributes:
        report: of its check, or None.
        is_downgrade: whether a higher version was in use before.
        switches: what a person turned on: an older version is in use because somebody wanted that.
    """

    report: Mapping[str, object] | None = None
    is_downgrade: bool = False
    switches: tuple[Switch, ...] = ()


def known_of(plugin: object, *, signed_digest: object = None) -> Known:
    """Return what is known of what the inventory installed, and nothing of anything else.

    Args:
        plugin: what is to run.
        signed_digest: of the report that a trusted signature stands for, or None.
    """
    if not isinstance(plugin, Installed):
        return Known()
    report = None
    if plugin.proof is not None:
        report = report_input(
            plugin.proof, plugin=plugin.id, version=plugin.version, signed_digest=signed_digest
        )
    return Known(
        report=report,
        is_downgrade=plugin.is_downgrade,
        switches=("downgrade",) if plugin.is_downgrade else (),
    )
