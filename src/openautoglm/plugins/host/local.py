"""A contribution that runs in the host's own process, with the calls of a `RemoteObject`.

Owns `LocalObject`. Guards against nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from openautoglm.plugins.points import STATE_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@final
class LocalObject:
    """A servant in this process: calls are plain calls, and a time-out is not offered."""

    def __init__(self, contribution: object, servant: object) -> None:
        self._contribution = contribution
        self._servant = servant

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method; what it raises comes as it is."""
        del timeout_s
        return self._method(method)(*args, **kwargs)

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what a method yields."""
        del timeout_s
        values: Iterator[object] = iter(self._method(method)(*args, **kwargs))  # type: ignore[call-overload] # a plugin's iterable
        return values

    def _method(self, name: str) -> Callable[..., object]:
        of = self._contribution if name in STATE_METHODS else self._servant
        found: Callable[..., object] = getattr(of, name)
        return found
