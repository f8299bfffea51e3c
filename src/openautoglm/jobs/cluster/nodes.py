"""The nodes of a Ray cluster, each asked the same question; and this machine, without Ray.

Owns `Node`, `Answer`, `ask_here` and `Nodes`. A node that does not answer in time is an answer too.
Knows nothing of what answers mean.
"""

from __future__ import annotations

import time
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, final

import msgspec

from openautoglm.jobs.cluster import probe as sent
from openautoglm.jobs.cluster.question import PROGRAM, Said
from openautoglm.jobs.crews.cluster import joined
from openautoglm.jobs.crews.process import import_path
from openautoglm.jobs.crews.ray import environment_for_nodes
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openautoglm.jobs.cluster.question import Question
    from openautoglm.jobs.crews.address import Address

OF_RAY: Final = 0.25
"""Part of a node's time in which Ray starts a process there and brings back what it returns."""


@final
class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is alive.

    Attributes:
        id: Ray's name of it.
        name: its address; with a part of the id where several have the same.
        resources: of the whole node, by Ray's names.
    """

    id: str
    name: str
    resources: Mapping[str, float] = {}


@final
class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from a node.

    Attributes:
        silent: why nothing did, None where something did.
        said: what its openautoglm said.
        code: how that ended; None for one that was killed when its time was over.
        limit_s: that time.
        complaint: the end of its standard error.
    """

    silent: str | None = None
    host: str | None = None
    python: str | None = None
    openautoglm: str | None = None
    ray: str | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    said: tuple[Said, ...] = ()
    code: int | None = None
    limit_s: float = 0.0
    complaint: str = ""


def ask_here(question: Question, limit_s: float) -> Answer:
    """Ask this machine."""
    return _answer(sent.probe(PROGRAM, msgspec.json.encode(question), limit_s, import_path(), {}))


@final
class Nodes:
    """A cluster that is there already; it is joined for the time of a `with`.

    Args:
        address: of its head; None for the one that this machine is a node of, or that RAY_ADDRESS
            names.
    """

    def __init__(self, address: Address | None) -> None:
        self._address = address
        self._stack = ExitStack()

    def alive(self) -> tuple[Node, ...]:
        """Return the nodes that Ray believes alive."""
        listed = sorted(self._ray.nodes(), key=lambda each: str(each["NodeManagerAddress"]))
        found = [each for each in listed if each["Alive"]]
        addresses = [str(each["NodeManagerAddress"]) for each in found]
        return tuple(
            _node(each, address, is_alone=addresses.count(address) == 1)
            for each, address in zip(found, addresses, strict=True)
        )

    def ask(
        self, nodes: Iterable[Node], question: Question, limit_s: float
    ) -> Iterator[tuple[Node, Answer]]:
        """Ask nodes at the same time; yield them as they were given.

        Args:
            nodes: those to ask.
            question: what to look at.
            limit_s: seconds that all have for it.
        """
        plain = msgspec.json.encode(question)
        asked = {node.id: (node, self._task(node, plain, limit_s)) for node in nodes}
        ends_s = time.monotonic() + limit_s
        for node, reference in asked.values():
            found = self._heard(reference, max(ends_s - time.monotonic(), 0.0))
            silent = f"nothing within {limit_s:g} s"
            yield node, Answer(silent=silent) if found is None else found

    def _task(self, node: Node, question: bytes, limit_s: float) -> Any:  # noqa: ANN401 - a class of Ray
        strategy = need(
            "ray.util.scheduling_strategies", extra="ray", why="a cluster"
        ).NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
        task = self._ray.remote(_by_value()).options(
            num_cpus=0, max_retries=0, scheduling_strategy=strategy
        )
        own_s = limit_s * (1 - OF_RAY)
        return task.remote(PROGRAM, question, own_s, import_path(), environment_for_nodes())

    def _heard(self, reference: Any, timeout_s: float) -> Answer | None:  # noqa: ANN401 - a class of Ray
        errors = self._ray.exceptions
        try:
            return _answer(self._ray.get(reference, timeout=timeout_s))
        except errors.GetTimeoutError:
            with suppress(errors.RayError):
                self._ray.cancel(reference, force=True)
            return None
        except errors.RayError as error:
            return Answer(silent=_first_line(error))

    def __enter__(self) -> Self:
        """Join the cluster.

        Raises:
            MissingExtraError: Ray is not installed here.
            ClusterError: no cluster is there, or it does not take this machine.
        """
        self._ray: Any = self._stack.enter_context(joined(self._address, may_start=False))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _node(found: Mapping[str, Any], address: str, *, is_alone: bool) -> Node:
    key = str(found["NodeID"])
    resources = {name: float(amount) for name, amount in found["Resources"].items()}
    return Node(id=key, name=address if is_alone else f"{address}/{key[:8]}", resources=resources)


def _by_value() -> Callable[..., dict[str, object]]:
    """Return the probe as a function of no module, which Ray sends with its text."""
    text = Path(sent.__file__).read_text(encoding="utf-8")
    space: dict[str, Any] = {"__name__": "openautoglm_probe"}
    exec(compile(text, sent.__file__, "exec"), space)  # noqa: S102 - a file of this package
    probe: Callable[..., dict[str, object]] = space["probe"]
    return probe


def _answer(found: dict[str, Any]) -> Answer:
    lines = found.pop("said").splitlines()
    said: list[Said] = []
    for line in lines:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # of another version
            said.append(msgspec.json.decode(line, type=Said))
    return msgspec.convert({**found, "said": said}, Answer)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
