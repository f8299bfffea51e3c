"""Values as they cross: msgpack, with arrays as references into shared memory.

Owns `Exchange`, the arenas between one worker and the host, and `Codec`, which reads and writes the
frames of one channel. The same on both sides. Knows nothing of sockets and processes.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from openautoglm.errors import OpenAutoGLMError, PluginProtocolError, SharedTensorError
from openautoglm.native.reference import DTYPES, Reference, as_torch
from openautoglm.plugins.host.frames import (
    LARGEST,
    PACKET,
    Ask,
    Reply,
    Request,
    malformed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import numpy.typing as npt

    from openautoglm.native.arena import Arena
    from openautoglm.native.mappings import Mappings
    from openautoglm.native.reference import Token

    Array = npt.NDArray[Any]

INLINE_BYTES: Final = 4_096
"""Arrays up to this are copied into the frame: cheaper than looking after a slot."""

_MINE, _YOURS, _INLINE = 1, 2, 3
_UNCROSSABLE: Final = (TypeError, OverflowError, RecursionError, ValueError)
_CARRIED: Final = {"torch.bfloat16": "<i2"}  # dtypes of torch that NumPy lacks, and what has room

Frame = TypeVar("Frame", Request, Reply)


class Shape(msgspec.Struct, array_like=True, frozen=True):
    """An array in the frame itself."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Crossing(msgspec.Struct, array_like=True, frozen=True):
    """One array: of NumPy where `torch` is None, else the name of torch's dtype."""

    torch: str | None
    reference: Reference | None
    inline: Shape | None


_crossing_in: Final = Decoder(Crossing)
_crossing_out: Final = Encoder()


@final
class Exchange:
    """The memory between this process and one other.

    Args:
        own: where arrays from here are put.
        theirs: the other's arena.
        lend: called with a segment's number before a reference into it leaves.
        wait: called with the number of a segment that is not here yet.
    """

    def __init__(
        self,
        own: Arena,
        theirs: Mappings,
        *,
        lend: Callable[[int], None] | None = None,
        wait: Callable[[int], None] | None = None,
    ) -> None:
        self._own = own
        self._theirs = theirs
        self._lend = lend
        self._wait = wait
        self._pinned: Counter[Token] = Counter()
        self._unsent: list[Token] = []
        self._lock = threading.Lock()

    def put(self, array: Array) -> tuple[int, Reference]:
        """Return an Ext code and the reference to an array; it is copied where it must be."""
        back = self._theirs.reference(array)
        if back is not None:
            return _YOURS, back
        reference = self._own.reference(array)
        if reference is None:
            array = self._own.copy(array)
            reference = self._own.reference(array)
        if reference is None or reference.dtype not in DTYPES:
            raise SharedTensorError("an array cannot be shared", got=f"dtype {array.dtype}")
        if self._lend is not None:
            self._lend(reference.segment)
        token = reference.token
        self._own.pin(token)  # while `array` still keeps it
        with self._lock:
            self._pinned[token] += 1
        return _MINE, reference

    def take(self, code: int, reference: Reference) -> Array:
        """Return the array of a reference that came."""
        if code == _YOURS:
            return self._own.view(reference)
        if self._wait is not None and reference.segment not in self._theirs:
            self._wait(reference.segment)
        return self._theirs.view(reference)

    def let_go(self, tokens: Iterable[Token]) -> None:
        """The other side looks no longer; what it never had is not looked at."""
        with self._lock:
            had = []
            for token in tokens:
                if self._pinned[token] > 1:
                    self._pinned[token] -= 1
                    had.append(token)
                elif self._pinned.pop(token, 0):
                    had.append(token)
        self._own.unpin(had)

    def abandon(self) -> None:
        """The other process is dead: it looks at nothing any more."""
        with self._lock:
            tokens = list(self._pinned.elements())
            self._pinned.clear()
        self._own.unpin(tokens)
        self._lend = None

    def released(self) -> list[Token]:
        """Return what to tell the other side: views that are gone here."""
        fresh = self._theirs.released()
        if self._unsent:
            with self._lock:
                fresh += self._unsent
                self._unsent = []
        return fresh

    def keep_unsent(self, tokens: list[Token]) -> None:
        """Tell these with the next frame: the one that carried them was not sent."""
        with self._lock:
            self._unsent += tokens


