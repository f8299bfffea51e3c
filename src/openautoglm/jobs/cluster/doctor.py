"""What a cluster lacks of a job: `examine` asks every node and this machine.

Owns the mark in the sink's folder, by which nodes tell whether they see the same one, and the
findings about the cluster as a whole. Runs nothing of the job.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.data.location import read_location, redacted
from openautoglm.errors import ClusterError, MissingExtraError, OpenAutoGLMError
from openautoglm.jobs.cluster.comparing import SHARED, compare, models_that_differ
from openautoglm.jobs.cluster.finding import CLUSTER, DRIVER, Finding, NodeFacts, Report, of_fault
from openautoglm.jobs.cluster.nodes import Nodes, ask_here
from openautoglm.jobs.cluster.question import Question
from openautoglm.jobs.crews.engine import SERVERS
from openautoglm.jobs.crews.room import lacking, needs_of, table_of
from openautoglm.jobs.destination import is_local, is_of_files, parts_url
from openautoglm.jobs.embedding import embedded
from openautoglm.jobs.home import ledger_url
from openautoglm.jobs.running.told import fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.jobs.cluster.nodes import Answer, Node
    from openautoglm.jobs.crews.address import Address
    from openautoglm.jobs.crews.engine import Engine
    from openautoglm.jobs.spec import JobSpec

LIMIT_S: Final = 60.0
SQLITE: Final = "sqlite"
SERVER: Final = "name one that all nodes reach: --ledger postgresql://user@host/database"


def examine(
    spec: JobSpec | None, *, engine: Engine, ledger: str | None, limit_s: float = LIMIT_S
) -> Report:
    """Say what is missing where for a job to run.

    Args:
        spec: of the job; None looks at what any job needs.
        engine: the cluster; `local` looks at this machine alone.
        ledger: its URL; None is the one of the settings.
        limit_s: seconds that each node has.

    Raises:
        OpenAutoGLMError: a text that the job names cannot be read.
    """
    spec = None if spec is None else embedded(spec)
    url = ledger_url(ledger)
    if not engine.is_ray:
        return _examine_this_machine(spec, url, limit_s)
    is_reachable = url.startswith(SERVERS)
    with _mark(spec) as mark:
        question = Question(spec=spec, ledger=url if is_reachable else None, mark=mark)
        here = ask_here(question, limit_s)
        findings = [] if is_reachable else [_alone(url)]
        findings += compare(DRIVER, here, here, spec=spec)
        nodes, answers, lacks = _asked(engine.address, question, limit_s)
    for node in nodes:
        findings += compare(node.name, answers[node.name], here, spec=spec)
    findings += [*models_that_differ(answers), *lacks]
    if nodes:
        findings += of_cluster(spec, nodes)
    told = (_facts(node.name, answers[node.name], node.resources) for node in nodes)
    return Report(nodes=(_facts(DRIVER, here, {}), *told), findings=tuple(findings))


def _examine_this_machine(spec: JobSpec | None, ledger: str, limit_s: float) -> Report:
    here = ask_here(Question(spec=spec, ledger=ledger), limit_s)
    found = compare("this machine", here, here, spec=spec)
    return Report(nodes=(_facts("this machine", here, {}),), findings=tuple(found))


def _asked(
    address: Address | None, question: Question, limit_s: float
) -> tuple[tuple[Node, ...], dict[str, Answer], list[Finding]]:
    """Return the nodes, what each said, and why none could be asked."""
    try:
        with Nodes(address) as cluster:
            nodes = cluster.alive()
            answers = {node.name: said for node, said in cluster.ask(nodes, question, limit_s)}
    except (ClusterError, MissingExtraError) as error:
        return (), {}, [of_fault(CLUSTER, "ray", fault_of(error))]
    return nodes, answers, []


def _alone(url: str) -> Finding:
    problem = "it is a file of this machine, which other nodes do not reach"
    return Finding(node=DRIVER, what="ledger", problem=problem, got=redacted(url), fix=SERVER)


def of_cluster(spec: JobSpec | None, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Yield what all nodes together lack. Pure."""
    if spec is None:
        return
    if len({node.name.partition("/")[0] for node in nodes}) > 1:
        yield from _files_of_one_machine(spec)
    needs = needs_of(spec.resources)
    if problem := lacking(needs, [node.resources for node in nodes]):
        yield Finding(
            node=CLUSTER,
            what="resources",
            problem=problem,
            got=table_of({node.name: node.resources for node in nodes}),
            fix="add a node that has it: oag worker join HEAD:PORT; or ask for less in `resources`",
        )
        return
    fitting = sum(_fitting(needs, node.resources) for node in nodes)
    if fitting < spec.workers:
        yield Finding(
            node=CLUSTER,
            what="resources",
            problem=f"{fitting} of the job's {spec.workers} workers fit at a time",
            got=table_of({node.name: node.resources for node in nodes}),
            fix="add nodes, or set `workers` to that number",
            is_note=True,
        )


def _files_of_one_machine(spec: JobSpec) -> Iterator[Finding]:
    for what, url in (("source", spec.source), ("sink", spec.sink)):
        if read_location(url, {}).transport == SQLITE:
            problem = "SQLite is for programs of one machine, and there are several"
            yield Finding(node=CLUSTER, what=what, problem=problem, got=redacted(url), fix=SHARED)


def _fitting(needs: Mapping[str, float], node: Mapping[str, float]) -> int:
    """Return how many workers a node holds that holds nothing else."""
    counts = (int(node.get(name, 0.0) / amount + 1e-6) for name, amount in needs.items() if amount)
    return min(counts, default=sys.maxsize)


def _facts(name: str, answer: Answer, resources: Mapping[str, float]) -> NodeFacts:
    return NodeFacts(
        node=name,
        host=answer.host,
        python=answer.python,
        openautoglm=answer.openautoglm,
        ray=answer.ray,
        memory_bytes=answer.memory_bytes,
        disk_bytes=answer.disk_bytes,
        resources={n: a for n, a in sorted(resources.items()) if not n.startswith("node:")},
    )


@contextmanager
def _mark(spec: JobSpec | None) -> Iterator[str | None]:
    """Leave a file in the sink's folder for a while; None where that is no folder of a disk."""
    folder = None if spec is None else _folder(spec.sink)
    if folder is None:
        yield None
        return
    mark = folder / f".oag-doctor-{os.urandom(6).hex()}"
    try:
        mark.touch(exist_ok=False)
    except OSError:  # the sink may not be written, which is found by trying it
        yield None
        return
    try:
        yield os.fspath(mark)
    finally:
        with suppress(OSError):
            mark.unlink()


def _folder(sink: str) -> Path | None:
    """Return the nearest folder of a sink that is there."""
    with suppress(OpenAutoGLMError):
        location = read_location(parts_url(sink), {})
        if is_of_files(location) and is_local(location):
            path = Path(location.path)
            return next((f for f in (path, *path.parents) if f.is_dir()), None)
    return None
