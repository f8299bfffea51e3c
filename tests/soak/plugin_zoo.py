"""Check the whole zoo with the full profile, and the good plugins several times.

The short form is tests/e2e/test_plugin_zoo.py. `python tests/soak/plugin_zoo.py` ends with 1 where
a broken plugin is not caught by its rows, or a good one is refused.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.trial.nursery import Nursery
from openautoglm.plugins.validation import validate_plugin

if TYPE_CHECKING:
    from openautoglm.plugins.report import PluginReport

PLUGINS: Final = Path(__file__).parents[2] / "plugins"


def expected(folder: Path) -> set[str]:
    """Return the rows that the second line of a plugin's pyproject.toml names."""
    line = (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()[1]
    return set(line.removeprefix("# Found by: ").split(", ")) - {"nothing"}


def checked(folder: Path, nursery: Nursery) -> PluginReport:
    """Check one plugin with all that lies beside it."""
    previous, advisories = folder / "previous", folder / "advisories"
    return validate_plugin(
        folder,
        timeout_s=10.0,
        nursery=nursery,
        previous=previous if previous.is_dir() else None,
        advisories=advisories if advisories.is_dir() else None,
    )


def main() -> int:
    """Check everything, print what differs, return how it ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of the good plugins")
    rounds = parser.parse_args().rounds
    wrong, count, start = 0, 0, time.perf_counter()
    with Nursery() as nursery:
        for kind, times in (("broken", 1), ("good", rounds)):
            for folder in sorted(PLUGINS.glob(f"{kind}/*/pyproject.toml")) * times:
                report = checked(folder.parent, nursery)
                found = {finding.row for finding in report.failures}
                wanted = expected(folder.parent) if kind == "broken" else set()
                count += 1
                if found != wanted:
                    wrong += 1
                    sys.stdout.write(f"{folder.parent.name}: {sorted(found)}, not {wanted}\n")
    taken = time.perf_counter() - start
    sys.stdout.write(f"{count} checks in {taken:.0f} s, {wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
