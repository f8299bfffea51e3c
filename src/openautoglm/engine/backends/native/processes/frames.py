"""What a process and its worker processes say to each other, as bytes of a stream.

Owns the frames. Requests go down as pickles, for a worker believes the process that started it;
what comes up is plain values, so that a worker that went astray can do no more than answer wrongly.
Knows no sockets.
"""

from __future__ import annotations

import pickle
import struct
import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, TypeAlias, cast, final

import msgspec

from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.model_folder import ModelFolder  # noqa: TC001 - part of what is pickled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.engine.backends.native.weights.convert import Mode, Outline

_LENGTH: Final = struct.Struct("<Q")
_HERE: Final = frozenset({"cancel", "form", "schema", "source"})
"""Fields of a request that a worker has no need of; `cancel` is a frame of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which model a worker process loads.

    Attributes:
        spec: what was asked for; its options are a dict.
        name: the backend's.
        folder: checked already.
        mode: of the weights that are lent.
        outline: of the weights that are lent.
        processes: how many share the memory that is free.
    """

    spec: LoadSpec
    name: str
    folder: ModelFolder
    mode: Mode
    outline: Outline | None
    processes: int


class Start(msgspec.Struct, array_like=True, tag=True):
    """Load: an `Order`, pickled, and the descriptor of the weights."""

    order: bytes
    weights: int


class Ask(msgspec.Struct, array_like=True, tag=True):
    """Compute a request, pickled; the answer has its number."""

    number: int
    request: bytes


class Cancel(msgspec.Struct, array_like=True, tag=True):
    """End requests at their next token."""

    numbers: list[int]


class Ready(msgspec.Struct, array_like=True, tag=True):
    """The model is loaded; by operator, the kernels that serve it."""

    kernels: dict[str, list[str]]


class Failed(msgspec.Struct, array_like=True, tag=True):
    """The model could not be loaded, because of a plain error."""

    error: dict[str, object]


class Beat(msgspec.Struct, array_like=True, tag=True):
    """The thread that decodes has made a step: the worker lives."""


class Answer(msgspec.Struct, array_like=True, tag=True):
    """What came of a request: a plain generation."""

    number: int
    generation: dict[str, object]


Down: TypeAlias = Start | Ask | Cancel
Up: TypeAlias = Ready | Failed | Beat | Answer
_down: Final[msgspec.msgpack.Decoder[Down]] = msgspec.msgpack.Decoder(Down)
_up: Final[msgspec.msgpack.Decoder[Up]] = msgspec.msgpack.Decoder(Up)


def framed(message: Down | Up) -> bytes:
    """Return a message as bytes of a stream."""
    data = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(data)) + data


def read_down(data: bytes) -> Down:
    """Decode what a worker is told."""
    return _down.decode(data)


def read_up(data: bytes) -> Up:
    """Decode what a worker says; what is no message raises `msgspec.MsgspecError`."""
    return _up.decode(data)


def packed_order(order: Order) -> bytes:
    """Return an order for `Start`."""
    return pickle.dumps(order)


def order_of(data: bytes) -> Order:
    """Return the order that `packed_order` wrote."""
    return cast("Order", pickle.loads(data))  # noqa: S301 - from the process that started this one


def packed_request(request: Request) -> bytes:
    """Return a request for `Ask`: what decoding needs of it, its grammar compiled."""
    names = (f.name for f in fields(Request) if f.name not in _HERE)
    return pickle.dumps({name: getattr(request, name) for name in names})


def request_of(data: bytes) -> Request:
    """Return the request that `packed_request` wrote, with a `cancel` of its own."""
    values = pickle.loads(data)  # noqa: S301 - from the process that started this one
    return Request(**values, cancel=threading.Event())


@final
class Splitter:
    """Cut a stream of bytes into frames.

    Example:
        >>> splitter = Splitter()
        >>> data = framed(Cancel([7]))
        >>> [list(splitter.feed(data[:5])), [read_down(f).numbers for f in splitter.feed(data[5:])]]
        [[], [[7]]]
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the frames that are whole by now."""
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._held)
            end = _LENGTH.size + size
            if len(self._held) < end:
                return
            frame = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            yield frame
