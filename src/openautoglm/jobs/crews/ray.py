"""The workers of one job on the nodes of a Ray cluster: `RayCrew`.

Ray decides on which node a worker is, and says when that is gone; it never restarts one: that is
the driver's, who frees its shards first. Knows nothing of ledgers.
"""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, final

import msgspec

from openautoglm.errors import ClusterError
from openautoglm.jobs.crews.address import probe
from openautoglm.jobs.crews.cluster import groups_of, head_of, joined, nodes_of
from openautoglm.jobs.crews.crew import GRACE_S, Began, Ended, News, new_owner
from openautoglm.jobs.crews.post import THREADS, Post
from openautoglm.jobs.crews.process import import_path
from openautoglm.jobs.crews.room import lacking, needs_of, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from openautoglm.jobs.crews.address import Address
    from openautoglm.jobs.orders import Orders

OURS: Final = "OPENAUTOGLM_"
THEIRS: Final = frozenset({"OPENAUTOGLM_HOME", "OPENAUTOGLM_LEDGER", "OPENAUTOGLM_ENGINE"})
"""Of our variables those that are the nodes' own, or that orders hold."""
KNOWN: Final[Mapping[str, str]] = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
LOOK_S: Final = 5.0
"""Between two looks whether workers that wait for a node ever get one."""
LACKING_S: Final = 30.0
"""So long nodes that are gone may take to come back, before a job pauses for want of them."""
SILENT: Final = 3
"""Looks in a row that a head may leave unanswered. Where one is gone, Ray itself waits for a minute
and then ends the whole process."""
KILLED_S: Final = 5.0
"""For a node to say that a worker is killed."""


@final
@dataclass(slots=True)
class _Placed:
    """A worker that was asked for: its actor, and what is awaited of it."""

    index: int
    owner: str
    actor: Any
    began: Any
    end: Any
    is_told: bool = False
    where: str = ""


