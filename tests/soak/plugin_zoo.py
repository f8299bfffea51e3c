"""Check the whole zoo with the full profile, and the good plugins several times.

The short form is tests/e2e/test_plugin_zoo.py. `python tests/soak/plugin_zoo.py` ends with 1 where
a broken plugin is not caught by its rows, or a good one is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from table import at_least, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.plugins.trial.nursery import Nursery
from openautoglm.plugins.validation import validate_plugin

if TYPE_CHECKING:
    from openautoglm.plugins.report import PluginReport

PLUGINS: Final = Path(__file__).parents[2] / "plugins"
LEAST: Final = 30


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


def main() -> None:
    """Check everything, print what differs and a table; exit code 1 where something does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of the good plugins")
    rounds = parser.parse_args().rounds
    wrong, count = list[str](), 0
    with Nursery() as nursery:
        for kind, times in (("broken", 1), ("good", rounds)):
            for folder in sorted(PLUGINS.glob(f"{kind}/*/pyproject.toml")) * times:
                report = checked(folder.parent, nursery)
                found = {finding.row for finding in report.failures}
                wanted = expected(folder.parent) if kind == "broken" else set()
                count += 1
                if found != wanted:
                    wrong.append(f"{folder.parent.name}: {sorted(found)}, not {sorted(wanted)}")
    kinds = {
        kind: len(list(PLUGINS.glob(f"{kind}/*/pyproject.toml"))) for kind in ("broken", "good")
    }
    rows = [
        at_least("defective plugins", kinds["broken"], LEAST),
        told("good plugins", kinds["good"]),
        told("checks", count),
        none("found by other rows than they should, or refused", wrong),
    ]
    finish("The zoo of plugins, full profile", {**kinds, "checks": count, "wrong": wrong}, rows)


if __name__ == "__main__":
    main()
