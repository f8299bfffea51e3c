"""The worker process: confined first, then the plugin's code, then calls until the host is gone.

Owns `main`, what the zygote's child runs, and `Link`, its line of control. Each channel is served
by a thread of its own, one call at a time. Knows nothing of supervision: it is killed when it does
not answer.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, final

import msgspec

from openautoglm.errors import PluginProtocolError, SharedTensorError
from openautoglm.native.arena import Arena, lend
from openautoglm.native.mappings import Mappings
from openautoglm.native.reference import Token
from openautoglm.native.segment import Segment
from openautoglm.plugins.host import bus_line, serving
from openautoglm.plugins.host.exchange import Codec, Exchange
from openautoglm.plugins.host.frames import (
    PACKET,
    Answer,
    Reply,
    Request,
    Sign,
    control,
    read_control,
    unpacked,
)
from openautoglm.plugins.manifest import Limits, Provides

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host.assignment import Assignment

_WAIT_S: Final = 10.0
_CONTROL_BYTES: Final = 4_096


def main(assignment: Assignment, descriptors: list[int]) -> None:
    """Serve one plugin on a line of control, one to the bus, and channels, in this order."""
    line, *channels = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    to_bus = channels.pop(0) if assignment.on_bus else None
    link = Link(line)
    try:
        _print_at_once()
        for module in assignment.preload:
            importlib.import_module(module)
        _confine(assignment, descriptors)
        link.start()  # threads come after the sandbox, which binds only those that come later
        bus_line.join(assignment.plugin, to_bus)
        sys.path[:0] = assignment.path
        servants = serving.load(assignment)
    except BaseException as error:  # noqa: BLE001 - whatever keeps it from starting is told
        line.send(control(Sign.FAILED, 0, serving.told(error)))
        return
    gc.freeze()
    own = Arena(link.grow, limit_bytes=assignment.arena_bytes)
    exchange = Exchange(own, link.mappings, wait=link.wait_for)
    link.rest = _Rest(own, exchange, assignment.rest_s)
    line.send(control(Sign.READY, os.getpid(), servants.describe()))
    _serve_all(channels, exchange, servants)
    servants.close()
    os._exit(0)


def warm() -> None:
    """Do once, in the process that workers are forked from, what each of them would do."""
    import openautoglm.bus.bridge  # noqa: F401 - imported for all
    from openautoglm.plugins.host import seccomp
    from openautoglm.plugins.host.limits import ResourceLimits
    from openautoglm.plugins.host.sandbox import own_folders, supported

    own_folders()
    ResourceLimits.declared(Limits())
    if supported().sandbox:
        seccomp.own_program()
    like = Provides(point="warm", contract=1, name="warm", object="warm:warm")
    msgspec.json.decode(msgspec.json.encode(like), type=Provides)
    own = Arena(lend)
    codec = Codec(Exchange(own, Mappings(writable=False)), Request)
    codec.encode(Reply(Answer.VALUE, 0, [], []))
    with contextlib.suppress(PluginProtocolError):
        codec.decode(b"")


def _serve_all(
    channels: list[socket.socket], exchange: Exchange, servants: serving.Servants
) -> None:
    others = [
        threading.Thread(target=_serve, args=(channel, exchange, servants), daemon=True)
        for channel in channels[1:]
    ]
    for thread in others:
        thread.start()
    _serve(channels[0], exchange, servants)
    for thread in others:
        thread.join()


def _serve(channel: socket.socket, exchange: Exchange, servants: serving.Servants) -> None:
    """Answer until the host closes the channel."""
    codec = Codec(exchange, Request)
    receive, send, answer = channel.recv, channel.send, servants.answer
    while data := receive(PACKET):
        number = 0
        try:
            request = codec.decode(data)
            number = request.number
            kind, value = answer(request)
            del request  # views of its arrays are gone by now, unless the plugin kept some
            sent = codec.encode(Reply(kind, number, value, []))
        except Exception as error:  # noqa: BLE001 - what cannot be read or sent is an answer too
            sent = codec.encode(Reply(Answer.ERROR, number, serving.told(error), []))
        value = None
        send(sent)


def _confine(assignment: Assignment, descriptors: list[int]) -> None:
    from openautoglm.plugins.host.limits import ResourceLimits
    from openautoglm.plugins.host.sandbox import Sandbox

    scratch = Path(assignment.scratch)
    level: Literal["L1", "L2"] = "L2" if assignment.level == "L2" else "L1"
    readable = tuple(Path(folder) for folder in assignment.path)
    limits = ResourceLimits.declared(assignment.limits)
    Sandbox(level, limits, scratch, readable, keep_fds=tuple(descriptors)).apply()
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
    tempfile.tempdir = None


def _print_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )


@final
class Link:
    """The line of control: heartbeats, memory that comes and is asked for, calls given up."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._changed = threading.Condition()
        self._granted: dict[int, Segment | None] = {}
        self.rest: Callable[[list[Token]], None] = list.clear  # nothing to let go of yet
        self.mappings = Mappings(writable=False)

    def start(self) -> None:
        """Listen, in a thread that ends with the process."""
        threading.Thread(target=self._listen, name="openautoglm-link", daemon=True).start()

    def wait_for(self, segment: int) -> None:
        """Wait until a segment of the host is here: it is sent before what refers to it."""
        with self._changed:
            self._changed.wait_for(lambda: segment in self.mappings, _WAIT_S)

    def grow(self, number: int, size: int) -> Segment:
        """Ask the host for memory to answer in.

        Raises:
            SharedTensorError: it gives none.
        """
        self._line.send(control(Sign.GROW, size))
        with self._changed:
            self._changed.wait_for(lambda: number in self._granted, _WAIT_S)
            granted = self._granted.pop(number, None)
        if granted is None:
            raise SharedTensorError(
                f"the host gives no {size} bytes to answer in",
                fix="return less at a time, or raise the host's limit of shared memory",
            )
        return granted

    def _listen(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._line, _CONTROL_BYTES, 1)
            if not data:
                os._exit(0)  # the host is gone
            with contextlib.suppress(SharedTensorError), self._changed:
                self._obey(data, descriptors)
                self._changed.notify_all()

    def _obey(self, data: bytes, descriptors: list[int]) -> None:
        frame = read_control(data)
        if frame.sign is Sign.PING:
            self._line.send(control(Sign.PONG, frame.number))
            self.rest(unpacked(frame.said, list[Token]))
        elif frame.sign is Sign.CANCEL:
            serving.cancel(frame.number)
        elif frame.sign is Sign.SHUT:
            serving.shut(frame.number)
        elif frame.sign is Sign.FORGET:
            self.mappings.forget(frame.number)
        elif frame.sign is Sign.SEGMENT:
            self.mappings.adopt(descriptors[0], frame.number)
        elif frame.sign is Sign.GRANTED:
            segment = Segment.adopt(descriptors[0], frame.number, writable=True)
            self._granted[frame.number] = segment
        elif frame.sign is Sign.DENIED:
            self._granted[frame.number] = None


@final
class _Rest:
    """What is done at each heartbeat: lets go of what the host lets go of, and of unused memory."""

    def __init__(self, own: Arena, exchange: Exchange, rest_s: float) -> None:
        self._own, self._exchange, self._rest_s = own, exchange, rest_s
        self._released: list[Token] = []

    def __call__(self, released: list[Token]) -> None:
        self._released += released
        self._own.unless_busy(self._let_go)  # else at the next one: this thread brings the memory

    def _let_go(self) -> None:
        released, self._released = self._released, []
        self._exchange.let_go(released)
        self._own.shrink(time.monotonic(), self._rest_s)
