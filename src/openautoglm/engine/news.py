"""What the bus is told of a model: that it is being loaded, is ready, failed, was closed.

Owns `ModelNews`. Costs a look into a table where nobody has imported the bus, since
nobody can listen then, and makes none. Knows nothing of models.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from openautoglm.bus.events import ModelStateName
    from openautoglm.engine.backend import ModelInfo


def is_anybody_there() -> bool:
    """Return whether this process has a bus that news could go to."""
    bus = sys.modules.get("openautoglm.bus")
    made = getattr(bus, "made", None)  # absent while it is being imported
    return made is not None and made() is not None


def new_name() -> str:
    """Return a name that no other engine or job has, in any process."""
    return os.urandom(6).hex()


@final
class ModelNews:
    """The life of one engine, told as it goes.

    Args:
        model: what was asked for, whatever that is; None for the default.
        backend: likewise.
    """

    def __init__(self, model: object, backend: object) -> None:
        self._engine = new_name()
        self._model = "" if model is None else str(model)
        self._backend = backend if isinstance(backend, str) else type(backend).__name__
        self._device = ""
        self._since_s = time.monotonic()
        self._tell("loading")

    def ready(self, info: ModelInfo) -> None:
        """Tell what was loaded."""
        self._model, self._backend, self._device = info.model, info.backend, info.device or ""
        self._tell("ready", seconds=time.monotonic() - self._since_s)

    def waking(self) -> None:
        """Tell that it is being loaded once more."""
        self._since_s = time.monotonic()
        self._tell("loading")

    def asleep(self) -> None:
        """Tell that the memory of its model was given back, until it is next used."""
        self._tell("asleep")

    def failed(self, error: BaseException) -> None:
        """Tell why it was not loaded."""
        self._tell("failed", reason=str(error) or type(error).__name__)

    def closed(self) -> None:
        """Tell that its memory was given back."""
        self._tell("closed")

    def _tell(
        self, state: ModelStateName, *, seconds: float | None = None, reason: str = ""
    ) -> None:
        if not is_anybody_there():
            return
        from openautoglm.bus import events

        events.announce(
            lambda: events.ModelState(
                engine=self._engine,
                model=self._model,
                backend=self._backend,
                state=state,
                device=self._device,
                seconds=seconds,
                reason=reason,
            )
        )
