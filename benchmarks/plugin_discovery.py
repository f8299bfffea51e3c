"""What 100 installed plugins add to start-up: in the store, and in the environment by pip."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from timing import medians_s, report

ROUNDS = 21
COUNT = 100
OAG = str(Path(sys.executable).parent / "oag")
DISCOVER = "from openautoglm.plugins.inventory.inventory import Inventory; Inventory().list()"
LISTING = "Inventory().list() in a process that runs"
PROGRAMS = {
    "oag --help": [OAG, "--help"],
    "oag plugin list": [OAG, "plugin", "list"],
    "discovery": [sys.executable, "-c", DISCOVER],
    "ops.names()": [sys.executable, "-c", "from openautoglm import ops; ops.names()"],
    "ops.names() and discovery": [
        *(sys.executable, "-c"),
        f"from openautoglm import ops; ops.names(); {DISCOVER}",
    ],
}


def main() -> None:
    """Run every program with 0 and with 100 plugins once a round, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        places = prepare(Path(folder))
        cases = {
            f"{program} | {place}": partial(start, command, environment)
            for program, command in PROGRAMS.items()
            for place, environment in places.items()
        }
        for place, environment in places.items():
            cases[f"{LISTING} | {place}"] = partial(listed, environment)
        medians = medians_s(cases, rounds=ROUNDS)
    none, *others = places
    rows = [
        {
            "program": program,
            "0 plugins, ms": round(medians[f"{program} | {none}"] * 1e3, 1),
            **{
                f"{place} adds, ms": round(
                    (medians[f"{program} | {place}"] - medians[f"{program} | {none}"]) * 1e3, 1
                )
                for place in others
            },
        }
        for program in (*PROGRAMS, LISTING)
    ]
    notes = (
        f"Processes but for the last row, wall clock, median of {ROUNDS} interleaved rounds, files "
        "in the cache. What is less than the machine's noise may be below nothing."
    )
    report("Start-up with plugins", rows, notes=notes)


def prepare(folder: Path) -> dict[str, dict[str, str]]:
    """Make the homes; return the environment variables of each place plugins can be in."""
    site = folder / "site"
    inventory = Inventory(folder / "full")
    for number in range(COUNT):
        project = new_project(f"acme.plugin{number}", kind="step", into=folder / "projects")
        wheel = pack(project).path
        inventory.install(wheel)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    if len(inventory.list()) != COUNT:
        raise SystemExit("not all plugins were installed")
    empty = {"OPENAUTOGLM_HOME": str(folder / "empty")}
    return {
        "none": empty,
        f"{COUNT} in the store": {"OPENAUTOGLM_HOME": str(folder / "full")},
        f"{COUNT} by pip": {**empty, "PYTHONPATH": str(site)},
    }


def start(command: list[str], environment: dict[str, str]) -> None:
    """Run a program to its end."""
    subprocess.run(command, capture_output=True, check=True, env={**os.environ, **environment})


def listed(environment: dict[str, str]) -> None:
    """List the plugins of one place in this process."""
    site = environment.get("PYTHONPATH")
    sys.path += [site] if site else []
    try:
        Inventory(Path(environment["OPENAUTOGLM_HOME"])).list()
    finally:
        sys.path[:] = [folder for folder in sys.path if folder != site]


if __name__ == "__main__":
    main()
