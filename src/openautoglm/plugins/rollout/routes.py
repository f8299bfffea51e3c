"""Which version of a plugin a call goes to: a table that readers see as one immutable snapshot.

Owns `Handle`, the count of what is under way in a version, and `RouteTable`, whose snapshot is
replaced by one store. A reader is never blocked by a change, except while state moves (`held`).
Knows nothing of why a version gets its weight.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.errors import PluginTimeoutError
from openautoglm.plugins.rollout.judge import Counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.points import Contribution, RemoteObject
    from openautoglm.plugins.rollout.states import Life

    Through: TypeAlias = Callable[[Contribution, RemoteObject], RemoteObject]

BUCKETS: Final = 10_000
_PERCENT: Final = BUCKETS // 100
DEAD: Final = frozenset({"quarantined", "failed", "stopping", "stopped"})
"""States of a running plugin in which it takes no call."""


class Version(Protocol):
    """What a rollout needs of a plugin that runs; `RunningPlugin` is one.

    Attributes:
        through: makes of a contribution what the registries hold.
    """

    through: Through | None

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""

    @property
    def state(self) -> str:
        """`running`, or one of `DEAD`, or something between."""

    def remote(self, name: str, *, point: str | None = None) -> RemoteObject:
        """Return a contribution to call."""

    def hand_over(self, other: Version) -> None:
        """Let the registries hold the contributions of another version instead of its own."""


@final
class Arm:
    """What is counted of a version in one step; `reached` is called whenever `wanted` is."""

    def __init__(self, reached: Callable[[], None] | None = None) -> None:
        self.wanted = 0
        self.seconds: list[float] = []
        self.requests = self.errors = 0
        self._reached = reached

    def add(self, seconds: float | None, *, is_error: bool) -> None:
        """Count an answer; its handle's lock is held."""
        if seconds is not None:
            self.seconds.append(seconds)
        self.requests += 1
        self.errors += is_error
        if self._reached is not None and self.requests == self.wanted:
            self._reached()

    @property
    def counted(self) -> Counted:
        """What was counted by now."""
        return Counted(requests=self.requests, errors=self.errors, seconds=tuple(self.seconds))


@final
class Handle:
    """One version in the table, and what is under way in it.

    Attributes:
        running: the version.
        life: its state.
        in_flight: calls and streams that are under way.
        served: answers so far, errors left out.
        arm: counts the answers of a step, where one is under way.
    """

    def __init__(self, running: Version, life: Life) -> None:
        self.running = running
        self.life = life
        self.version = running.manifest.version
        self.in_flight = 0
        self.served = 0
        self.arm: Arm | None = None
        self._errors: deque[bool] = deque(maxlen=1_000)
        self._seconds: deque[float] = deque(maxlen=500)
        self._lock = threading.RLock()  # a stream that is collected leaves in any place
        self._idle = threading.Condition(self._lock)
        self._after: tuple[int, Callable[[], None]] | None = None

    def __repr__(self) -> str:
        return f"<{self.version}: {self.in_flight} under way, {self.served} served>"

    @property
    def is_dead(self) -> bool:
        """Whether it takes no call any more."""
        return self.running.state in DEAD

    @property
    def recent(self) -> Counted:
        """The errors of its latest calls; their times tell nothing about now and are left out."""
        with self._lock:
            return Counted(requests=len(self._errors), errors=sum(self._errors))

    @property
    def recent_seconds(self) -> tuple[float, ...]:
        """The times of its latest calls."""
        with self._lock:
            return tuple(self._seconds)

    def enter(self) -> None:
        """Count a call that begins."""
        with self._lock:
            self.in_flight += 1

    def leave(self, *, is_error: bool | None = None, seconds: float | None = None) -> None:
        """Count a call that is over.

        Args:
            is_error: how it ended; None where that says nothing about the version.
            seconds: that it took; None where that says nothing.
        """
        due = None
        with self._lock:
            self.in_flight -= 1
            if is_error is not None:
                due = self._count(seconds, is_error=is_error)
            if not self.in_flight:
                self._idle.notify_all()
        if due is not None:
            due()

    def _count(self, seconds: float | None, *, is_error: bool) -> Callable[[], None] | None:
        self._errors.append(is_error)
        if seconds is not None:
            self._seconds.append(seconds)
        self.served += not is_error
        if self.arm is not None:
            self.arm.add(seconds, is_error=is_error)
        if self._after is None or self.served < self._after[0]:
            return None
        due, self._after = self._after[1], None
        return due

    def after(self, served: int, then: Callable[[], None]) -> None:
        """Call `then` once this many more answers have come, in the thread of the last one."""
        with self._lock:
            self._after = (self.served + served, then)

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; return whether that came true in time."""
        with self._lock:
            return self._idle.wait_for(lambda: not self.in_flight, timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Who gets which part of the calls.

    Attributes:
        stable: gets what the canary does not.
        canary: the new version while it is judged.
        weight: percent of the calls for the canary.
        resident: the last good version: ready, without calls.
        held: calls wait until it is set.
    """

    stable: Handle
    canary: Handle | None = None
    weight: int = 0
    resident: Handle | None = None
    held: threading.Event | None = field(default=None, compare=False)

    def choose(self, bucket: int) -> Handle:
        """Return who gets the calls of a bucket; a larger weight takes none away from a canary."""
        if self.canary is not None and bucket < self.weight * _PERCENT:
            return self.canary
        return self.stable

    @property
    def handles(self) -> tuple[Handle, ...]:
        """Every version that is there."""
        there = (self.stable, self.canary, self.resident)
        return tuple(handle for handle in there if handle is not None)

    @property
    def shares(self) -> Mapping[str, tuple[int, int, str]]:
        """Return weight, number of calls under way and state, by version."""
        rows = [(self.stable, 100 - self.weight), (self.canary, self.weight), (self.resident, 0)]
        return {
            handle.version: (weight, handle.in_flight, handle.running.state)
            for handle, weight in rows
            if handle is not None
        }


