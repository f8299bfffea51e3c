"""All dynamic rows of one plugin, in their order: which child is asked what, and when a new one is.

Owns `Plan`, `trial_rows` and what a crash or a hang is taken for. A contribution that fails a plain
call, leaves things behind or leaks is not asked what needs many calls.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.errors import OpenAutoGLMError, PluginCheckError
from openautoglm.native.toolchain import build_folder
from openautoglm.plugins.host.assignment import Assignment
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.inspect.distributions import host_distributions, providers
from openautoglm.plugins.inspect.rows import failed, passed, skipped
from openautoglm.plugins.manifest import normalised
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.trial.nursery import Child, ChildEndedError, Nursery
from openautoglm.plugins.trial.orders import Order, Question
from openautoglm.plugins.trial.requests import FILE, PACKED, Request, read_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.plugins.host.sandbox import Level
    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.report import Finding
    from openautoglm.plugins.trial.nursery import Answer

ROWS: Final[dict[str, str]] = {
    "calls": "trial.calls",
    "leftovers": "trial.leftovers",
    "memory": "trial.memory",
    "suite": "trial.conformance",
    "determinism": "trial.determinism",
    "threads": "trial.threads",
    "bad-input": "trial.bad-input",
    "cancel": "trial.cancel",
    "latency": "trial.latency",
    "restart": "trial.restart",
}
"""What a contribution is asked, in this order, and the row a crash over it belongs to."""

DECIDING: Final = frozenset({"trial.calls", "trial.leftovers", "trial.memory"})
"""Where one of these fails, what needs more calls is not asked."""

PARTS: Final = ("protocol", "registry", "adopt", "servant", "conformance")
SUITE_S: Final = 600.0
MAX_SHOWN: Final = 500
TENSORS: Final = frozenset({"operator", "kernel"})
"""Points whose suites ask torch, which is loaded before a process is confined."""

MANY_S: Final = {True: 5.0, False: 60.0}
"""Seconds beyond the time-out of one call that a row of many calls may take, quick or not."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a plugin is tried.

    Attributes:
        level: "L2" in the sandbox; "L1" unconfined, for code that is trusted.
        is_quick: fewer calls, where more only add certainty.
        p95_ms: most milliseconds that 95 of 100 calls may take.
        timeout_s: how long one call, or importing the plugin, may take.
        requests: file of recorded requests; the project's own where none is named.
        readable: files and folders the plugin may read beside its own, such as a model.
    """

    level: Level = "L2"
    is_quick: bool = False
    p95_ms: float = 100.0
    timeout_s: float = 30.0
    requests: Path | None = None
    readable: tuple[Path, ...] = ()


def trial_rows(
    subject: Subject,
    manifest: Manifest,
    plan: Plan,
    *,
    labels: frozenset[str],
    nursery: Nursery | None = None,
) -> Iterator[Finding]:
    """Ask everything that can only be asked by running the plugin.

    Args:
        subject: the plugin's files.
        manifest: what it says of itself.
        plan: how it is tried.
        labels: contributions that are worth loading, by `point:name`.
        nursery: where children come from; a new one where none is given.
    """
    sandbox = _sandbox(manifest, plan)
    yield sandbox
    if sandbox.status == "fail":
        return
    asked = [p for p in manifest.provides if _label(p) in labels]
    parts, told = _parts(subject, asked)
    yield from told
    with ExitStack() as stack:
        place = nursery or stack.enter_context(Nursery())
        order = msgspec.structs.replace(_order(subject, manifest, plan), parts=parts)
        trial = _Trial(place, _assignment(subject, manifest, plan), order, plan)
        unbuilt = {finding.contribution for finding in told if finding.status == "fail"}
        yield from trial.rows([p for p in asked if _label(p) not in unbuilt])


def _is_machine(manifest: Manifest) -> bool:
    """Whether all of it is WebAssembly, which is confined by the machine it runs in."""
    return all(provides.module is not None for provides in manifest.provides)


def _sandbox(manifest: Manifest, plan: Plan) -> Finding:
    row = "trial.sandbox"
    if _is_machine(manifest):
        return passed(row, "WebAssembly: no files, no network, no clock")
    if plan.level == "L1":
        return failed(row, "run at L1, unconfined, as asked", status="warn")
    if not supported().sandbox:
        return failed(row, "; ".join(supported().reasons))
    return passed(row, "Landlock, seccomp, limits, no network")


def _parts(subject: Subject, asked: Sequence[Provides]) -> tuple[dict[str, str], list[Finding]]:
    """Return the paths of what `sources` names, kernels compiled; and what is not compiled."""
    found: dict[str, str] = {}
    told = []
    for provides in asked:
        named = provides.sources or provides.module
        if named is None or subject.package is None:
            continue
        path = (subject.package / named).resolve()
        label = _label(provides)
        try:
            built = build_folder(path) if path.is_dir() else None
            found[label] = str(path if built is None else built.path)
        except OpenAutoGLMError as error:
            measured = f"{error.problem}: {error.got}"[:MAX_SHOWN]
            told.append(failed("trial.load", measured, fix=error.fix or "", contribution=label))
            continue
        for source, why in () if built is None else built.left_out:
            measured = f"{source.name} is left out: {why}"
            told.append(skipped("trial.load", measured, contribution=label))
    return found, told


def _order(subject: Subject, manifest: Manifest, plan: Plan) -> Order:
    file = plan.requests
    packed = subject.root / manifest.package / PACKED
    own = subject.path / FILE if subject.form == "project" else packed
    if file is None and own.is_file():
        file = own
    requests: tuple[Request, ...] = () if file is None else read_requests(file)
    known = {provides.name for provides in manifest.provides}
    strangers = sorted({request.contribution for request in requests} - known)
    if strangers:
        raise PluginCheckError(
            "recorded requests are for what the plugin does not have",
            got=", ".join(strangers),
            fix=f"it has {', '.join(sorted(known))}",
        )
    return Order(
        manifest=manifest.to_json(),
        package=str(subject.root.resolve()),
        requests=requests,
        lent=tuple(str(path.resolve()) for path in plan.readable),
        is_quick=plan.is_quick,
        p95_ms=plan.p95_ms,
    )


def _assignment(subject: Subject, manifest: Manifest, plan: Plan) -> Assignment:
    points = [POINTS.get(p.point) for p in manifest.provides if p.point in POINTS.names()]
    wheres = [getattr(point, part) for point in points for part in PARTS]
    modules = [where.partition(":")[0] for where in wheres if where is not None]
    # what the host does not bring itself is imported inside the sandbox, like the plugin
    peers = {normalised(peer) for peer in manifest.peers} & host_distributions()
    if TENSORS & {provides.point for provides in manifest.provides}:
        modules += ["numpy", "torch", "torch._dynamo", "torch.testing._internal.optests"]
    if any(provides.module is not None for provides in manifest.provides):
        modules += ["wasmtime"]
    modules += [module for module, brought in sorted(providers().items()) if brought & peers]
    return Assignment(
        plugin=manifest.id,
        version=manifest.version,
        level="L1" if _is_machine(manifest) else plan.level,
        path=(str(subject.root.resolve()),),
        scratch="",
        limits=manifest.limits,
        peers=tuple(dict.fromkeys(modules)),
    )


@final
class _Trial:
    """One plugin: the child it is in now, and what was found."""

    def __init__(self, nursery: Nursery, assignment: Assignment, order: Order, plan: Plan) -> None:
        self._nursery = nursery
        self._assignment = assignment
        self._order = order
        self._plan = plan
        self._is_repeatable = False
        self._child: Child | None = None

    def rows(self, contributions: Sequence[Provides]) -> Iterator[Finding]:
        with tempfile.TemporaryDirectory(prefix="openautoglm-trial-") as scratch:
            try:
                yield from self._in(Path(scratch), contributions)
            finally:
                if self._child is not None:
                    self._child.end()

    def _in(self, scratch: Path, contributions: Sequence[Provides]) -> Iterator[Finding]:
        self._child = self._start(_fresh(scratch))
        try:
            loaded = self._ask(self._child, "import").findings
        except ChildEndedError as end:
            yield failed("trial.load", str(end))
            return
        yield from loaded
        broken = {f.contribution for f in loaded if f.row == "trial.load" and f.status == "fail"}
        for provides in contributions:
            label = _label(provides)
            if label not in broken:
                try:
                    yield from self._contribution(provides, scratch)
                except ChildEndedError as end:  # it was loaded before, and is not any more
                    yield failed("trial.restart", str(end), contribution=label)

    def _contribution(self, provides: Provides, scratch: Path) -> Iterator[Finding]:
        self._is_repeatable = provides.idempotent
        label = _label(provides)
        rest = list(ROWS)
        while rest:
            name = rest.pop(0)
            child = self._living(scratch)
            if name == "restart":
                yield self._restart(child, label)
                return
            found = self._found(child, name, ROWS[name], label)
            yield from found
            rest = self._rest(found, rest)
            if ROWS[name] in _failing(found):
                child.end()
            if not rest and _failing(found) & DECIDING:
                yield from _left_out(name, min(_failing(found) & DECIDING), label)

    def _living(self, scratch: Path) -> Child:
        """Return the child there is, or a new one in a folder of its own."""
        if self._child is None or not self._child.is_alive:
            self._child = self._loaded(_fresh(scratch))
        return self._child

    def _rest(self, found: Sequence[Finding], rest: list[str]) -> list[str]:
        """Return what is still worth asking."""
        bad = _failing(found)
        self._is_repeatable &= "trial.determinism" not in bad
        if bad & DECIDING:
            return []
        is_uncalled = any(f.row == "trial.calls" and f.status == "skip" for f in found)
        return ["suite"] if is_uncalled else rest

    def _found(self, child: Child, name: str, row: str, label: str) -> list[Finding]:
        try:
            return self._ask(child, name, label).findings
        except ChildEndedError as end:
            return [failed(row, str(end), contribution=label)]

    def _restart(self, child: Child, label: str) -> Finding:
        """Kill a child in the middle of a call, and look whether another one takes its place."""
        row = "trial.restart"
        before = self._ask(child, "answers", label).answers
        child.tell(Question("answers", label))
        child.end()
        self._child = self._loaded(child.scratch)
        found = self._ask(self._child, "calls", label).findings
        bad = [f for f in found if f.row == "trial.calls" and f.status == "fail"]
        after = self._ask(self._child, "answers", label).answers
        if bad:
            return failed(row, bad[0].measured, contribution=label)
        if self._is_repeatable and before != after:
            return failed(row, "a new process gives another answer", contribution=label)
        return passed(row, f"{len(before)} requests", contribution=label)

    def _start(self, scratch: Path) -> Child:
        assignment = msgspec.structs.replace(self._assignment, scratch=str(scratch))
        return self._nursery.start(assignment, self._order)

    def _loaded(self, scratch: Path) -> Child:
        child = self._start(scratch)
        try:
            self._ask(child, "load")
        except ChildEndedError:
            child.end()
            raise
        return child

    def _ask(self, child: Child, name: str, label: str = "") -> Answer:
        plan = self._plan
        timeout_s = plan.timeout_s
        if name == "suite":
            timeout_s += SUITE_S / (10 if plan.is_quick else 1)
        elif name not in {"import", "load", "calls", "answers", "bad-input", "cancel"}:
            timeout_s += MANY_S[plan.is_quick]
        answer = child.ask(Question(name, label, self._is_repeatable), timeout_s=timeout_s)
        if answer.mistake:
            raise PluginCheckError(
                f"the check itself failed over `{name}`",
                got=answer.mistake.strip(),
                fix="this is a bug in the check: please report it",
            )
        return answer


def _fresh(scratch: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=scratch))


def _failing(found: Sequence[Finding]) -> set[str]:
    return {finding.row for finding in found if finding.status == "fail"}


def _left_out(name: str, because: str, label: str) -> Iterator[Finding]:
    rows = list(ROWS.values())
    for row in rows[list(ROWS).index(name) + 1 :]:
        yield skipped(row, f"not asked, because of {because}", contribution=label)


def _label(provides: Provides) -> str:
    return f"{provides.point}:{provides.name}"
