"""What nodes answered, compared with the driver and with each other: findings. Pure.

Knows nothing of how nodes are asked.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from openautoglm.jobs.cluster.finding import DRIVER, Finding, of_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openautoglm.jobs.cluster.nodes import Answer
    from openautoglm.jobs.cluster.question import Fact, Said, Topic
    from openautoglm.jobs.spec import JobSpec

LEAST_MEMORY: Final = 512 << 20
LEAST_DISK: Final = 1 << 30
MOST_CLOCK_S: Final = 5.0
"""Leases go by the ledger's clock alone; times in logs, TLS and S3 do not."""
GIB: Final = 1 << 30
SHARED: Final = "name one that all nodes reach: a shared disk, s3://…, postgresql://…"
HANGS: Final[Mapping[str, str]] = {
    "ledger": "see that this node reaches the ledger's server",
    "source": "see that this node reaches the source",
    "sink": "see that this node reaches the sink",
    "work": "see that the module of the function does nothing but define when it is imported",
}
"""By topic, what to do where it takes too long."""


def facts_of(answer: Answer, topic: Topic) -> Mapping[str, Fact]:
    """Return what a node said of something; nothing where it did not."""
    return next((said.facts for said in answer.said if said.topic == topic and _is_end(said)), {})


def compare(name: str, answer: Answer, here: Answer, *, spec: JobSpec | None) -> Iterator[Finding]:
    """Yield what is the matter with one node.

    Args:
        name: of the node.
        answer: what it said.
        here: what the driver said; the same as `answer` for the driver itself.
        spec: of the job; None for none.
    """
    if answer.silent is not None:
        yield Finding(
            node=name,
            what="answer",
            problem="the node does not answer",
            got=answer.silent,
            fix="see `ray status`; take the node out, or start it again: oag worker join HEAD:PORT",
        )
        return
    yield from _versions(name, answer, here)
    yield from _room(name, answer, spec)
    if not answer.said:
        return
    for said in answer.said:
        if said.fault is not None and _counts(name, said):
            yield of_fault(name, said.topic, said.fault)
    yield from _unfinished(name, answer)
    for look in LOOKS:
        yield from look(name, answer, here)


def _counts(name: str, said: Said) -> bool:
    """Whether a fault keeps a job from running: the driver itself runs no model."""
    return name != DRIVER or said.topic != "model"


def _is_end(said: Said) -> bool:
    return not said.is_begun and said.fault is None


def _versions(name: str, answer: Answer, here: Answer) -> Iterator[Finding]:
    version = here.openautoglm or ""
    install = f'pip install "openautoglm[ray]=={version}"'
    if not answer.said:
        yield _mute(name, answer, install)
    pairs = (
        ("python", _minor(answer.python), _minor(here.python), "use the same Python"),
        ("ray", answer.ray, here.ray, f'pip install "ray=={here.ray}"'),
        ("openautoglm", _own(answer), _own(here), install),
    )
    for what, there, expected, fix in pairs:
        if there and expected and there != expected:
            got = f"{there}; the driver has {expected}"
            problem = "another version than the driver's"
            yield Finding(node=name, what=what, problem=problem, got=got, fix=fix)


def _mute(name: str, answer: Answer, install: str) -> Finding:
    """Return why the openautoglm of a node said nothing."""
    what = "openautoglm"
    if answer.code is None:
        return _late(name, what, answer)
    is_there = answer.openautoglm is not None
    return Finding(
        node=name,
        what=what,
        problem="it cannot be started there" if is_there else "it is not installed there",
        got=_last_line(answer.complaint) or f"exit code {answer.code}",
        fix=f"in the environment of Ray on that node: {install}",
    )


def _late(name: str, what: str, answer: Answer) -> Finding:
    fix = HANGS.get(what, "see what the node is busy with")
    return Finding(
        node=name,
        what=what,
        problem=f"no answer within {answer.limit_s:g} s",
        fix=f"{fix}, or give it longer: --timeout-s",
    )


def _own(answer: Answer) -> str | None:
    said = facts_of(answer, "openautoglm").get("version")
    return str(said) if said else answer.openautoglm


def _minor(version: str | None) -> str | None:
    return version and ".".join(version.split(".")[:2])


def _room(name: str, answer: Answer, spec: JobSpec | None) -> Iterator[Finding]:
    memory, disk = answer.memory_bytes, answer.disk_bytes
    weights = facts_of(answer, "model").get("weights_bytes")
    needed = int(weights) if isinstance(weights, int | float) and not _has_gpu(spec) else 0
    needed = 0 if name == DRIVER else needed
    if memory is not None and memory < max(needed, LEAST_MEMORY):
        yield Finding(
            node=name,
            what="memory",
            problem="there is too little for the model" if needed > memory else "there is little",
            got=f"{memory / GIB:.1f} GiB may be taken"
            + (f", the weights take {needed / GIB:.1f} GiB" if needed else ""),
            fix="end other programs, or ask for a larger node: `resources: {memory: …}`",
        )
    if disk is not None and disk < LEAST_DISK:
        yield Finding(
            node=name,
            what="disk",
            problem="the disk of temporary files is nearly full",
            got=f"{disk / GIB:.2f} GiB free",
            fix="make room, or let TMPDIR name a folder on another disk",
        )


