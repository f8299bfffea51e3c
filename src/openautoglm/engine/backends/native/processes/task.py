"""A row that a worker process shall compute, and what is known of it meanwhile.

Owns `Task`. Knows nothing of processes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.backend import failed
from openautoglm.engine.backends.native.batch import told
from openautoglm.engine.backends.native.processes.frames import packed_request
from openautoglm.engine.generation import Generation
from openautoglm.errors import BackendRequestError

if TYPE_CHECKING:
    from openautoglm.engine.backend import Request
    from openautoglm.engine.backends.native.batch import Begin, Begun, Tell
    from openautoglm.errors import OpenAutoGLMError

MOST_DEATHS: Final = 3
"""How many worker processes may die of a row."""


@final
class Task:
    """One row.

    Args:
        request: what to compute.
        tell: called once, on the thread of the pool.
        model: name in the generation of a row that is not computed.
        otherwise: begins it elsewhere.

    Attributes:
        payload: the request, for a worker process.
        deaths: worker processes that died while they had it.
    """

    def __init__(
        self, request: Request, tell: Tell, *, model: str, otherwise: Begin | None = None
    ) -> None:
        self.payload = packed_request(request)
        self.deaths = 0
        self._request = request
        self._tell = tell
        self._model = model
        self._otherwise = otherwise
        self._elsewhere: Begun | None = None
        self._is_abandoned = False
        self._is_cancel_sent = False
        self._queued_s = time.monotonic()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self._is_abandoned or self._request.cancel.is_set()

    def shall_be_cancelled(self) -> bool:
        """Whether its worker process is to be told now that nobody wants it any more."""
        if self._is_cancel_sent or not self.is_cancelled:
            return False
        self._is_cancel_sent = True
        return True

    @property
    def is_suspect(self) -> bool:
        """Whether the next process that dies while it has this row shall have it alone."""
        return self.deaths >= MOST_DEATHS - 1

    def abandon(self) -> None:
        """Say, from any thread, that nobody wants it any more."""
        self._is_abandoned = True
        if self._elsewhere is not None:
            self._elsewhere.abandon()

    def answer(self, generation: Generation) -> None:
        """Tell what came of it; what it waited is what was not spent on it."""
        timings = generation.timings
        waited_s = time.monotonic() - self._queued_s - timings.total_s
        told = replace(timings, queue_s=max(waited_s, timings.queue_s))
        self._tell(replace(generation, timings=told))

    def fail(self, error: OpenAutoGLMError) -> None:
        """Tell that it failed."""
        self._tell(failed(error, model=self._model))

    def refuse(self, error: OpenAutoGLMError) -> None:
        """Take note that no worker process can serve it: begin it elsewhere, or fail."""
        if self._otherwise is None:
            self.fail(error)
            return
        try:
            self._elsewhere = self._otherwise(self._request, self._tell)
        except Exception as problem:  # noqa: BLE001 - one bad row is no dead batch
            self.fail(told(problem))
            return
        if self._is_abandoned:
            self._elsewhere.abandon()

    def cancel(self) -> None:
        """Tell that it ended before it began."""
        self._tell(Generation(text="", finish_reason="cancelled", model=self._model))

    def survives(self, how: str) -> bool:
        """Note that its worker process died; False if it shall not have another."""
        self.deaths += 1
        self._is_cancel_sent = False
        if self.deaths < MOST_DEATHS:
            return True
        self.fail(
            BackendRequestError(
                "every worker process that computed this row died",
                got=f"{self.deaths} processes, the last one with this row alone: {how}",
                fix="leave the row out; with processes=1 what it does can be seen in a debugger",
            )
        )
        return False
