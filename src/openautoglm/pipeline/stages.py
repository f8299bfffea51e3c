"""In which order, and how many records at a time, the nodes of a pipeline run.

Owns `Stage` and `plan`. Nodes that work item by item on the same list share a stage, so that a
long text goes through all of them in windows and never as a whole. Knows nothing of values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from openautoglm.pipeline.spec import PipelineSpec, Socket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.pipeline.wiring import Node

Feed: TypeAlias = tuple[Socket, ...]  # exclusive senders of one list


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Nodes that run together.

    Attributes:
        nodes: in order; a stage that is neither mapped nor batched has one.
        mapped: whether the nodes work item by item on lists.
        windowed: whether the calls of several records are gathered before the nodes run.
        feeds: the lists that are worked through side by side, each by who may send it.
        leaving: outputs that are needed after the stage.
        release: what nobody needs after the stage.
    """

    nodes: tuple[Node, ...]
    mapped: bool
    windowed: bool
    feeds: tuple[Feed, ...]
    leaving: frozenset[Socket]
    release: tuple[Socket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        stages: in order.
        streamed: outputs that may stay iterators because one stage alone reads them, once.
        offsets_text: who may send the text that the offsets of the result count in.
    """

    stages: tuple[Stage, ...]
    streamed: frozenset[Socket]
    offsets_text: Feed


def plan(spec: PipelineSpec, nodes: Sequence[Node]) -> Plan:
    """Put checked nodes, senders before receivers, into stages."""
    groups = _group(nodes)
    place = {node.name: index for index, group in enumerate(groups) for node in group}
    kept = _kept(spec, nodes)
    last_use = _last_use(nodes, place)
    stages = tuple(
        _stage(group, index, last_use=last_use, kept=kept) for index, group in enumerate(groups)
    )
    return Plan(
        stages=stages,
        streamed=_streamed(stages, kept),
        offsets_text=_offsets_text(spec, nodes),
    )


def _group(nodes: Sequence[Node]) -> list[list[Node]]:
    groups: list[list[Node]] = []
    place: dict[str, int] = {}
    for node in nodes:
        index = _shared(node, place, groups)
        if index is None:
            index = len(groups)
            groups.append([])
        groups[index].append(node)
        place[node.name] = index
    return groups


def _shared(node: Node, place: Mapping[str, int], groups: Sequence[list[Node]]) -> int | None:
    """Return the stage of the nodes whose items this one takes over, if it can run there too."""
    where = {
        socket: {place.get(sender.component, -1) for sender in senders}
        for socket, senders in node.senders.items()
    }
    lists = [where[socket] for socket in node.each]
    whole = [where[socket] for socket in where if socket not in node.each]
    homes = {index for places in lists for index in places if index >= 0 and groups[index][0].each}
    for index in sorted(homes, reverse=True):
        items_fit = all(places == {index} or max(places) < index for places in lists)
        if items_fit and all(max(places) < index for places in whole):
            return index
    return None


def _kept(spec: PipelineSpec, nodes: Sequence[Node]) -> frozenset[Socket]:
    """Return what the result is made of."""
    kept = {Socket.parse(sender) for sender in spec.outputs.values()}
    if spec.offsets is not None:
        kept.add(Socket.parse(spec.offsets.sender))
    return frozenset(kept | set(_offsets_text(spec, nodes)))


def _offsets_text(spec: PipelineSpec, nodes: Sequence[Node]) -> Feed:
    if spec.offsets is None:
        return ()
    component, name = Socket.parse(spec.offsets.text)
    return next(node.senders.get(name, ()) for node in nodes if node.name == component)


def _last_use(nodes: Sequence[Node], place: Mapping[str, int]) -> dict[Socket, int]:
    last: dict[Socket, int] = {}
    for node in nodes:
        for senders in node.senders.values():
            for sender in senders:
                last[sender] = max(last.get(sender, -1), place[node.name])
    return last


def _stage(
    group: Sequence[Node],
    index: int,
    *,
    last_use: Mapping[Socket, int],
    kept: frozenset[Socket],
) -> Stage:
    names = {node.name for node in group}
    feeds = dict.fromkeys(
        node.senders[socket]
        for node in group
        for socket in node.each
        if not names.issuperset(s.component for s in node.senders[socket])
    )
    made = [Socket(node.name, output) for node in group for output in node.step.outputs]
    mapped = bool(group[0].each)
    return Stage(
        nodes=tuple(group),
        mapped=mapped,
        windowed=mapped or group[0].batched,
        feeds=tuple(feeds),
        leaving=frozenset(s for s in made if s in kept or last_use.get(s, -1) > index),
        release=tuple(s for s, last in last_use.items() if last == index and s not in kept),
    )


def _streamed(stages: Sequence[Stage], kept: frozenset[Socket]) -> frozenset[Socket]:
    """An iterator can be read once: by one stage, and there only as one of its lists."""
    readers = Counter(sender for stage in stages for feed in stage.feeds for sender in feed)
    whole = {
        sender
        for stage in stages
        for node in stage.nodes
        for socket, senders in node.senders.items()
        if socket not in node.each
        for sender in senders
    }
    return frozenset(s for s, n in readers.items() if n == 1 and s not in whole and s not in kept)
