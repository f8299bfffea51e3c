"""A contribution of a plugin whatever version serves it: calls and streams through the routes.

Owns `RoutedObject`. A call that another version may still answer is made again there: one that
never ran, or one that does no harm twice. Every other one ends in its error. A stream stays on the
version it began on.
"""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.errors import PluginUnavailableError
from openautoglm.plugins.points import STATE_METHODS, MethodSpec
from openautoglm.plugins.rollout.routes import bucket_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.plugins.points import PinnedObject, RemoteObject
    from openautoglm.plugins.rollout.routes import Handle, RouteTable

    Ask = Callable[[RemoteObject, float], object]

_ONCE: Final = MethodSpec()
_request: Final[ContextVar[str | None]] = ContextVar("openautoglm_request_id", default=None)
_numbers: Final = itertools.count()


@contextmanager
def request_id(name: str) -> Iterator[None]:
    """Let all calls inside the block be of one request: one version serves them all.

    In the middle of a rollout the version can still change where a weight does.
    """
    token = _request.set(name)
    try:
        yield
    finally:
        _request.reset(token)


@final
class RoutedObject:
    """One contribution of a plugin, as a `RemoteObject`.

    Args:
        table: the routes of the plugin.
        name: of the contribution.
        point: where it contributes.
        methods: what the point says of them.
    """

    def __init__(
        self, table: RouteTable, name: str, point: str, methods: Mapping[str, MethodSpec]
    ) -> None:
        self._table = table
        self._name, self._point = name, point
        self._methods = {**STATE_METHODS, **methods}
        self._remotes: dict[Handle, RemoteObject] = {}

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method of the version that is chosen for the request; errors as there.

        Raises:
            OpenAutoGLMError: what the version answered, or the stable one where it was asked again.
        """
        if self._methods.get(method, _ONCE).everywhere:
            self._call_all(method, args, timeout_s, kwargs)
            return None

        def ask(remote: RemoteObject, left_s: float) -> object:
            return remote.call(method, *args, timeout_s=left_s, **kwargs)

        deadline = self._deadline(timeout_s)
        handle = self._table.enter(self._bucket(), deadline)
        try:
            return self._timed(handle, ask, self._left(handle, method, deadline))
        except Exception as error:  # a plugin at L0 raises anything
            other = self._again(handle, method, error, deadline)
            if other is None:
                raise
        return self._timed(other, ask, deadline - time.monotonic(), is_counted=False)

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what a method yields; all values come from one version."""

        def ask(remote: RemoteObject, _: float) -> object:
            return remote.stream(method, *args, timeout_s=timeout_s, **kwargs)

        return _RoutedStream(self, method, ask, timeout_s)

    def pinned(self) -> PinnedObject:
        """Return one worker of the version that serves now; it is under way until it is closed."""
        deadline = self._deadline(None)
        handle = self._table.enter(self._bucket(), deadline)
        if handle.is_dead and self._table.fall_back(handle):
            handle.leave()
            handle = self._table.enter(_STABLE, deadline)
        try:
            return _Pinned(self.remote_of(handle), handle)
        except BaseException:
            handle.leave()
            raise

    def _call_all(
        self,
        method: str,
        args: tuple[object, ...],
        timeout_s: float | None,
        kwargs: Mapping[str, object],
    ) -> None:
        """Call a method of every version there is; one that takes no calls holds nothing.

        The first error is raised once all were called.
        """
        errors: list[Exception] = []
        for handle in self._table.snapshot.handles:
            handle.enter()
            try:
                remote = self.remote_of(handle)
                remote.call(method, *args, timeout_s=timeout_s, **kwargs)
            except PluginUnavailableError:
                continue
            except Exception as error:  # noqa: BLE001 - a plugin at L0 raises anything
                errors.append(error)
            finally:
                handle.leave()
        if errors:
            raise errors[0]

    # for what is of this module

    def is_idempotent(self, handle: Handle, method: str) -> bool:
        """Whether a call may be made twice."""
        declared = any(
            each.name == self._name and each.point == self._point and each.idempotent
            for each in handle.running.manifest.provides
        )
        return declared or self._methods.get(method, _ONCE).idempotent

    def remote_of(self, handle: Handle) -> RemoteObject:
        """Return the contribution in a version; errors as `RunningPlugin.remote`."""
        found = self._remotes.get(handle)
        if found is None:
            found = handle.running.remote(self._name, point=self._point)
            here = set(self._table.snapshot.handles)
            kept = {h: r for h, r in self._remotes.items() if h in here}
            self._remotes = {**kept, handle: found}
        return found

    def begin(self, timeout_s: float | None) -> Handle:
        """Choose the version of a stream."""
        return self._table.enter(self._bucket(), self._deadline(timeout_s))

    def again(
        self, handle: Handle, method: str, error: Exception, timeout_s: float | None
    ) -> Handle | None:
        """Return another version for a stream that failed before its first value."""
        return self._again(handle, method, error, self._deadline(timeout_s))

    def _again(
        self, handle: Handle, method: str, error: Exception, deadline: float
    ) -> Handle | None:
        """Return, entered, the version a failed call goes to next; None: it stays failed."""
        never_ran = isinstance(error, PluginUnavailableError) and handle.is_dead
        if not never_ran and (self._is_stateful(handle) or not self.is_idempotent(handle, method)):
            return None
        if deadline <= time.monotonic():
            return None
        table = self._table
        if handle.is_dead:
            table.fall_back(handle)
        if table.snapshot.stable is handle:
            return None
        table.retries += 1
        return table.enter(_STABLE, deadline)

    def _timed(self, handle: Handle, ask: Ask, left_s: float, *, is_counted: bool = True) -> object:
        """Ask a version that was entered, and leave it."""
        began = time.perf_counter()
        is_error: bool | None = None  # Ctrl-C is nobody's error
        try:
            value = ask(self.remote_of(handle), left_s)
            is_error = False
        except Exception:
            is_error = True
            raise
        finally:
            seconds = time.perf_counter() - began
            handle.leave(is_error=is_error if is_counted else None, seconds=seconds)
        return value

    def _left(self, handle: Handle, method: str, deadline: float) -> float:
        """Return the time for the first attempt: half of it where a second may follow."""
        left_s = deadline - time.monotonic()
        if handle is self._table.snapshot.stable or not self.is_idempotent(handle, method):
            return left_s
        return left_s / 2

    def _is_stateful(self, handle: Handle) -> bool:
        return any(each.state for each in handle.running.manifest.provides)

    def _deadline(self, timeout_s: float | None) -> float:
        if timeout_s is None:
            timeout_s = self._table.snapshot.stable.running.manifest.limits.call_timeout_s
        return time.monotonic() + timeout_s

    def _bucket(self) -> int:
        return bucket_of(self._table.plugin, _request.get() or str(next(_numbers)))


