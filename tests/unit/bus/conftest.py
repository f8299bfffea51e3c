"""The bus's module in both its forms."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

import openautoglm.bus
from openautoglm.bus import Bus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@pytest.fixture(params=["c", "python"])
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Return the module as it is, and as it is where nothing was built."""
    if request.param == "c":
        if not hasattr(openautoglm.bus, "direct"):
            pytest.skip("built without a compiler, or told not to use C")
        yield openautoglm.bus
        return
    spec = importlib.util.spec_from_file_location("bus_in_python", openautoglm.bus.__file__)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_DIRECT", "0")
        spec.loader.exec_module(made)
    assert not hasattr(made, "direct")
    yield made


@pytest.fixture
def bus(module: ModuleType) -> Iterator[Bus]:
    """Return a bus that the module speaks through."""
    with Bus() as bus, module.speaking_as(bus):
        yield bus
