"""The thread that steps a scheduler, and how answers get from it to whoever asked.

Owns `Worker`. Knows sequences and events; knows nothing of requests, texts or models. The thread
starts with the first sequence and ends with `stop`, with the worker, or with the process.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, final

from openautoglm.engine.backends.native.scheduling.sequence import Event
from openautoglm.errors import BackendRequestError, EngineClosedError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backends.native.scheduling.sequence import Sequence


class Ticket(Protocol):
    """Someone who waits for a sequence. All of it is called on the worker's thread."""

    @property
    def asked(self) -> Sequence:
        """What is to be computed."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the sequence shall end at its next token."""

    def begin(self) -> None:
        """Take note that the scheduler has it."""

    def take(self, event: Event) -> None:
        """Take what is new; the last one has a `finish_reason`."""


class Steps(Protocol):
    """What computes sequences step by step: a `Scheduler`, or what has its face."""

    def add(self, asked: Sequence, /) -> None:
        """Take a sequence; what cannot be computed has an error at the next step."""

    def cancel(self, sequence: int, /) -> None:
        """End a sequence; it is told at the next step."""

    def step(self) -> list[Event]:
        """Compute once and return what is new."""


@final
class Worker:
    """Step a scheduler for as long as it has something to do; safe to use from several threads.

    Args:
        scheduler: makes a new one; called again after a step that failed as a whole.

    Attributes:
        stepped: called after each step, on the thread, where it is set.
    """

    def __init__(self, scheduler: Callable[[], Steps]) -> None:
        self.stepped: Callable[[], None] | None = None
        self._make = scheduler
        self._scheduler: Steps | None = None
        self._given: deque[Ticket] = deque()
        self._tickets: dict[int, Ticket] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._is_stopped = False

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket; its events come on the worker's thread.

        Raises:
            EngineClosedError: the worker was stopped, or belongs to the process that forked this.
        """
        self.check()
        with self._wake:
            if self._is_stopped:
                raise closed()
            self._given.append(ticket)
            if self._thread is None:
                self._process = os.getpid()
                self._thread = threading.Thread(
                    target=self._run, name="openautoglm-native", daemon=True
                )
                self._thread.start()
            self._wake.notify()

    def check(self) -> None:
        """Raise what `submit` would raise."""
        if self._thread is not None:
            check_process(self._process)
        if self._is_stopped:
            raise closed()

    def stop(self) -> None:
        """End the thread, and whatever is under way with an error. Stopping twice is fine."""
        if self._thread is not None and self._process != os.getpid():
            return  # a forked child has the lock as it was, and no thread
        with self._wake:
            self._is_stopped = True
            self._wake.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        try:
            while self._take_in():
                self._step()
                if self.stepped is not None:
                    self.stepped()
        finally:
            with self._wake:
                self._is_stopped = True
            self._scheduler = None
            self._fail(closed())

    def _take_in(self) -> bool:
        """Wait for something to do; False when it is time to end."""
        with self._wake:
            while not (self._is_stopped or self._given or self._tickets):
                self._wake.wait()
            if self._is_stopped:
                return False
            given = list(self._given)
            self._given.clear()
        for ticket in given:
            self._add(ticket)
        return True

    def _add(self, ticket: Ticket) -> None:
        try:
            if self._scheduler is None:
                self._scheduler = self._make()
            ticket.begin()
            self._tickets[ticket.asked.id] = ticket
            self._scheduler.add(ticket.asked)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            self._tickets.pop(ticket.asked.id, None)
            _give(ticket, _failure(ticket, error))

    def _step(self) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            return
        try:
            for number, ticket in self._tickets.items():
                if ticket.is_cancelled:
                    scheduler.cancel(number)
            events = scheduler.step()
        except Exception as error:  # noqa: BLE001 - the thread must outlive it
            self._scheduler = None  # who knows what it holds now
            self._fail(error)
            return
        for event in events:
            waiting = self._tickets.get(event.sequence)
            if waiting is None:
                continue
            is_taken = _give(waiting, event)
            if event.finish_reason is not None or not is_taken:
                scheduler.cancel(event.sequence)  # ignored where it has ended
                del self._tickets[event.sequence]

    def _fail(self, error: Exception) -> None:
        with self._wake:
            waiting = [*self._tickets.values(), *self._given]
            self._given.clear()
        self._tickets.clear()
        for ticket in waiting:
            _give(ticket, _failure(ticket, error))


def _give(ticket: Ticket, event: Event) -> bool:
    """Hand an event over; False if that failed, which ends the ticket's sequence with an error."""
    try:
        ticket.take(event)
    except Exception as error:  # noqa: BLE001 - nobody else shall wait because of it
        with suppress(Exception):
            ticket.take(_failure(ticket, error))
        return False
    return True


def _failure(ticket: Ticket, error: Exception) -> Event:
    if not isinstance(error, OpenAutoGLMError):
        problem = BackendRequestError(
            "the step that computes the next tokens failed",
            got=f"{type(error).__name__}: {error}"[:300],
            fix="run `oag ops check` for the kernels; the engine goes on with new requests",
        )
        problem.__cause__ = error
        error = problem
    return Event(sequence=ticket.asked.id, finish_reason="error", error=error)


def check_process(owner: int) -> None:
    """Refuse to go on in a process that was forked from the one that owns a thread."""
    if owner != os.getpid():
        raise EngineClosedError(
            "a model that has been used does not go along when its process forks",
            got=f"loaded in process {owner}, used in {os.getpid()}",
            fix="load the model in the new process, or start it with `spawn`",
        )


def closed() -> EngineClosedError:
    """Return the error of what is asked for, or under way, when the engine is closed."""
    return EngineClosedError("the engine was closed", fix="make a new AutoGLM")
