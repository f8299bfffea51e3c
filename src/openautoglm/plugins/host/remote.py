"""A contribution in a worker, as the host calls it.

Owns `CrewObject`, the `PinnableObject` of levels L1 and L2, and its streams. Knows nothing of how
calls travel.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.errors import PluginCrashedError, PluginProtocolError, PluginUnavailableError
from openautoglm.plugins.host.channel import Channel, OverdueError, Owner, WorkerGoneError
from openautoglm.plugins.host.frames import Answer, Ask
from openautoglm.plugins.host.places import OneWorker
from openautoglm.plugins.points import STATE_METHODS, MethodSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.plugins.host.calls import Calls
    from openautoglm.plugins.host.pending import PendingCall
    from openautoglm.plugins.host.places import Place

_ONCE: Final = MethodSpec()


@final
class CrewObject:
    """One contribution; its calls may come from several threads.

    Args:
        calls: into the workers.
        target: its name there.
        methods: what its point says of them.
        idempotent: whether the manifest says so of all of them.
        place: where its calls go; None for any worker.
    """

    def __init__(
        self,
        calls: Calls,
        target: str,
        methods: Mapping[str, MethodSpec],
        *,
        idempotent: bool,
        place: Place | None = None,
    ) -> None:
        self._calls = calls
        self._target = target
        self._methods = {**STATE_METHODS, **methods}
        self._idempotent = idempotent
        self._place = place or calls.anywhere

    def pinned(self) -> CrewObject:
        """Return the same in one worker, chosen at its first call, until it is closed."""
        return CrewObject(
            self._calls,
            self._target,
            self._methods,
            idempotent=self._idempotent,
            place=OneWorker(self._calls.pool, self._calls.said),
        )

    def close(self) -> None:
        """Let the worker go where it was pinned to one."""
        self._place.close()

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method and return what it returned.

        Raises:
            PluginCallError: it raised; errors of the framework come as their own classes.
            PluginTimeoutError: no answer, or no free worker, in time. The worker is killed.
            PluginCrashedError: its worker died, and it is not to be called again.
            PluginUnavailableError: the plugin is stopped or quarantined.
            PluginProtocolError: an argument cannot cross, or the answer was none.
            SharedTensorError: an array of the answer is stale, or there is no room for one.
        """
        asked = (self._target, method), (list(args), kwargs)
        if self._methods.get(method, _ONCE).everywhere:
            self._calls.call_all(*asked, timeout_s=timeout_s)
            return None
        return self._calls.call(
            *asked,
            self._place,
            idempotent=self.is_idempotent(method),
            timeout_s=timeout_s,
        )

    def submit(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> PendingCall:
        """Begin a call and return without its answer, which can be waited for or cancelled."""
        return self._calls.submit(
            (self._target, method),
            (list(args), kwargs),
            self._place,
            idempotent=self.is_idempotent(method),
            timeout_s=timeout_s,
        )

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what a method yields; errors as `call`, and `timeout_s` bounds each wait.

        The method runs ahead by a few values at most. Closing the iterator ends it over there.
        """
        return _Stream(
            self._calls,
            (self._target, method),
            (list(args), kwargs),
            self._place,
            timeout_s=timeout_s,
            idempotent=self.is_idempotent(method),
        )

    def is_idempotent(self, method: str) -> bool:
        """Whether a call that was lost with its worker is made again."""
        return self._idempotent or self._methods.get(method, _ONCE).idempotent


@final
class _Stream:
    """Pulls values from the worker that the stream was opened in, as they are asked for."""

    def __init__(
        self,
        calls: Calls,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        place: Place,
        *,
        timeout_s: float | None,
        idempotent: bool,
    ) -> None:
        self._calls = calls
        self._names = names
        self._args = args
        self._place = place
        self._timeout_s = calls.timeout_s if timeout_s is None else timeout_s
        self._idempotent = idempotent
        self._worker: Owner | None = None
        self._number = 0
        self._values: list[object] = []
        self._is_begun = self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> object:
        while not self._values:
            if self._is_over:
                raise StopIteration
            self._more()
        self._is_begun = True
        return self._values.pop()

    def close(self) -> None:
        """End it, here and in the worker."""
        worker, self._worker = self._worker, None
        self._values, was_over, self._is_over = [], self._is_over, True
        if worker is None or was_over or worker.state != "ready":
            return
        try:
            self._asked(Ask.SHUT, ("", ""), ([self._number], {}), worker)
        except (WorkerGoneError, OverdueError, PluginUnavailableError):
            return  # it is closed with its worker

    def __del__(self) -> None:
        if self._worker is not None and not self._is_over:
            self._calls.shut_later(self._worker, self._number)

    def _more(self) -> None:
        attempts = self._calls.supervision.attempts
        for attempt in range(1, attempts + 1):
            try:
                self._pull()
            except WorkerGoneError as gone:
                if attempt == attempts or not self._may_begin_again(gone):
                    self._is_over = True
                    raise self._broken(gone) from gone.cause
                self._worker = None
            except OverdueError:
                self._is_over = True
                raise self._calls.late(self._names, self._timeout_s) from None
            except BaseException:
                self._is_over = True
                raise
            else:
                return

    def _may_begin_again(self, gone: WorkerGoneError) -> bool:
        """Return whether no value was given out, and beginning in another worker does no harm."""
        was_opened = gone.begun or self._worker is not None
        return not self._is_begun and (self._idempotent or not was_opened)

    def _pull(self) -> None:
        if self._worker is None:
            number, self._worker = self._opened()
            self._number = number
        answer, values = self._asked(Ask.PULL, self._names, ([self._number], {}), self._worker)
        if not isinstance(values, list):
            raise PluginProtocolError("a stream answered with what is no list", got=type(values))
        self._is_over = answer is Answer.END
        self._values = values[::-1]

    def _opened(self) -> tuple[int, Owner]:
        deadline = time.monotonic() + self._timeout_s
        channel = self._place.lease(deadline)
        _, number = self._calls.ask(channel, Ask.OPEN, self._names, self._args, deadline)
        self._place.bind(channel.worker)
        if not isinstance(number, int):
            raise PluginProtocolError("a stream was opened without a number", got=type(number))
        return number, channel.worker

    def _asked(
        self,
        kind: Ask,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        worker: Owner,
    ) -> tuple[Answer, object]:
        deadline = time.monotonic() + self._timeout_s
        channel: Channel = self._calls.pool.lease(deadline, worker)
        return self._calls.ask(channel, kind, names, args, deadline)

    def _broken(self, gone: WorkerGoneError) -> Exception:
        if gone.cause is not None:
            return gone.cause
        worker = self._worker
        why = "it died" if worker is None else worker.await_obituary()
        return PluginCrashedError(
            f"the stream of `{self._names[1]}` of {self._names[0]} ended with its worker",
            got=f"{why}; {'some values' if self._is_begun else 'no value'} had come",
            fix="begin it again, from where it was if the plugin can",
        )
