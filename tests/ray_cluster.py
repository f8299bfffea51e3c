"""One Ray cluster for all tests of a session that need one: a head and two nodes.

Owns the fixtures `ray_nodes`, and `ray_joined`, which connects this process too. A test that kills
a node adds another. They do not skip: what cannot be started fails.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from .ray_nodes import RayNodes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def ray_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    """A head, and two nodes of one processor each, with a home of their own."""
    home = tmp_path_factory.mktemp("nodes")
    with RayNodes({**os.environ, "OPENAUTOGLM_HOME": str(home)}) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def ray_joined(ray_nodes: RayNodes) -> Iterator[RayNodes]:
    """The same, this process connected to it once for all tests of a module."""
    from openautoglm.jobs.crews.address import Address
    from openautoglm.jobs.crews.cluster import joined

    with joined(Address.read(ray_nodes.address)):
        yield ray_nodes
