"""A worker that is none: the two sides of a process boundary, in one process.

Owns `LocalRemote`, for tests of adapters, servants and plugins. Values go through msgpack as they
do to a worker; arrays are handed over as they are. What it does not show: crashes, time-outs and
the sandbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from openautoglm.errors import OpenAutoGLMError, PluginContributionError
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.wire import error_from, plain_error

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAY: Final = 1
"""The msgpack extension that stands for an array's place in the list of those handed over."""


class LocalRemote:
    """A `RemoteObject` whose servant is right here; a test may subclass it to break something.

    Args:
        point: the extension point's name.
        adopted: what the point's registry would hold.

    Example:
        >>> from openautoglm.pipeline.steps.clean import Clean
        >>> remote = LocalRemote("step", Clean)
        >>> remote.call("describe")["kind"]
        'Clean'
    """

    def __init__(self, point: str, adopted: object) -> None:
        self._point = POINTS.get(point)
        self._adopted = adopted
        self._servant = self._point.served(adopted)
        self.calls: list[str] = []

    def restart(self) -> None:
        """Forget what the servant holds, as a worker's death does."""
        self._servant = self._point.served(self._adopted)

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call the servant; what is no error of ours becomes one, as it does over a wire."""
        del timeout_s
        self._check(method, is_stream=False)
        given, named = _arguments(args, kwargs)
        try:
            return carried(getattr(self._servant, method)(*given, **named))
        except Exception as cause:
            raise _crossed(cause) from cause

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what the servant yields."""
        del timeout_s
        self._check(method, is_stream=True)
        given, named = _arguments(args, kwargs)
        try:
            for value in getattr(self._servant, method)(*given, **named):
                yield carried(value)
        except Exception as cause:
            raise _crossed(cause) from cause

    def _check(self, method: str, *, is_stream: bool) -> None:
        spec = self._point.methods.get(method)
        if spec is None or spec.stream != is_stream:
            raise PluginContributionError(
                f"a servant of `{self._point.name}` has no {'stream' if is_stream else 'call'} "
                f"`{method}`",
                got=f"methods: {', '.join(self._point.methods)}",
                fix="declare it in the point's methods",
            )
        self.calls.append(method)


def carried(value: object) -> object:
    """Return a value as it arrives in another process: plain values anew, arrays the same.

    Raises:
        TypeError: msgpack holds no such value.

    Example:
        >>> carried({"a": (1, 2)})
        {'a': [1, 2]}
    """
    arrays: list[object] = []

    def put(one: object) -> object:
        if not hasattr(one, "__dlpack__"):
            raise TypeError(f"{type(one).__qualname__} does not travel")
        arrays.append(one)
        return msgspec.msgpack.Ext(ARRAY, str(len(arrays) - 1).encode())

    def take(_code: int, place: memoryview) -> object:
        return arrays[int(bytes(place))]

    packed = msgspec.msgpack.Encoder(enc_hook=put).encode(_strict(value))
    return cast("object", msgspec.msgpack.Decoder(ext_hook=take).decode(packed))


def _strict(value: object) -> object:
    """Refuse what msgspec would encode but a reader would not get back as it was."""
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if hasattr(value, "__dlpack__"):
        return value
    raise TypeError(f"{type(value).__qualname__} does not travel")


def _arguments(
    args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[list[object], dict[str, object]]:
    return cast("tuple[list[object], dict[str, object]]", carried([list(args), kwargs]))


def _crossed(cause: Exception) -> OpenAutoGLMError:
    return cause if isinstance(cause, OpenAutoGLMError) else error_from(plain_error(cause))