def bucket_of(salt: str, request: str) -> int:
    """Return the bucket of a request, the same at any time and in any process.

    Example:
        >>> bucket_of("acme.upper", "user-7") == bucket_of("acme.upper", "user-7")
        True
    """
    drawn = blake2b(f"{salt}\0{request}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "little") % BUCKETS


@final
class RouteTable:
    """The versions of one plugin that can be called.

    Attributes:
        snapshot: read without a lock; replaced as a whole.
        retries: calls that were made again on another version.
        flips_s: how long each replacement of the snapshot took.
    """

    def __init__(
        self, first: Handle, *, on_fall_back: Callable[[Handle, Handle], None] | None = None
    ) -> None:
        self.plugin = first.life.plugin
        self.snapshot = Snapshot(stable=first)
        self.retries = 0
        self.flips_s: deque[float] = deque(maxlen=1_000)
        self._lock = threading.Lock()
        self._on_fall_back = on_fall_back

    def enter(self, bucket: int, deadline: float) -> Handle:
        """Return the version a call goes to, with the call counted in it.

        A call that was counted in a version is in a snapshot that holds at that moment: where a
        version has no weight and nothing is under way in it, nothing can begin in it.

        Raises:
            PluginTimeoutError: calls are held, and were not let go in time.
        """
        while True:
            snapshot = self.snapshot
            if snapshot.held is not None:
                self._wait(snapshot.held, deadline)
                continue
            handle = snapshot.choose(bucket)
            handle.enter()
            if self.snapshot is snapshot:
                return handle
            handle.leave()

    def change(self, **fields: object) -> Snapshot:
        """Replace the snapshot by one with other fields, in one store; return the one before."""
        with self._lock:
            return self._store(replace(self.snapshot, **fields))  # type: ignore[arg-type] # fields of a snapshot

    def promote(self, new: Handle, *, instead_of: Handle) -> Snapshot | None:
        """Make a version the stable one, and keep the one before ready.

        Returns:
            The snapshot before; None where another version has become the stable one meanwhile.
        """
        with self._lock:
            if self.snapshot.stable is not instead_of:
                return None
            return self._store(Snapshot(stable=new, resident=instead_of))

    def let_go(self, resident: Handle) -> bool:
        """Keep the last good version no longer; return whether it still was that."""
        with self._lock:
            if self.snapshot.resident is not resident:
                return False
            self._store(replace(self.snapshot, resident=None))
            return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let new calls wait inside the block. Readers that wait go on with what holds then."""
        gate = threading.Event()
        self.change(held=gate)
        try:
            yield
        finally:
            self.change(held=None)
            gate.set()

    def fall_back(self, dead: Handle) -> bool:
        """Give the calls of a stable version that died to the last good one.

        Returns:
            Whether there is one that can take them.
        """
        with self._lock:
            before = self.snapshot
            back = before.resident
            if before.stable is not dead or back is None or back.is_dead:
                return False
            self.snapshot = replace(before, stable=back, resident=None)
        if self._on_fall_back is not None:
            self._on_fall_back(dead, back)
        return True

    def leave(self) -> None:
        """Have counts and locks of its own, in a process that was forked: nobody holds them."""
        stable = self.snapshot.stable
        self._lock = threading.Lock()
        self.snapshot = Snapshot(stable=Handle(stable.running, stable.life))

    def _store(self, after: Snapshot) -> Snapshot:
        before, began = self.snapshot, time.perf_counter()
        self.snapshot = after
        self.flips_s.append(time.perf_counter() - began)
        return before

    def _wait(self, gate: threading.Event, deadline: float) -> None:
        if not gate.wait(max(0.0, deadline - time.monotonic())):
            raise PluginTimeoutError(
                f"plugin {self.plugin} was being replaced",
                got="its state did not move in the time of the call",
                fix="call again, or allow the call more time",
            )
