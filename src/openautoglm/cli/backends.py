"""Which backends can run on a machine, and what the others lack.

Knows nothing of models but where nano lies.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.engine.backend import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.cli.machine import Machine

NANO = Path(__file__).parents[1] / "engine" / "weights" / "nano"


def examine_backends(machine: Machine) -> Mapping[str, str | None]:
    """Return for each backend what it lacks and the fix, or None when it is available."""
    lacks = {name: _lacks(machine, BACKENDS.get(name).extra) for name in BACKENDS.names()}
    if lacks["nano"] is None and not (NANO / "config.json").is_file():
        lacks["nano"] = "its weights are not in this installation: install the package again"
    return lacks


def _lacks(machine: Machine, extra: str | None) -> str | None:
    missing = machine.missing(extra) if extra else ()
    if not missing:
        return None
    return f'needs {", ".join(missing)}: pip install "openautoglm[{extra}]"'
