"""A home for plugins, and wheels to put into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.plugins.inventory.dependencies import Fetching
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OFFLINE = Fetching(offline=True)


@pytest.fixture
def home(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path / "home")


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Pack a step plugin; `edits` replace texts in its pyproject.toml."""

    def packed(plugin: str = "acme.upper", version: str = "0.1.0", *edits: str) -> Path:
        into = tmp_path / f"{plugin}-{version}-{len(list(tmp_path.iterdir()))}"
        folder = new_project(plugin, kind="step", into=into)
        path = folder / "pyproject.toml"
        text = path.read_text().replace('version = "0.1.0"', f'version = "{version}"')
        for before, after in zip(edits[::2], edits[1::2], strict=True):
            assert before in text
            text = text.replace(before, after)
        path.write_text(text)
        return pack(folder).path

    return packed
