"""The thread that steps a scheduler outlives whatever its callers do."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from openautoglm.engine.backends.native.scheduling.scheduler import Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Event, Sequence
from openautoglm.engine.backends.native.worker import Worker
from openautoglm.errors import BackendRequestError, EngineClosedError
from openautoglm.testing.toy_decoder import ToyModel, ToySampler


class Listener:
    """Takes events; the first ones fail."""

    is_cancelled = False

    def __init__(self, number: int, *, failures: int = 0) -> None:
        self.asked = Sequence(id=number, prompt=(1, 2, number), max_tokens=4)
        self.ended: SimpleQueue[Event] = SimpleQueue()
        self._failures = failures

    def begin(self) -> None:
        pass

    def take(self, event: Event) -> None:
        if self._failures:
            self._failures -= 1
            raise RuntimeError("cannot take it")
        if event.finish_reason is not None:
            self.ended.put(event)


@pytest.mark.parametrize("failures", [1, 2])
def test_one_that_cannot_take_its_events_fails_alone(failures: int) -> None:
    worker = Worker(lambda: Scheduler(ToyModel(slots=4, context=32), ToySampler()))
    bad, good = Listener(1, failures=failures), Listener(2)
    for listener in (bad, good):
        worker.submit(listener)
    assert good.ended.get(timeout=30).finish_reason == "length"
    later = Listener(3)
    worker.submit(later)
    assert later.ended.get(timeout=30).finish_reason == "length"
    if failures == 1:
        assert isinstance(bad.ended.get(timeout=30).error, BackendRequestError)
    worker.stop()
    with pytest.raises(EngineClosedError):
        worker.submit(Listener(4))
