"""Calls into the workers of one plugin: who makes them, makes them again, or tells what became.

Owns `Calls`, the side of a crew that lives in the threads of callers. Knows nothing of how workers
are started and looked after.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, final

from openautoglm.errors import OpenAutoGLMError, PluginCrashedError, PluginTimeoutError
from openautoglm.plugins.host.channel import Channel, OverdueError, Owner, WorkerGoneError
from openautoglm.plugins.host.frames import Answer, Ask
from openautoglm.plugins.host.pending import PendingCall
from openautoglm.plugins.host.places import Anywhere, OneWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.plugins.host.places import Place
    from openautoglm.plugins.host.pool import Pool
    from openautoglm.plugins.host.restarts import Supervision

    Names = tuple[str, str]
    Arguments = tuple[list[object], dict[str, object]]


class Keeper(Protocol):
    """Who looks after the workers; may be called from any thread."""

    @property
    def serving(self) -> Sequence[Owner]:
        """The workers that take calls now."""

    def soon(self, then: Callable[[], None]) -> None:
        """Do something in the watcher's thread."""

    def later(self, delay_s: float, then: Callable[[], None]) -> object:
        """Do something there after a time; from that thread."""

    def watch_overdue(self, channel: Channel) -> None:
        """See to a channel whose answer nobody waits for any more; in the watcher's thread."""

    def see_to(self, channel: Channel, cause: OpenAutoGLMError | None) -> None:
        """See to the worker of a channel that broke; in the watcher's thread."""