_STABLE: Final = 1 << 62
"""A bucket that no canary has."""


@final
class _RoutedStream:
    """Values of one version, which counts it as under way until it is closed or over."""

    def __init__(self, owner: RoutedObject, method: str, ask: Ask, timeout_s: float | None) -> None:
        self._owner, self._method, self._ask, self._timeout_s = owner, method, ask, timeout_s
        self._handle: Handle | None = None
        self._values: Iterator[object] | None = None
        self._is_begun = self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> object:
        if self._is_over:
            raise StopIteration
        try:
            value = self._next()
        except BaseException as error:
            is_ours = isinstance(error, Exception)  # Ctrl-C is nobody's error
            self._leave(is_error=not isinstance(error, StopIteration) if is_ours else None)
            raise
        self._is_begun = True
        return value

    def close(self) -> None:
        """End it, here and in the worker."""
        values, self._values = self._values, None
        try:
            end = getattr(values, "close", None)
            if end is not None:
                end()
        finally:
            self._leave(is_error=None)

    def __del__(self) -> None:
        self._leave(is_error=None)

    def _next(self) -> object:
        handle = self._handle or self._owner.begin(self._timeout_s)
        while True:
            self._handle = handle
            try:
                if self._values is None:
                    self._values = iter(self._ask(self._owner.remote_of(handle), 0.0))  # type: ignore[call-overload] # what `stream` returned
                return next(self._values)
            except StopIteration:
                raise
            except Exception as error:
                other = None
                if not self._is_begun:
                    other = self._owner.again(handle, self._method, error, self._timeout_s)
                if other is None:
                    raise
                handle.leave(is_error=True)
                self._values, handle = None, other

    def _leave(self, *, is_error: bool | None) -> None:
        """Count its end; how long a stream takes says nothing about its version."""
        self._is_over = True
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.leave(is_error=is_error)


@final
class _Pinned:
    """Calls that stay on one version, under way there until this is closed."""

    def __init__(self, remote: RemoteObject, handle: Handle) -> None:
        self._is_open = False
        self._handle = handle
        pin: Callable[[], PinnedObject] | None = getattr(remote, "pinned", None)
        self._pin = None if pin is None else pin()
        self._remote = remote if self._pin is None else self._pin
        self._is_open = True

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method there."""
        began = time.perf_counter()
        with self._counted(began):
            return self._remote.call(method, *args, timeout_s=timeout_s, **kwargs)

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what a method there yields."""
        with self._counted(None):
            yield from self._remote.stream(method, *args, timeout_s=timeout_s, **kwargs)

    def close(self) -> None:
        """Let version and worker go."""
        if self._is_open and self._pin is not None:
            self._pin.close()
        self._leave()

    def __del__(self) -> None:
        self._leave()

    def _leave(self) -> None:
        was_open, self._is_open = self._is_open, False
        if was_open:
            self._handle.leave()

    @contextmanager
    def _counted(self, began: float | None) -> Iterator[None]:
        """Count one answer of the version; a stream's time says nothing about it."""
        self._handle.enter()
        is_error: bool | None = None  # neither Ctrl-C nor a stream that is closed is an error
        try:
            yield
            is_error = False
        except Exception:
            is_error = True
            raise
        finally:
            seconds = None if began is None else time.perf_counter() - began
            self._handle.leave(is_error=is_error, seconds=seconds)
