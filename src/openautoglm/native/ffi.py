"""The one import of tvm-ffi, which would bring torch in with it.

torch costs more than a second, and a program on NumPy arrays has no use for it. tvm-ffi tries to
import it first, to step around a conflict on Windows, and does without it where there is none.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _NoTorch:
    """An import finder that has no torch, for one thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse torch to this thread; leave everything else to the other finders."""
        del path, target
        if name == "torch" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError("torch is left out while tvm-ffi is imported", name=name)
        return None


def load() -> ModuleType:
    """Return tvm-ffi; torch is not imported by it.

    Raises:
        MissingExtraError: tvm-ffi is not installed.
    """
    loaded = sys.modules.get("tvm_ffi")
    if loaded is not None and not getattr(loaded.__spec__, "_initializing", False):
        return loaded  # and not half of it, while another thread imports it
    finder = _NoTorch()
    sys.meta_path.insert(0, finder)
    try:
        return need("tvm_ffi", extra="ops", why="the compiled core")
    finally:
        sys.meta_path.remove(finder)
