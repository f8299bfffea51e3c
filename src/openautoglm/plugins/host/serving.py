"""What a worker serves: the servants of a plugin's contributions, their calls and their streams.

Owns `Servants`. Knows nothing of sockets. Whatever a plugin's code raises, `SystemExit` included,
is an answer.
"""

from __future__ import annotations

import importlib
import itertools
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.errors import OpenAutoGLMError, PluginCallError
from openautoglm.plugins.host.frames import Answer, Ask, Failure, failure_of
from openautoglm.plugins.manifest import Limits, Provides
from openautoglm.plugins.points import STATE_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.host.assignment import Assignment, Served
    from openautoglm.plugins.host.frames import Request

    Method = Callable[..., object]

ITEMS: Final = 64
"""Values of a stream in one answer at most."""

GATHER_S: Final = 0.005
"""How long a value of a stream may wait for the next."""

_HERE: Final = str(Path(__file__).parent)
_current: Final = threading.local()
_cancelled: Final[set[int]] = set()
_limits: Final[list[Limits]] = []
_abandoned: Final[deque[int]] = deque()


def is_cancelled() -> bool:
    """Whether nobody waits any more for the call that this thread serves.

    A plugin whose calls are long asks now and then, and returns: a worker whose call goes on after
    its time is killed.
    """
    return getattr(_current, "number", None) in _cancelled


def call_timeout_s() -> float:
    """Return how long a call has here, in seconds, unless its caller says otherwise."""
    return (_limits[0] if _limits else Limits()).call_timeout_s


def cancel(number: int) -> None:
    """Note that nobody waits for a call."""
    _cancelled.add(number)


def shut(number: int) -> None:
    """Note that nobody reads a stream any more; it is closed before the next one is opened."""
    _abandoned.append(number)


def load(assignment: Assignment) -> Servants:
    """Import the plugin and make its servants; what its code raises comes out."""
    _limits[:] = [assignment.limits]
    return Servants({one.target: _servant(one) for one in assignment.served})


def attribute(where: str) -> object:
    """Import what "module:attr" names."""
    module, _, path = where.partition(":")
    found: object = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _servant(one: Served) -> tuple[object, object]:
    provides = msgspec.json.decode(one.provides, type=Provides)
    adopt: Callable[[object, Provides], object] = attribute(one.adopt)  # type: ignore[assignment] # a point's part
    servant: Callable[[object], object] = attribute(one.servant)  # type: ignore[assignment] # a point's part
    contribution = adopt(attribute(one.object), provides)
    return contribution, servant(contribution)


@final
class Servants:
    """Contributions by target, each with the object that serves it."""

    def __init__(self, served: dict[str, tuple[object, object]]) -> None:
        self._served = served
        self._methods: dict[tuple[str, str], Method] = {}
        self._streams: dict[int, _Stream] = {}
        self._numbers = itertools.count(1)

    def describe(self) -> dict[str, list[str]]:
        """Return the names of all methods by target."""
        return {
            target: [name for name in dir(servant) if not name.startswith("_")]
            for target, (_, servant) in self._served.items()
        }

    def answer(self, request: Request) -> tuple[Answer, object]:
        """Return what came of a request; raises nothing."""
        _current.number = request.number
        try:
            if request.kind is Ask.CALL:
                method = self._methods.get((request.target, request.method))
                if method is None:
                    method = self._found(request)
                return Answer.VALUE, method(*request.args, **request.kwargs)
            return self._stream(request)
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            return Answer.ERROR, told(error)
        finally:
            _current.number = None
            _cancelled.discard(request.number)

    def close(self) -> None:
        """End what is open: streams, and contributions that have a `close`."""
        ends: list[object] = [stream.close for stream in self._streams.values()]
        ends += [getattr(servant, "close", None) for _, servant in self._served.values()]
        for close in ends:
            if callable(close):
                try:
                    close()
                except BaseException as error:  # noqa: BLE001 - printed; the others are closed too
                    traceback.print_exception(error)

    def _found(self, request: Request) -> Method:
        contribution, servant = self._served[request.target]
        name = request.method
        of = contribution if name in STATE_METHODS else servant
        method: Method | None = None if name.startswith("_") else getattr(of, name, None)
        if not callable(method):
            raise PluginCallError(
                f"`{request.target}` has no method `{name}`",
                got=f"it has {', '.join(self.describe()[request.target])}",
            )
        self._methods[request.target, name] = method
        return method

    def _stream(self, request: Request) -> tuple[Answer, object]:
        if request.kind is Ask.OPEN:
            self._shut_abandoned()
            values: Iterator[object] = iter(self._found(request)(*request.args, **request.kwargs))  # type: ignore[call-overload] # a plugin's iterable
            number = next(self._numbers)
            self._streams[number] = _Stream(values)
            return Answer.VALUE, number
        number = request.args[0] if isinstance(request.args[0], int) else 0
        if request.kind is Ask.SHUT:
            self._shut(number)
            return Answer.VALUE, None
        answer, values_ = self._streams[number].pull()
        if answer is not Answer.VALUE:
            self._streams.pop(number).close()
        return answer, values_

    def _shut(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.close()

    def _shut_abandoned(self) -> None:
        while _abandoned:
            self._shut(_abandoned.popleft())


@final
class _Stream:
    """The iterator of one stream; one thread at a time."""

    def __init__(self, values: Iterator[object]) -> None:
        self._values = values
        self._failure: Failure | None = None
        self._lock = threading.Lock()

    def pull(self) -> tuple[Answer, object]:
        """Return the next values: at least one, and more that come at once."""
        with self._lock:
            if self._failure is not None:
                return Answer.ERROR, self._failure
            return self._gathered()

    def _gathered(self) -> tuple[Answer, object]:
        values: list[object] = []
        end = 0.0
        try:
            for value in self._values:
                values.append(value)
                now = time.monotonic()
                end = end or now + GATHER_S
                if len(values) >= ITEMS or now >= end:
                    return Answer.VALUE, values
        except BaseException as error:
            if not values:
                raise
            self._failure = told(error)
            return Answer.VALUE, values
        return Answer.END, values

    def close(self) -> None:
        """Let the generator leave its `with` and `finally` blocks."""
        close = getattr(self._values, "close", None)
        if callable(close):
            close()


def told(error: BaseException) -> Failure:
    """Describe an error of a plugin, and print the traceback to its log."""
    if not isinstance(error, OpenAutoGLMError):
        traceback.print_exception(error)
    return failure_of(error, _where(error))


def _where(error: BaseException) -> str:
    """Return the line of the plugin that raised: the last one outside of this folder."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_HERE)]
    if not own:
        return ""
    return f"{Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name}"
