"""One Ray cluster for all tests of a session that need one: a head and two nodes.

Owns the fixture `ray_nodes`. A test that kills a node adds another. It does not skip: what cannot
be started fails.
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