def _has_gpu(spec: JobSpec | None) -> bool:
    return spec is not None and spec.resources.get("GPU", 0) > 0


def _unfinished(name: str, answer: Answer) -> Iterator[Finding]:
    last = answer.said[-1]
    if not last.is_begun:
        return
    if answer.code is None:
        yield _late(name, last.topic, answer)
        return
    yield Finding(
        node=name,
        what=last.topic,
        problem="the process died of it",
        got=f"exit code {answer.code}: {_last_line(answer.complaint)}",
        fix="try it on that node by hand",
    )


def _ledger(name: str, answer: Answer, here: Answer) -> Iterator[Finding]:
    there, ours = facts_of(answer, "ledger"), facts_of(here, "ledger")
    if ours and there and there["server"] != ours["server"]:
        yield Finding(
            node=name,
            what="ledger",
            problem="its URL means another server there than for the driver",
            got=f"{there['server']}; for the driver {ours['server']}",
            fix="name the server's host as all nodes know it, not localhost",
        )
    if there.get("may_be_kept") is False:
        yield Finding(
            node=name,
            what="ledger",
            problem="this user may not make its tables",
            got=str(there["server"]),
            fix="GRANT CREATE ON SCHEMA public TO …, in that database",
        )
    ahead_s = there.get("ahead_s")
    if isinstance(ahead_s, float) and abs(ahead_s) > MOST_CLOCK_S:
        yield Finding(
            node=name,
            what="clock",
            problem="it differs from the clock of the ledger's server",
            got=f"{abs(ahead_s):.1f} s {'behind' if ahead_s > 0 else 'ahead'}",
            fix="let both keep time by NTP, as with chrony",
            is_note=True,
        )


def _source(name: str, answer: Answer, here: Answer) -> Iterator[Finding]:
    there, ours = facts_of(answer, "source"), facts_of(here, "source")
    if ours and there and there["digest"] != ours["digest"]:
        got = f"{_amount(there)}; the driver sees {_amount(ours)}"
        problem = "it is another one there than for the driver"
        yield Finding(node=name, what="source", problem=problem, got=got, fix=SHARED)


def _amount(source: Mapping[str, Fact]) -> str:
    shown = (("parts", "parts"), ("rows", "rows"), ("size_bytes", "bytes"))
    said = [f"{source[name]:,} {word}" for name, word in shown if source.get(name) is not None]
    return ", ".join(said)


def _sink(name: str, answer: Answer, here: Answer) -> Iterator[Finding]:
    del here
    if facts_of(answer, "sink").get("is_shared") is False:
        problem = "its folder there is not the driver's"
        yield Finding(node=name, what="sink", problem=problem, fix=SHARED)


def _work(name: str, answer: Answer, here: Answer) -> Iterator[Finding]:
    there, ours = facts_of(answer, "work"), facts_of(here, "work")
    for part in dict.fromkeys((*ours, *there)):
        if part == "model" or not (ours and there) or there.get(part) == ours.get(part):
            continue
        yield Finding(
            node=name,
            what=part,
            problem="it is another one there than for the driver",
            got=f"{there.get(part)}; the driver has {ours.get(part)}",
            fix="install the same there, or put it on a disk that all nodes share",
        )


LOOKS: Final[Sequence[Callable[[str, Answer, Answer], Iterator[Finding]]]] = (
    *(_ledger, _source, _sink, _work),
)


def models_that_differ(answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """Yield the nodes whose model is not the one that most of them have."""
    models = {
        name: str(model)
        for name, answer in answers.items()
        if (model := facts_of(answer, "work").get("model")) and facts_of(answer, "model")
    }
    far = {n for n, m in models.items() if any(o.startswith(f"{m} ") for o in models.values())}
    for name in sorted(far):
        yield Finding(
            node=name,
            what="model",
            problem="it is fetched from the hub when a worker begins there",
            got=models[name],
            fix="fetch it before, to the cache that HF_HOME names",
            is_note=True,
        )
    here = {name: model for name, model in models.items() if name not in far}
    most, _ = Counter(here.values()).most_common(1)[0] if here else ("", 0)
    for name, model in here.items():
        if model != most:
            yield Finding(
                node=name,
                what="model",
                problem="it is another one than on most nodes",
                got=f"{model}; others have {most}",
                fix="copy the same files there, or name a folder that all nodes share",
            )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""
