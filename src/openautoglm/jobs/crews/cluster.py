"""A connection to a Ray cluster, kept quiet and bounded in time: `joined`, `nodes_of`, `groups_of`.

Without an address it is the cluster that `RAY_ADDRESS` names, or that `ray start` made this machine
a node of, and where there is none, one on this machine alone, which ends with the connection. Knows
nothing of jobs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from openautoglm.errors import ClusterError
from openautoglm.jobs.crews.address import CLIENT, Address, probe
from openautoglm.jobs.crews.token import use_token
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

_log: Final = logging.getLogger("openautoglm.jobs.cluster")

EXTRA: Final = "ray"
WHY: Final = "--engine ray"
FIX: Final = (
    "make this machine a node of it: oag worker join HOST:PORT; or use ray://HOST:10001, "
    "with RAY_AUTH_MODE=token where the cluster wants its token"
)
LIMIT_S: Final = 60.0
"""For a cluster that said hello to take this machine in, or for one to start here."""
QUIET: Final[Mapping[str, str]] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
}
"""Environment of Ray, where the user says nothing else: it tells nobody, and little, and leaves
signals to others: WebAssembly's traps are signals, which it would take for crashes."""


def ray_module() -> ModuleType:
    """Return Ray.

    Raises:
        MissingExtraError: it is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # read when it is imported
    return need("ray", extra=EXTRA, why=WHY)


def found(address: Address | None) -> Address | None:
    """Return the cluster that is meant; None where one is to be started on this machine.

    Args:
        address: the one that was named; None for the one of this machine.

    Raises:
        ClusterError: there is nothing at its address.
        MissingExtraError: what speaks to it is not installed.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if address is None and ":" in named:
        address = Address.read(named)
    if address is None:
        return None if named == "local" else _here()
    if address.is_client:
        need("grpc", extra=EXTRA, why=f"an address with {CLIENT}")
    probe(address)
    return address


def _here() -> Address | None:
    """Return the cluster that `ray start` on this machine began or joined last, if it is there."""
    from ray._private.utils import read_ray_address

    noted = read_ray_address()
    if not noted:
        return None
    address = Address.read(noted)
    try:
        probe(address)
    except ClusterError:  # a note of one that is gone
        return None
    return address


@contextmanager
def joined(address: Address | None, *, may_start: bool = True) -> Iterator[ModuleType]:
    """Connect this process to a cluster, unless it is to one already, which stays so.

    Args:
        address: of its head; None for the cluster of this machine.
        may_start: whether to start one on this machine alone where there is none.

    Raises:
        ClusterError: it cannot be.
        MissingExtraError: Ray is not installed.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    place = found(address)
    if place is not None:
        use_token(place)
    over = threading.Event()
    with _silence():
        _connect(ray, place, over, may_start=may_start)
        try:
            yield ray
        finally:
            with contextlib.suppress(Exception):  # it may be gone already
                ray.shutdown()
            over.set()


def nodes_of(ray: ModuleType) -> dict[str, Mapping[str, float]]:
    """Return what each node has in all, by a name for people."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    return {
        f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})": node["Resources"] for node in alive
    }


def head_of(ray: ModuleType) -> Address | None:
    """Return where the cluster's head is; None where Ray does not tell."""
    try:
        return Address.read(str(ray.get_runtime_context().gcs_address))
    except Exception:  # noqa: BLE001 - clients of `ray://` are told in ways of their own, or not
        return None


def groups_of(ray: ModuleType) -> list[Mapping[str, float]]:
    """Return what a node has of each kind that an autoscaler may add; none without one."""
    try:
        asked = ray.remote(num_cpus=0)(_groups).remote()
        answer: list[Mapping[str, float]] = ray.get(asked, timeout=LIMIT_S)
    except Exception:  # noqa: BLE001 - whatever it is, no autoscaler answers
        return []
    return answer


def _groups() -> list[dict[str, float]]:
    """Ask on a node: a client has no state of the cluster."""
    from ray._private.state import state

    config = state.get_cluster_config()
    groups = [] if config is None else config.node_group_configs
    return [dict(group.resources) for group in groups if group.max_count]


@contextmanager
def _silence() -> Iterator[None]:
    """Log what Ray prints to standard output when a node is gone; no option of its own does."""
    from ray._private import worker

    printed = worker.print_to_stdstream
    worker.print_to_stdstream = lambda said, **_: _log.info("%s", said)
    try:
        yield
    finally:
        worker.print_to_stdstream = printed


def _connect(
    ray: ModuleType, place: Address | None, over: threading.Event, *, may_start: bool
) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if place is not None:
        _bounded(lambda: ray.init(str(place), **options), ray, f"the Ray cluster at {place}", over)
        return
    if not may_start:
        raise ClusterError(
            "this machine is no node of a Ray cluster",
            got="no RAY_ADDRESS either",
            fix="start one: ray start --head; or make it a node: oag worker join HEAD:PORT",
        )
    options["include_dashboard"] = False
    _bounded(lambda: ray.init("local", **options), ray, "Ray on this machine", over)


@contextmanager
def _own_faults() -> Iterator[None]:
    """Undo that Ray turns `faulthandler` on, which raises traps again where nobody knows them."""
    was_on = faulthandler.is_enabled()
    try:
        yield
    finally:
        if not was_on:
            faulthandler.disable()


def _bounded(
    connect: Callable[[], object], ray: ModuleType, what: str, over: threading.Event
) -> None:
    """Connect in a thread, which leaves signals to this process, and which may be given up.

    It lives until the connection is over: the kernel ends what a thread started when that ends.

    Raises:
        ClusterError: it took too long, or failed.
    """
    failed: list[BaseException] = []
    is_done, is_given_up = threading.Event(), threading.Event()

    def held() -> None:
        try:
            with _own_faults():
                connect()
        except BaseException as error:  # noqa: BLE001 - Ray ends processes by `SystemExit`
            failed.append(error)
            over.set()
        is_done.set()
        over.wait()
        if is_given_up.is_set() and not failed:  # it came after all, and nobody wants it
            with contextlib.suppress(Exception):
                ray.shutdown()

    threading.Thread(target=held, name="openautoglm-ray", daemon=True).start()
    if not is_done.wait(LIMIT_S) or failed:
        is_given_up.set()
        over.set()
        why = " ".join(str(failed[0]).split())[:500] if failed else f"not in {LIMIT_S:g} s"
        raise ClusterError(
            f"{what} cannot be joined",
            got=why or "no reason was given",
            fix=FIX,
        ) from (failed[0] if failed else None)
