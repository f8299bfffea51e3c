"""What travels between host and worker: the frames of calls and of control, and their limits.

Pure data over msgpack, the same on both sides. Knows nothing of sockets, arrays or processes. A
frame that does not decode is the fault of who sent it, and an error of that call alone.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeVar

import msgspec

from openautoglm import errors
from openautoglm.errors import OpenAutoGLMError, PluginCallError, PluginProtocolError
from openautoglm.errors.passing import let_pass, passes_after_s

PACKET: Final = 64 * 1024
"""Bytes of a frame at most; what is longer goes through shared memory."""

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a message at most, arrays not counted."""

_RESERVED: Final = (731, 732, 733)  # what the host says of workers; no plugin can say it
_MAX_TEXT: Final = 8_000
_SEE_LOG: Final = (
    "the logger `openautoglm.plugins.<id>` has the traceback; tell the plugin's author"
)


class Ask(IntEnum):
    """What a request is."""

    CALL = 0
    OPEN = 1  # a stream; the answer is its number
    PULL = 2  # its next values
    SHUT = 3  # it is not wanted any more
    LARGE = 9  # the request itself is bytes in shared memory


class Answer(IntEnum):
    """What a reply is."""

    VALUE = 0
    ERROR = 1
    END = 2  # of a stream, with its last values
    LARGE = 9


class Request(msgspec.Struct, array_like=True, gc=False):
    """One call; `number` comes back in its reply."""

    kind: Ask
    number: int
    target: str
    method: str
    args: list[object]
    kwargs: dict[str, object]
    released: list[tuple[int, int, int]]

    def carrying(self, data: object) -> Request:
        """Return the short frame that stands for this one, whose bytes are in an array."""
        return Request(Ask.LARGE, self.number, "", "", [data], {}, [])

    def carried(self) -> bytes:
        """Return the bytes of the frame that this one stands for."""
        return _bytes_of(self.args[0] if self.args else None)


class Reply(msgspec.Struct, array_like=True, gc=False):
    """What came of a request; `released` are views of shared memory that are gone."""

    kind: Answer
    number: int
    value: object
    released: list[tuple[int, int, int]]

    def carrying(self, data: object) -> Reply:
        """Return the short frame that stands for this one, whose bytes are in an array."""
        return Reply(Answer.LARGE, self.number, data, [])

    def carried(self) -> bytes:
        """Return the bytes of the frame that this one stands for."""
        return _bytes_of(self.value)


class Failure(msgspec.Struct, array_like=True):
    """An error as it crosses; `passes_after_s` is that of `errors.passing`."""

    code: str
    problem: str
    got: str | None
    fix: str | None
    raised: str
    where: str
    passes_after_s: float | None = None


class Sign(IntEnum):
    """What a control frame says."""

    PING = 0  # `said` are tokens of views that are gone
    PONG = 1
    READY = 2
    FAILED = 3  # it could not start; `said` is a Failure
    SEGMENT = 4  # memory of the host, for reading; the descriptor comes with it
    GROW = 5  # the worker wants memory to answer in: `number` bytes
    GRANTED = 6  # it has it; the descriptor comes with it
    DENIED = 7
    CANCEL = 8  # nobody waits for call `number` any more
    SHUT = 9  # nobody reads stream `number` any more
    FORGET = 10  # segment `number` of the host is not used any more


class Control(msgspec.Struct, array_like=True):
    """One frame of control."""

    sign: Sign
    number: int = 0
    said: msgspec.Raw = msgspec.Raw(b"\xc0")


_encoder: Final = msgspec.msgpack.Encoder()
_control: Final = msgspec.msgpack.Decoder(Control)
_failure: Final = msgspec.msgpack.Decoder(Failure)
T = TypeVar("T")


def packed(value: object) -> bytes:
    """Encode plain values."""
    return _encoder.encode(value)


def unpacked(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode plain values of a known type; malformed ones are errors of the protocol."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise malformed(cause) from cause


def control(sign: Sign, number: int = 0, said: object = None) -> bytes:
    """Encode a frame of control."""
    return _encoder.encode(Control(sign, number, msgspec.Raw(_encoder.encode(said))))


def read_control(data: bytes) -> Control:
    """Decode a frame of control."""
    try:
        return _control.decode(data)
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise malformed(cause) from cause


def malformed(cause: object) -> PluginProtocolError:
    """Return the error of a frame that is none."""
    return PluginProtocolError(
        "the worker answered with what is no answer",
        got=str(cause)[:_MAX_TEXT],
        fix="the plugin, or a library it uses, wrote to the host's channel",
    )


def failure_of(error: BaseException, where: str = "") -> Failure:
    """Describe an error for the other side."""
    code = error.code if isinstance(error, OpenAutoGLMError) else ""
    if isinstance(error, OpenAutoGLMError):
        got = None if error.got is None else str(error.got)[:_MAX_TEXT]
        problem, fix = error.problem, error.fix
    else:
        problem, got, fix = _said(error), None, None
    return Failure(
        code,
        problem[:_MAX_TEXT],
        got,
        fix,
        type(error).__name__,
        where[:_MAX_TEXT],
        passes_after_s(error),
    )


def error_of(value: object, said_by: str) -> OpenAutoGLMError:
    """Return the error that a Failure describes: its own class where the host has it.

    It may pass where it might have over there.

    Args:
        value: the failure, decoded or encoded.
        said_by: method, contribution and plugin, for errors that are the plugin's own.
    """
    failure = _read_failure(value)
    error = _error_of(failure, said_by)
    let_pass(error, failure.passes_after_s)
    return error


def _error_of(failure: Failure, said_by: str) -> OpenAutoGLMError:
    kind = _CLASSES.get(failure.code)
    if kind is not None:
        return kind(failure.problem, got=failure.got, fix=failure.fix)
    raised = f"{failure.raised}: {failure.problem}" if failure.problem else failure.raised
    got = f"{raised} ({failure.where})" if failure.where else raised
    return PluginCallError(f"{said_by} raised", got=got, fix=_SEE_LOG)


def _bytes_of(array: object) -> bytes:
    copied = getattr(array, "tobytes", None)
    if copied is None:
        raise malformed("a large message without its bytes")
    data: bytes = copied()
    return data


def _read_failure(value: object) -> Failure:
    try:
        if isinstance(value, (bytes, msgspec.Raw)):
            return _failure.decode(value)
        return msgspec.convert(value, Failure)
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise malformed(cause) from cause


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a plugin's own `__str__`
        return f"its text raised {type(second).__name__}"


def _classes() -> dict[str, type[OpenAutoGLMError]]:
    found = {}
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, OpenAutoGLMError):
            number = int(value.code.removeprefix("OAG"))
            if number and number not in _RESERVED:
                found[value.code] = value
    return found


_CLASSES: Final = _classes()
