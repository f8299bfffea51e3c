"""Which adapters a backend keeps beside its model while none of its rows has them.

Owns `HeldAdapters`. Knows nothing of weights.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, final, runtime_checkable

from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from openautoglm.engine.adapter import Adapter
    from openautoglm.engine.backends.native.adapters.loaded import Resident

MOST: Final = 64
"""Adapters that are kept; one more, and that goes which was last of use longest ago."""


@runtime_checkable
class AdaptedModel(Protocol):
    """A model that takes adapters."""

    def load_adapter(self, number: int, folder: Path) -> Resident:
        """Return an adapter, read where it is not there; it is there while this is held."""

    def tidy_adapters(self) -> None:
        """Give back the memory of adapters that nobody holds."""


@final
class HeldAdapters:
    """Hold adapters from their first use on. Safe to use from several threads.

    Args:
        model: takes them; any other kind of model refuses them.
        most: how many are held.
    """

    def __init__(self, model: object, *, most: int = MOST) -> None:
        self._model = model
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Resident] = OrderedDict()  # the last used one last

    def get(self, adapter: Adapter) -> Resident:
        """Return an adapter, loaded where it is not there.

        Raises:
            InvalidParameterError: this model takes none.
            OpenAutoGLMError: it cannot be loaded.
        """
        resident = self._taker().load_adapter(adapter.number, Path(adapter.path))
        with self._lock:
            self._held[adapter.number] = resident
            self._held.move_to_end(adapter.number)
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return resident

    def drop(self, adapter: Adapter) -> None:
        """Hold an adapter no more."""
        with self._lock:
            self._held.pop(adapter.number, None)
        self._taker().tidy_adapters()

    def _taker(self) -> AdaptedModel:
        if isinstance(self._model, AdaptedModel):
            return self._model
        raise InvalidParameterError(
            "this model takes no adapters",
            got=type(self._model).__name__,
            fix='leave the adapter out, use a model folder with backend="native", or merge the '
            "adapter into the weights before they are converted",
        )
