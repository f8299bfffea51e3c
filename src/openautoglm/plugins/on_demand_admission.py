"""How a plugin that somebody asks a name of may run: who signed it, at which level, by whose rules.

Owns `judged` and `rules`. Knows nothing of hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.errors import ContentStoreError, PluginUnavailableError
from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from openautoglm.plugins.host.placing import Level
    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.signing import Verdict
    from openautoglm.policy import Policy

RULES: Final = "policy"
"""Folder in the home with rules that are asked beside those of the package."""


def rules() -> Policy:
    """Return the rules of the package, and those of the home where it has some."""
    from openautoglm.plugins.inventory.state import default_home
    from openautoglm.policy import DEFAULT_RULES, Policy

    own = default_home() / RULES
    return Policy.load(DEFAULT_RULES, *([own] if own.exists() else []))


def judged(found: Installed) -> tuple[Level | None, Verdict | None]:
    """Return the level a plugin is to run at, None: as it asks, and the verdict on its signatures.

    Raises:
        PluginUnavailableError: its files are not those of its wheel, or it may not run as it must.
        OpenAutoGLMError: the keyring or the wheel cannot be read.
    """
    verdict = _verified(found)
    if (verdict is not None and verdict.trusted) or found.manifest.level not in {"L0", "L1"}:
        return None, verdict
    _refuse_in_process(found)
    return "L2", verdict


def _verified(found: Installed) -> Verdict | None:
    """Hold the files to what was installed, and judge them; a pip-installed one has no verdict."""
    if found.wheel is None:
        return None
    from openautoglm.plugins.inventory.inventory import Inventory

    try:
        return Inventory().judged(found)
    except ContentStoreError as cause:
        raise PluginUnavailableError(
            f"files of the plugin {found.id} {found.version} are not those of its wheel",
            got=cause.got,
            fix=f"`oag plugin remove {found.id}`, and install the wheel again",
        ) from cause


def _refuse_in_process(found: Installed) -> None:
    for each in found.manifest.provides:
        is_library = each.sources is not None and each.point != "task"
        if is_library or POINTS.get(each.point).levels == ("L0",):
            raise PluginUnavailableError(
                f"the plugin {found.id} {found.version} runs in this process or not at all",
                got=f"it provides the {each.point} `{each.name}`, and no trusted key signed it",
                fix="sign its wheel with a key you trust (`oag plugin sign`), and install it again",
            )
