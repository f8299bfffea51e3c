"""What runs in a child of a trial: it is confined, loads the plugin, and answers questions.

Owns `work`, which the warm process calls after a fork. Whatever a plugin raises becomes a finding;
whatever ends the process is seen by the parent.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.native.trial import Verdict
from openautoglm.plugins.inspect.rows import failed, passed, shown
from openautoglm.plugins.manifest import Manifest
from openautoglm.plugins.trial import calling, endurance
from openautoglm.plugins.trial.observed import Watch
from openautoglm.plugins.trial.orders import Order, Question
from openautoglm.plugins.trial.subjects import Contributed, answers_of, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.host.assignment import Assignment
    from openautoglm.plugins.host.sandbox import Level
    from openautoglm.plugins.manifest import Provides
    from openautoglm.plugins.report import Finding


MACHINES_BYTES: Final = 1 << 44
"""Address space for WebAssembly: each instance reserves gigabytes that it never touches."""


def work(assignment: Assignment, channels: list[int]) -> None:
    """Confine this process, then answer the parent until it lets go."""
    connection = Connection(channels[0])
    order = msgspec.msgpack.decode(connection.recv_bytes(), type=Order)
    for module in assignment.preload:
        with contextlib.suppress(ImportError):  # what is missing is told by the row that needs it
            importlib.import_module(module)
    gc.freeze()  # pages of what was loaded before the fork stay shared, and are not looked at again
    _confine(assignment, order, channels)
    if assignment.level == "L2":
        _alone()
    sys.path[:0] = assignment.path
    session = _Session(order, is_confined=assignment.level == "L2")
    while True:
        try:
            data = connection.recv_bytes()
        except EOFError:
            os._exit(0)
        connection.send_bytes(session.answer(msgspec.msgpack.decode(data, type=Question)))


def _confine(assignment: Assignment, order: Order, channels: list[int]) -> None:
    from openautoglm.plugins.host.limits import ResourceLimits
    from openautoglm.plugins.host.sandbox import Sandbox

    scratch = Path(assignment.scratch)
    level: Level = "L2" if assignment.level == "L2" else "L1"
    readable = tuple(Path(folder) for folder in (*assignment.path, *order.readable))
    limits = ResourceLimits.declared(assignment.limits)
    if any(provides.module is not None for provides in Manifest.from_json(order.manifest).provides):
        limits = replace(limits, address_bytes=MACHINES_BYTES)
    Sandbox(level, limits, scratch, readable, keep_fds=tuple(channels)).apply()
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
    os.chdir(scratch)
    tempfile.tempdir = None


def _alone() -> None:
    """Tell the checks of operators that no process can be started for them: this one is it."""
    from openautoglm.native import library, trial

    if hasattr(os, "fork"):
        del os.fork
    trial.load_in_child = _passed  # what crashes here, the parent sees
    library.put = _put  # type: ignore[attr-defined] # a sandbox lets nobody change modes


def _passed(*_: object, **__: object) -> Verdict:
    return Verdict()


def _put(path: Path, data: bytes, **_: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@final
class _Session:
    """What was loaded, between questions."""

    def __init__(self, order: Order, *, is_confined: bool) -> None:
        self._order = order
        self._is_confined = is_confined
        self._manifest = Manifest.from_json(order.manifest)
        self._loaded: dict[str, Contributed] = {}

    def answer(self, question: Question) -> bytes:
        """Answer one question; a mistake of ours is told as one."""
        content: dict[str, object] = {"findings": [], "answers": [], "mistake": ""}
        try:
            if question.row == "answers":
                answers = answers_of(self._loaded[question.contribution])
                content["answers"] = answers
            else:
                content["findings"] = list(self._rows(question))
        except Exception:  # noqa: BLE001 - raised again by the parent
            content["mistake"] = traceback.format_exc()
        return msgspec.msgpack.encode([content["findings"], content["answers"], content["mistake"]])

    def _rows(self, question: Question) -> Iterator[Finding]:
        if question.row == "load":
            yield from self._load()
            return
        if question.row == "import":
            yield from self._watched()
            return
        label = question.contribution
        contributed = self._loaded[label]
        match question.row:
            case "calls":
                yield from calling.calls(contributed, label)
            case "determinism":
                yield from calling.determinism(contributed, label)
            case "bad-input":
                yield from calling.bad_input(contributed, label, compares=question.is_repeatable)
            case "cancel":
                yield from calling.cancel(contributed, label, compares=question.is_repeatable)
            case "suite":
                yield from contributed.suite(is_quick=self._order.is_quick or self._is_confined)
            case _:
                yield from self._many(question, contributed)

    def _many(self, question: Question, contributed: Contributed) -> Iterator[Finding]:
        label = question.contribution
        pace = endurance.paced(contributed, is_quick=self._order.is_quick)
        match question.row:
            case "leftovers":
                yield from endurance.leftovers(contributed, label, pace)
            case "memory":
                yield from endurance.memory(contributed, label, pace)
            case "threads":
                yield from endurance.threads(
                    contributed, label, pace, compares=question.is_repeatable
                )
            case "latency":
                yield from endurance.latency(contributed, label, pace, self._order.p95_ms)
            case row:
                raise ValueError(f"nobody can answer {row}")

    def _watched(self) -> Iterator[Finding]:
        """Load, and look what that does beside."""
        if all(provides.module is not None for provides in self._manifest.provides):
            yield from self._load()
            yield passed("trial.imports", "nothing is imported")
            return
        watch = Watch(self._manifest.package)
        printed = _printed()
        with watch:
            findings = list(self._load())
        yield from findings
        if watch.found:
            yield failed("trial.imports", shown(watch.found))
        elif _printed() > printed:
            said = os.pread(1, 200, printed).decode("utf-8", "replace")
            measured = f"it prints {' '.join(said.split())!r}"
            yield failed("trial.imports", measured, status="warn")
        else:
            yield passed("trial.imports")

    def _load(self) -> Iterator[Finding]:
        start = time.perf_counter()
        problems = [p for each in self._manifest.provides if (p := self._loading(each))]
        taken_ms = (time.perf_counter() - start) * 1e3
        for label, problem in problems:
            yield failed("trial.load", problem, contribution=label)
        if not problems:
            yield passed("trial.load", f"{len(self._loaded)} in {taken_ms:.0f} ms")

    def _loading(self, provides: Provides) -> tuple[str, str] | None:
        label = f"{provides.point}:{provides.name}"
        part = self._order.parts.get(label)
        if provides.object is None and part is None:
            return None
        try:
            self._loaded[label] = load(provides, self._order.requests, part)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is a finding
            return label, f"{calling.told(error)}{_place(error, self._order.package)}"
        return None


def _place(error: BaseException, package: str) -> str:
    """Return where in the plugin an error came from."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(package):
            return f" ({Path(frame.filename).relative_to(package)}:{frame.lineno})"
    return ""


def _printed() -> int:
    """Return how much went to standard output and standard error, which are one file."""
    sys.stdout.flush()
    sys.stderr.flush()
    return os.lseek(1, 0, os.SEEK_CUR)
