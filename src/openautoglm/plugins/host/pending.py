"""A call that is under way: its answer is waited for later, or it is given up.

Owns `PendingCall`. No thread stands behind it: whoever waits reads the answer. Knows nothing of
processes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, final

from openautoglm.errors import OpenAutoGLMError, PluginTimeoutError
from openautoglm.plugins.host.channel import OverdueError, WorkerGoneError

if TYPE_CHECKING:
    from openautoglm.plugins.host.channel import Channel

    Names = tuple[str, str]
    Arguments = tuple[list[object], dict[str, object]]


class Caller(Protocol):
    """Who made the call, and sees to its channel."""

    def finish(self, channel: Channel, names: Names, deadline: float) -> object:
        """Wait for the answer on a channel and give it back."""

    def again(self, names: Names, args: Arguments, deadline: float) -> object:
        """Make an idempotent call once more."""

    def crashed(
        self, channel: Channel, gone: WorkerGoneError, names: Names, *, idempotent: bool
    ) -> OpenAutoGLMError:
        """Return the error of a call that went down with its worker."""

    def give_up(self, channel: Channel) -> None:
        """Nobody waits in the channel; the answer is still to come."""

    def cancel_within(self, channel: Channel, number: int) -> None:
        """Somebody waits in the channel: the worker is to answer soon, or to end."""


@final
class PendingCall:
    """What `submit` returns.

    Example:
        pending = remote.submit("run", {"text": "a long one"})
        ...
        pending.cancel()
    """

    def __init__(
        self,
        caller: Caller,
        channel: Channel,
        asked: tuple[Names, Arguments],
        *,
        deadline: float,
        idempotent: bool,
    ) -> None:
        self._caller = caller
        self._channel = channel
        self._names, self._args = asked
        self._deadline = deadline
        self._is_idempotent = idempotent
        self._number = channel.number
        self._waiting = threading.Lock()
        self._is_cancelled = False
        self._is_over = False
        self._value: object = None
        self._error: OpenAutoGLMError | None = None

    def result(self) -> object:
        """Wait for the answer and return it; the errors are those of `call`."""
        with self._waiting:
            if not self._is_over:
                self._finish()
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        """Give the call up: `result` raises PluginTimeoutError, and its worker ends or answers."""
        self._is_cancelled = True
        if not self._waiting.acquire(blocking=False):
            self._caller.cancel_within(self._channel, self._number)
            return
        try:
            if not self._is_over:
                self._is_over, self._error = True, self._cancelled()
                self._caller.give_up(self._channel)
        finally:
            self._waiting.release()

    def __del__(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._caller.give_up(self._channel)

    def _finish(self) -> None:
        self._is_over = True  # from here on the channel is seen to by who waits
        try:
            self._value = self._awaited()
        except OpenAutoGLMError as error:
            self._error = error
        if self._is_cancelled:
            self._value, self._error = None, self._cancelled()

    def _awaited(self) -> object:
        try:
            return self._caller.finish(self._channel, self._names, self._deadline)
        except OverdueError:
            return self._raise_late()
        except WorkerGoneError as gone:
            if self._is_cancelled or (gone.begun and not self._is_idempotent):
                raise self._caller.crashed(
                    self._channel, gone, self._names, idempotent=False
                ) from gone.cause
            return self._caller.again(self._names, self._args, self._deadline)

    def _raise_late(self) -> object:
        raise PluginTimeoutError(
            f"`{self._names[1]}` of {self._names[0]} gave no answer in its time",
            got="its worker is killed unless it answers shortly",
            fix="allow more time with `timeout_s`",
        )

    def _cancelled(self) -> PluginTimeoutError:
        return PluginTimeoutError(
            f"`{self._names[1]}` of {self._names[0]} was cancelled",
            got="whether it was carried out is not known",
        )