@final
class Codec(Generic[Frame]):
    """Writes frames and reads those of the other kind; one thread at a time.

    Args:
        exchange: where arrays go.
        reads: the kind of frame that comes in.
    """

    def __init__(self, exchange: Exchange, reads: type[Frame]) -> None:
        self._exchange = exchange
        self._encoder = Encoder(enc_hook=self._write)
        self._decoder: Decoder[Frame] = Decoder(reads, ext_hook=self._read)
        self._pinned: list[Token] = []

    def close(self) -> None:
        """Let go of everything; it is not used again."""
        del self._encoder, self._decoder  # they hold on to this object, and it to memory

    def encode(self, frame: Request | Reply) -> bytes:
        """Return the bytes of a frame, at most `PACKET`; arrays are pinned for the other side.

        Raises:
            PluginProtocolError: a value that cannot cross; nothing stays pinned.
        """
        exchange = self._exchange
        frame.released = released = exchange.released()
        self._pinned.clear()
        try:
            data = self._encoder.encode(frame)
            return data if len(data) <= PACKET else self._enlarged(frame, data)
        except BaseException as error:
            exchange.let_go(self._pinned)
            exchange.keep_unsent(released)
            if isinstance(error, _UNCROSSABLE) and not isinstance(error, OpenAutoGLMError):
                raise _uncrossable(error) from error
            raise

    def decode(self, data: bytes) -> Frame:
        """Return the frame of some bytes; what the other side let go of is let go here.

        Raises:
            PluginProtocolError: it is none.
            SharedTensorError: an array in it is stale or forged.
        """
        frame = self._decoded(data)
        if frame.kind == Ask.LARGE:
            frame = self._decoded(frame.carried())
        if frame.released:
            self._exchange.let_go(frame.released)
        return frame

    def _decoded(self, data: bytes) -> Frame:
        try:
            return self._decoder.decode(data)
        except OpenAutoGLMError:
            raise
        except (msgspec.MsgspecError, *_UNCROSSABLE) as cause:
            raise malformed(cause) from cause

    def _enlarged(self, frame: Request | Reply, data: bytes) -> bytes:
        if len(data) > LARGEST:
            raise PluginProtocolError(
                "a message is too large",
                got=f"{len(data)} bytes beside its arrays, at most {LARGEST}",
                fix="pass arrays, or make several calls",
            )
        import numpy as np

        carried = np.frombuffer(data, np.uint8)
        return self._encoder.encode(frame.carrying(carried))

    def _write(self, value: object) -> object:
        if _is_torch(value):
            return self._write_tensor(value)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if isinstance(value, numpy.ndarray):
                return self._write_array(value, None)
            if isinstance(value, numpy.generic):
                return value.item()
        raise TypeError(f"a value of type {type(value).__name__}")

    def _write_array(self, array: Array, torch: str | None) -> Ext:
        if array.nbytes <= INLINE_BYTES:
            if array.dtype.str not in DTYPES:
                raise TypeError(f"an array of dtype {array.dtype}")
            inline = Shape(array.dtype.str, array.shape, array.tobytes())
            return Ext(_INLINE, _crossing_out.encode(Crossing(torch, None, inline)))
        code, reference = self._exchange.put(array)
        if code == _MINE:
            self._pinned.append(reference.token)
        return Ext(code, _crossing_out.encode(Crossing(torch, reference, None)))

    def _write_tensor(self, tensor: Any) -> Ext:  # noqa: ANN401 - a tensor of torch
        name = str(tensor.dtype)
        if tensor.device.type != "cpu":
            raise TypeError(f"a tensor on {tensor.device}; copy it with `.cpu()`")
        plain = tensor.detach()
        if name in _CARRIED:
            plain = plain.view(sys.modules["torch"].int16)
        return self._write_array(plain.numpy(), name)

    def _read(self, code: int, data: memoryview) -> object:
        crossing = _crossing_in.decode(data)
        if crossing.reference is not None and code in {_MINE, _YOURS}:
            array = self._exchange.take(code, crossing.reference)
        elif crossing.inline is not None and code == _INLINE:
            array = _inline(crossing.inline)
        else:
            raise malformed(f"an extension of code {code}")
        return array if crossing.torch is None else _tensor(array, crossing.torch)


def _inline(inline: Shape) -> Array:
    import numpy as np

    name = DTYPES.get(inline.dtype)
    if name is None or prod(inline.shape) * np.dtype(name).itemsize != len(inline.data):
        raise malformed(f"an array of {inline.dtype} {inline.shape} in {len(inline.data)} bytes")
    array: np.ndarray[Any, Any] = np.frombuffer(bytearray(inline.data), name)
    return array.reshape(inline.shape)


def _tensor(array: Array, dtype: str) -> object:
    tensor = as_torch(array)
    if dtype in _CARRIED:
        return tensor.view(getattr(sys.modules["torch"], dtype.partition(".")[2]))
    return tensor


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


def _uncrossable(error: BaseException) -> PluginProtocolError:
    return PluginProtocolError(
        "a value cannot cross between host and worker",
        got=str(error) or type(error).__name__,
        fix="pass None, bool, int (64 bits), float, str, bytes, lists, dicts and arrays",
    )
