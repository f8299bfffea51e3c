"""Recorded requests of a plugin, made of two of its versions while nobody else calls them.

Owns `Probes` and what may be asked twice. What a wheel holds was recorded for its own version: that
must answer as recorded, whatever the version before does, of which only the times of its answers
count.
"""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, final

from openautoglm.plugins.points import POINTS
from openautoglm.plugins.trial.plain_calls import call
from openautoglm.plugins.trial.requests import PACKED, read_requests
from openautoglm.plugins.trial.subjects import is_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.plugins.host.parties import Loadable
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.points import RemoteObject
    from openautoglm.plugins.rollout.routes import Handle
    from openautoglm.plugins.trial.requests import Request

    Recorded: TypeAlias = tuple[Provides, Request]

PLAIN: Final = frozenset({"step", "operator", "source"})
"""Points whose requests are made of what their registries hold; of others a method is called."""

NOT_ASKED: Final = frozenset({"backend", "sink"})
"""Points whose calls load a model in each version first, or write: too much beside live ones."""


def recorded(old: Manifest, new: Loadable) -> tuple[Recorded, ...]:
    """Return the requests in the new version that both versions answer and that do no harm twice.

    Raises:
        PluginCheckError: the file cannot be read; the message names the line.
    """
    there = {(each.point, each.name) for each in old.provides if _may_be_asked(each)}
    known = {each.name: each for each in new.manifest.provides if _may_be_asked(each)}
    known = {name: each for name, each in known.items() if (each.point, name) in there}
    files = [folder / new.manifest.package / PACKED for folder in new.path]
    requests = [each for file in files if file.is_file() for each in read_requests(file)]
    return tuple((known[r.contribution], r) for r in requests if r.contribution in known)


def _may_be_asked(provides: Provides) -> bool:
    is_remote = POINTS.get(provides.point).adapter is not None
    is_harmless = provides.idempotent and not provides.state and provides.point not in NOT_ASKED
    return is_remote and is_harmless


@final
class Probes:
    """Requests, made in turn of both versions, so that load and noise meet both.

    Args:
        requests: what `recorded` returned.
        old: the stable version.
        new: the one that is judged.

    Attributes:
        made: requests of each version so far.
    """

    def __init__(self, requests: Sequence[Recorded], old: Handle, new: Handle) -> None:
        self._requests = tuple(requests)
        self._pair = (old, new)
        self._new = new
        self._turn = itertools.cycle(self._requests)
        self._adapted: dict[tuple[Handle, str], object] = {}
        self.made = 0

    def __bool__(self) -> bool:
        return bool(self._requests)

    @property
    def were_all_made(self) -> bool:
        """Whether each was made at least once."""
        return self.made >= len(self._requests)

    def ask(self) -> None:
        """Make the next request of both, the one and the other first in turn; both count it."""
        provides, request = next(self._turn)
        for handle in self._pair if self.made % 2 else self._pair[::-1]:
            self._ask(handle, provides, request)
        self.made += 1

    def _ask(self, handle: Handle, provides: Provides, request: Request) -> None:
        handle.enter()
        is_error: bool | None = None
        seconds: float | None = None
        try:
            is_error, seconds = self._answer(handle, provides, request)
        finally:
            is_new = handle is self._new
            handle.leave(is_error=is_error if is_new else False, seconds=seconds)

    def _answer(
        self, handle: Handle, provides: Provides, request: Request
    ) -> tuple[bool, float | None]:
        """Return whether a version does not answer as recorded, and how long its answer took."""
        try:
            remote = handle.running.remote(provides.name, point=provides.point)
            made = partial(remote.call, request.method, *request.args, **request.kwargs)
            if provides.point in PLAIN:
                adapted = self._of(handle, provides, remote)
                made = partial(call, provides.point, adapted, adapted, request)
            began = time.perf_counter()
            answer = made()
            seconds = time.perf_counter() - began
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is counted
            return type(error).__name__ != request.error, None
        return _is_wrong(request, answer), seconds

    def _of(self, handle: Handle, provides: Provides, remote: RemoteObject) -> object:
        """Return a contribution of a version as the registry of its point would hold it."""
        found = self._adapted.get((handle, provides.name))
        if found is None:
            found = POINTS.get(provides.point).adapted(remote, provides)
            self._adapted[handle, provides.name] = found
        return found


def _is_wrong(request: Request, answer: object) -> bool:
    if request.error:
        return True
    return request.is_judged and not is_like(answer, request.expected)