@final
class RayCrew:
    """A crew whose workers are on nodes of a cluster; see `Crew`.

    Args:
        orders: of all workers; place and name are set for each.
        resources: that a worker needs of its node.
        address: of the cluster; None for the one of this machine.
    """

    def __init__(
        self, orders: Orders, resources: Mapping[str, float], address: Address | None
    ) -> None:
        self._orders, self._address = orders, address
        self._needs = needs_of(resources)
        self._running: dict[int, _Placed] = {}
        self._stack = ExitStack()
        self._looked_s = self._lacks_since_s = time.monotonic()
        self._silent = 0

    @property
    def running(self) -> frozenset[int]:
        """See `Crew.running`."""
        return frozenset(self._running)

    @property
    def words(self) -> str:
        """See `Crew.words`."""
        return f"logs/{self._orders.job}.log in OPENAUTOGLM_HOME of the nodes"

    def start(self, index: int) -> str:
        """See `Crew.start`; the worker waits in the cluster until a node has room for it."""
        owner = new_owner(index, os.urandom(6).hex())
        orders = msgspec.structs.replace(self._orders, index=index, owner=owner)
        actor = self._posts.remote(orders, environment_for_nodes(), import_path())
        began = actor.began.remote()
        self._running[index] = _Placed(index, owner, actor, began, actor.end.remote())
        return owner

    def wait(self, timeout_s: float) -> list[News]:
        """See `Crew.wait`."""
        self._look()  # before anything is heard, which would be lost where this raises
        waiting = {ref: placed for placed in self._running.values() for ref in _awaited(placed)}
        if not waiting:
            time.sleep(timeout_s)
            return []
        try:
            ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=timeout_s)
            if ready:
                ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        except Exception as cause:
            raise _gone(cause) from cause
        found: list[News] = []
        for placed in {waiting[ref].index: waiting[ref] for ref in ready}.values():
            found += self._heard(placed, ready)
        return found

    def stop(self, grace_s: float = GRACE_S) -> list[Ended]:
        """See `Crew.stop`."""
        if self._silent >= SILENT:  # nobody is there to be told
            grace_s = 0.0
        found: list[Ended] = []
        for placed in list(self._running.values()):
            placed.is_told = True
            if placed.began is None:
                self._ask(placed, "tell_to_end")
            else:  # it waits for a node, or is about to begin
                found.append(_lost(placed))
                self._drop(placed)
        found += self._ends(grace_s)
        for placed in self._running.values():
            self._ask(placed, "kill")
        found += self._ends(KILLED_S if self._silent < SILENT else 0.0)
        for placed in list(self._running.values()):
            found.append(_lost(placed))
            self._drop(placed)
        return found

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._ray: ModuleType = stack.enter_context(joined(self._address))
            self._head = self._address or head_of(self._ray)
            self._check_room()
            options: dict[str, Any] = {KNOWN[n]: v for n, v in self._needs.items() if n in KNOWN}
            others = {name: v for name, v in self._needs.items() if name not in KNOWN}
            self._posts = self._ray.remote(Post).options(
                **options,
                resources=others,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=THREADS,
                scheduling_strategy="SPREAD",
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self.stop(grace_s=0.0)

    def _heard(self, placed: _Placed, ready: list[Any]) -> list[News]:
        """Take in what an actor answered, or that it is gone."""
        found: list[News] = []
        if placed.began in ready:
            began = self._answer(placed, placed.began)
            placed.began = None
            if isinstance(began, Began):
                found.append(began)
        if placed.end in ready:
            ended = self._answer(placed, placed.end)
            self._drop(placed)
            found.append(ended if isinstance(ended, Ended) else _lost(placed))
        return found

    def _answer(self, placed: _Placed, ref: Any) -> Began | Ended | None:  # noqa: ANN401 - of a package without types
        """Return what an actor answered; None where it is gone.

        Raises:
            ClusterError: its node can run no worker.
        """
        errors = self._ray.exceptions
        try:
            answer: Began | Ended = self._ray.get(ref)
        except errors.OutOfMemoryError:
            return Ended(index=placed.index, owner=placed.owner, code=-9, is_for_memory=True)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as cause:
            raise _unfit(cause) from cause
        except errors.RayActorError as cause:
            if cause.actor_init_failed:
                raise _unfit(cause) from cause
            return None
        except errors.RayError:
            return None
        return answer

    def _look(self) -> None:
        """Find out whether the cluster is there, and whether workers wait for a node in vain.

        Raises:
            ClusterError: it is not, or no node has what they need, for a while, and none will.
        """
        now_s = time.monotonic()
        if now_s < self._looked_s + LOOK_S:
            return
        self._looked_s = now_s
        self._check_head()
        if self._silent:  # Ray would wait for its answer
            return
        is_waiting = any(placed.began is not None for placed in self._running.values())
        if not is_waiting or not self._lacks():
            self._lacks_since_s = now_s
        elif now_s >= self._lacks_since_s + LACKING_S:
            self._check_room()

    def _check_head(self) -> None:
        if self._head is None:
            return
        try:
            probe(self._head)
        except ClusterError as cause:
            self._silent += 1
            if self._silent >= SILENT:
                raise _gone(cause) from cause
        else:
            self._silent = 0

    def _lacks(self) -> str:
        return lacking(self._needs, list(nodes_of(self._ray).values()))

    def _check_room(self) -> None:
        nodes = nodes_of(self._ray)
        what = lacking(self._needs, list(nodes.values()))
        if what and lacking(self._needs, [*nodes.values(), *groups_of(self._ray)]):
            raise ClusterError(
                f"no node can ever hold a worker of this job: {what}",
                got=table_of(nodes),
                fix="ask for less in `resources`, or let a node join that has it: oag worker join",
            )

    def _ends(self, timeout_s: float) -> list[Ended]:
        """Return the workers that end within a time."""
        ends_s = time.monotonic() + timeout_s
        found: list[News] = []
        with contextlib.suppress(ClusterError):  # then nobody says so any more
            while self._running and (left_s := ends_s - time.monotonic()) > 0:
                found += self.wait(left_s)
        return [news for news in found if isinstance(news, Ended)]

    def _ask(self, placed: _Placed, method: str) -> None:
        with contextlib.suppress(Exception):  # it is gone, which is heard
            getattr(placed.actor, method).remote()

    def _drop(self, placed: _Placed) -> None:
        """Give the place on the node back."""
        self._running.pop(placed.index, None)
        with contextlib.suppress(Exception):  # it is gone already
            self._ray.kill(placed.actor)


def _awaited(placed: _Placed) -> list[Any]:
    return [ref for ref in (placed.began, placed.end) if ref is not None]


def _lost(placed: _Placed) -> Ended:
    return Ended(index=placed.index, owner=placed.owner, code=None, is_told=placed.is_told)


def environment_for_nodes() -> dict[str, str]:
    """Return what of our environment is to count on nodes too, such as the model that is meant."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(OURS) and name not in THEIRS
    }


def _unfit(cause: Exception) -> ClusterError:
    return ClusterError(
        "a node of the cluster cannot run workers",
        got=" ".join(str(cause).split())[-500:],
        fix="see what it lacks: oag worker doctor",
    )


def _gone(cause: Exception) -> ClusterError:
    return ClusterError(
        "the cluster does not answer any more",
        got=f"{type(cause).__name__}: {cause}"[:500],
        fix="see `ray status`, and go on with the job when the cluster is back",
    )