@final
class Calls:
    """Makes the calls of one plugin.

    Attributes:
        said: plugin and version, for messages.
        pool: the free channels.
        anywhere: the place of calls that any worker can take.
        supervision: attempts, and time to answer after a cancellation.
        timeout_s: of calls that say nothing else.
        made: calls so far.
        retries: how often one was made again.
        timeouts: how often one had no answer in time.
    """

    def __init__(
        self, keeper: Keeper, pool: Pool, said: str, supervision: Supervision, timeout_s: float
    ) -> None:
        self.said = said
        self.pool = pool
        self.anywhere = Anywhere(pool)
        self.supervision = supervision
        self.timeout_s = timeout_s
        self.made = self.retries = self.timeouts = 0
        self._keeper = keeper

    def call(
        self,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        place: Place | None = None,
        *,
        idempotent: bool,
        timeout_s: float | None = None,
    ) -> object:
        """Call a method and return what it returned; the errors are those of `RemoteObject`."""
        place = place or self.anywhere
        seconds = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + seconds
        self.made += 1
        for attempt in range(1, self.supervision.attempts + 1):
            channel = place.lease(deadline)
            try:
                value = self.ask(channel, Ask.CALL, names, args, deadline)[1]
            except WorkerGoneError as gone:
                is_last = gone.begun and (not idempotent or attempt == self.supervision.attempts)
                if is_last or not place.can_change(channel.worker):
                    raise self.crashed(channel, gone, names, idempotent=idempotent) from gone.cause
                self.retries += 1
            except OverdueError:
                place.bind(channel.worker)  # it may have begun to keep something
                raise self.late(names, seconds) from None
            except OpenAutoGLMError:
                place.bind(channel.worker)
                raise
            else:
                place.bind(channel.worker)
                return value
        raise PluginCrashedError(
            f"no worker of {self.said} took a call of `{names[1]}` of {names[0]}",
            got=f"{self.supervision.attempts} were dead before it was sent",
        )

    def call_all(
        self,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Call a method in every worker, one after the other; one that dies is passed over.

        Raises:
            OpenAutoGLMError: the first error there was, after all were called.
        """
        errors: list[OpenAutoGLMError] = []
        for worker in self._keeper.serving:
            place = OneWorker(self.pool, self.said, worker)
            try:
                self.call(names, args, place, idempotent=False, timeout_s=timeout_s)
            except PluginCrashedError:
                continue  # what it held is gone with it
            except OpenAutoGLMError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def ask(
        self,
        channel: Channel,
        kind: Ask,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        deadline: float,
    ) -> tuple[Answer, object]:
        """Make one request on a leased channel, and give it back or see to it."""
        return self._seen_to(channel, lambda: channel.ask(kind, names, args, deadline))

    def submit(
        self,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        place: Place,
        *,
        idempotent: bool,
        timeout_s: float | None = None,
    ) -> PendingCall:
        """Begin a call as soon as a worker is free; errors up to there as `call`."""
        seconds = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + seconds
        self.made += 1
        channel = place.lease(deadline)
        try:
            channel.send(Ask.CALL, names, args)
            place.bind(channel.worker)
        except WorkerGoneError:
            pass  # whoever waits sees the death, and sends it again
        except BaseException:
            self.pool.give(channel)
            raise
        may_repeat = idempotent and not place.is_bound
        return PendingCall(self, channel, (names, args), deadline=deadline, idempotent=may_repeat)

    def finish(self, channel: Channel, names: tuple[str, str], deadline: float) -> object:
        """Wait for the answer to a call that was submitted."""
        return self._seen_to(channel, lambda: channel.receive(names, deadline))[1]

    def again(
        self,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        deadline: float,
    ) -> object:
        """Make a call that was submitted once more: it does no harm."""
        self.retries += 1
        left_s = deadline - time.monotonic()
        return self.call(names, args, idempotent=True, timeout_s=left_s)

    def give_up(self, channel: Channel) -> None:
        """Leave a channel in which nobody waits; its worker is to answer soon, or to end."""
        self._abandon(channel, self._keeper.watch_overdue)

    def cancel_within(self, channel: Channel, number: int) -> None:
        """Have a call answered soon, or its worker ended, while somebody waits for it."""
        seconds = self.supervision.grace_s

        def end() -> None:
            if channel.number == number and not channel.is_dead and channel not in self.pool:
                channel.worker.kill(f"a call was cancelled and did not end {seconds:g} s later")

        def begin() -> None:
            channel.worker.cancel(number)
            self._keeper.later(seconds, end)

        self._keeper.soon(begin)

    def _seen_to(
        self, channel: Channel, ask: Callable[[], tuple[Answer, object]]
    ) -> tuple[Answer, object]:
        try:
            answer = ask()
        except OverdueError:
            self._abandon(channel, self._keeper.watch_overdue)
            self.timeouts += 1
            raise
        except WorkerGoneError as gone:
            cause = gone.cause
            self._abandon(channel, lambda lost: self._keeper.see_to(lost, cause))
            raise
        except OpenAutoGLMError:
            self.pool.give(channel)
            raise
        except BaseException:  # Ctrl-C in the middle: the reply is still to come
            self._abandon(channel, self._keeper.watch_overdue)
            raise
        self.pool.give(channel)
        return answer

    def _abandon(self, channel: Channel, then: Callable[[Channel], None]) -> None:
        self.pool.drop(channel)
        self._keeper.soon(lambda: then(channel))

    def shut_later(self, worker: Owner, number: int) -> None:
        """Let a worker know that a stream nobody reads is not wanted; from any thread."""
        self._keeper.soon(lambda: worker.shut(number))

    def crashed(
        self,
        channel: Channel,
        gone: WorkerGoneError,
        names: tuple[str, str],
        *,
        idempotent: bool,
    ) -> OpenAutoGLMError:
        """Return the error of a call that went down with its worker: all that is known of it."""
        if gone.cause is not None:
            return gone.cause
        again = f"{self.supervision.attempts} workers in a row" if idempotent else "its worker"
        known = "it was sent and not answered: whether it was carried out is not known"
        return PluginCrashedError(
            f"a call of `{names[1]}` of {names[0]} took {again} of {self.said} down",
            got=f"{channel.worker.await_obituary()}; {known}",
            fix="call it again if that does no harm; if so, declare `idempotent = true`",
        )

    def late(self, names: tuple[str, str], seconds: float) -> PluginTimeoutError:
        """Return the error of a call that took too long."""
        return PluginTimeoutError(
            f"`{names[1]}` of {names[0]} ({self.said}) gave no answer in {seconds:g} s",
            got="its worker is killed unless it answers shortly",
            fix="allow more time with `timeout_s`, or raise `call-timeout-s` in the manifest",
        )
