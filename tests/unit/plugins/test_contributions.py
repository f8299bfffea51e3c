"""What plugins bring is read from what they say, with what keeps it from running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.plugins import Installed, Manifest, Provides
from openautoglm.plugins.contributions import contributed, isolation_of
from openautoglm.plugins.inventory.state import Verdict

if TYPE_CHECKING:
    from openautoglm.plugins.manifest import Isolation


def installed(
    provides: Provides, *, isolation: Isolation = "auto", is_trusted: bool = False
) -> Installed:
    manifest = Manifest(
        id="acme.it",
        name="acme-it",
        version="1.0",
        package="acme_it",
        host_api=">=1.0,<2",
        isolation=isolation,
        provides=(provides,),
    )
    return Installed(
        manifest=manifest,
        origin="store",
        enabled=True,
        root=Path("/nowhere"),
        path=(),
        dependencies={},
        verdict=Verdict(trusted=is_trusted),
    )


STEP = Provides(point="step", contract=1, name="acme.it", object="acme_it:It")
OPERATOR = Provides(point="operator", contract=1, name="acme_it", object="acme_it:It")
KERNELS = Provides(point="operator", contract=1, name="acme_it", sources="kernels")
DRIVER = Provides(point="driver", contract=1, name="acme_it", object="acme_it:It")
TASK = Provides(point="task", contract=1, name="acme.it", sources="it.yaml")
MODULE = Provides(point="step", contract=1, name="acme.it", module="it.wasm")
FUTURE = Provides(point="step", contract=99, name="acme.it", object="acme_it:It")


@pytest.mark.parametrize(
    ("provides", "isolation", "is_trusted", "level"),
    [
        (STEP, "auto", False, "L2"),
        (STEP, "auto", True, "L2"),
        (STEP, "L0", False, "L2"),
        (STEP, "L0", True, "L0"),
        (STEP, "L1", False, "L2"),
        (STEP, "L1", True, "L1"),
        (OPERATOR, "auto", False, "L2"),
        (OPERATOR, "auto", True, "L0"),
        (KERNELS, "auto", True, "L0"),
        (TASK, "auto", False, "no code"),
        (MODULE, "auto", False, "L3"),
    ],
)
def test_the_level_is_the_one_it_would_run_at(
    provides: Provides, isolation: Isolation, level: str, *, is_trusted: bool
) -> None:
    plugin = installed(provides, isolation=isolation, is_trusted=is_trusted)
    (found,) = contributed(plugin)
    assert (found.isolation, found.lacks) == (level, "")
    assert isolation_of(plugin) == level
    assert str(found) == f"plugin acme.it 1.0, {level}"


@pytest.mark.parametrize(
    ("provides", "lacks", "fix"),
    [
        (KERNELS, "no trusted key signed it", "oag plugin sign"),
        (DRIVER, "no trusted key signed it", "oag plugin sign"),
        (FUTURE, "contract 99; this host has 1", "that fits"),
    ],
)
def test_what_cannot_run_says_why_and_what_to_do(provides: Provides, lacks: str, fix: str) -> None:
    plugin = installed(provides)
    (found,) = contributed(plugin)
    assert found.isolation == ""
    assert lacks in found.lacks
    assert fix in found.fix
    assert isolation_of(plugin) == "cannot run"
    assert "cannot run: " in str(found)
