"""What is printed of a cluster's nodes and of what they lack. Knows nothing of how it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.cli.machine import gib
from openautoglm.jobs.crews.room import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.jobs.cluster.finding import Finding, NodeFacts, Report


def told(report: Report) -> Iterator[tuple[str, str]]:
    """Yield label and text of each line; what several nodes lack is told once."""
    for node in report.nodes:
        yield "node", f"{node.node}: {_facts(node)}"
    for finding, nodes in _grouped(report):
        label = "note" if finding.is_note else "lacks"
        yield label, f"{', '.join(nodes)}: {finding.what}: {finding.problem}"
        for name, text in (("got", finding.got), ("fix", finding.fix)):
            for number, line in enumerate(text.strip().splitlines()):
                yield "", f"  {name if number == 0 else '   '}  {line.strip()}"
    if report.lacks_nothing:
        yield "lacks", "nothing"


def _grouped(report: Report) -> Iterator[tuple[Finding, list[str]]]:
    groups: dict[tuple[object, ...], tuple[Finding, list[str]]] = {}
    for each in report.findings:
        key = (each.is_note, each.what, each.problem, each.got, each.fix)
        groups.setdefault(key, (each, []))[1].append(each.node)
    yield from groups.values()


def _facts(node: NodeFacts) -> str:
    if node.python is None:
        return "no answer"
    versions = (("Python", node.python), ("openautoglm", node.openautoglm), ("Ray", node.ray))
    known = [f"{name} {version or 'none'}" for name, version in versions]
    known.append(f"{gib(node.memory_bytes)} of memory and {gib(node.disk_bytes)} of disk free")
    shown = (name for name in node.resources if name not in {"memory", "object_store_memory"})
    offered = ", ".join(amount(name, node.resources[name]) for name in shown)
    return ", ".join(known) + (f"; {offered}" if offered else "")
