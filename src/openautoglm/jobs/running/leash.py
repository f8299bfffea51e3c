"""How a worker's driver holds it: a pipe that ends when the driver does, and two signals.

Owns `Leash`. SIGTERM stops the worker; SIGINT does not, since Ctrl-C reaches the whole terminal and
it is the driver who decides what it means. What rows' work prints goes to stderr, and it reads
nothing: standard input and output are the driver's.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Final, Self, final

import msgspec

from openautoglm.jobs.orders import Orders

if TYPE_CHECKING:
    from types import FrameType

    from openautoglm.jobs.orders import Report

MOST_BYTES: Final = 1 << 20
"""Of the orders."""


@final
class Leash:
    """Hear the driver and answer it.

    Args:
        hears: descriptor that orders come from; stays the caller's.
        says: descriptor that the report goes to; stays the caller's.
    """

    def __init__(self, hears: int, says: int) -> None:
        self._hears, self._says = hears, says
        self._poll = select.poll()
        self._poll.register(hears, select.POLLIN | select.POLLHUP)
        self._is_told = False

    @classmethod
    def of_process(cls) -> Self:
        """Take standard input and output away from everybody else, and the two signals."""
        hears, says = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdout.flush()
        os.dup2(2, 1)
        leash = cls(hears, says)
        signal.signal(signal.SIGTERM, leash._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return leash

    @property
    def is_told(self) -> bool:
        """Whether the worker is to stop."""
        while not self._is_told and self._poll.poll(0):
            if not os.read(self._hears, 1 << 16):
                self._is_told = True
        return self._is_told

    def orders(self) -> Orders:
        """Wait for the orders.

        Raises:
            msgspec.DecodeError: they are none.
        """
        said = b""
        while b"\n" not in said and len(said) < MOST_BYTES:
            more = os.read(self._hears, 1 << 16)
            if not more:
                break
            said += more
        return msgspec.json.decode(said.partition(b"\n")[0], type=Orders)

    def report(self, report: Report) -> None:
        """Say why the worker ends; a driver that is gone does not hear it."""
        try:
            os.write(self._says, msgspec.json.encode(report) + b"\n")
        except OSError:
            return

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._is_told = True  # nothing more: a signal comes at any moment, also within a lock
