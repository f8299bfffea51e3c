"""A module that ends the process that imports it, where the environment asks for that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

if "UNLUCKY" in os.environ:
    os.abort()


def same(values: Mapping[str, Any]) -> dict[str, object]:
    """Return the number."""
    return {"same": values["n"]}
