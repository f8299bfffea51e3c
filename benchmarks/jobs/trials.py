"""One method doing one batch in a process of its own, looked at from outside.

Owns `tried`, `Trial` and `there`. Servers that a method keeps its state in are started before and
counted in its memory, not in its time. Knows nothing of rounds, medians and tables.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import rows
from methods import METHODS, Task
from servers import SERVERS, program
from tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from methods import About
    from servers import Server

LIMIT_S: Final = 1800
GONE_S: Final = 20.0
"""How long processes that a method left behind are waited for."""
HERE: Final = Path(__file__).parent
SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one batch took.

    Attributes:
        seconds: of the rows, as the method says; 0 where it does not.
        whole_s: from the start of its process to the end of it.
        first_s: from there to the moment that the first row was answered; None where none was.
        cpu_s: of all its processes, and of its server.
        peak_bytes: of memory, likewise.
        processes: most at a time, likewise.
        failure: how its process ended, where that was badly.
        refusal: what was wrong with its output otherwise.
    """

    seconds: float = 0.0
    whole_s: float = 0.0
    first_s: float | None = None
    cpu_s: float = 0.0
    peak_bytes: int = 0
    processes: int = 0
    failure: str = ""
    refusal: str = ""


class Shape(NamedTuple):
    """How many processes a batch gets, and rows under way in all of them together."""

    processes: int
    in_flight: int


def there(names: Sequence[str]) -> dict[str, About]:
    """Return the methods of these names that can run here; say how the others are installed."""
    return {name: METHODS[name] for name in names if _is_there(name, METHODS[name])}


def version(about: About) -> str:
    """Return the version of a method's package, with its server's; empty where it is not there."""
    if not about.package:
        return f"Python {platform.python_version()}"
    code = f"from importlib.metadata import version; print(version({about.package!r}))"
    found = _said([about.python, "-c", code])
    if not found or not about.server:
        return found
    server = re.search(
        r"[0-9]+(\.[0-9]+)+", _said([program(SERVERS[about.server][0]) or "", "--version"])
    )
    return f"{found}, {about.server} {server.group() if server else ''}".strip()


def tried(
    about: About,
    count: int,
    shape: Shape,
    *,
    environment: Mapping[str, str] | None = None,
    share: float = 0.02,
    command: Callable[[Task], list[str]] | None = None,
) -> Trial:
    """Do a batch of so many rows and look whether each is there once.

    Args:
        about: the method.
        count: rows.
        shape: how many work.
        environment: more of it.
        share: of a core that looking at its processes may take.
        command: another than the method's program.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oag-bench-")))
        rows.write(home / "rows.jsonl", count)
        server = _started(about, home, stack)
        task = Task(
            source=str(home / "rows.jsonl"),
            sink=str(home / "out"),
            rows=count,
            processes=shape.processes,
            in_flight=shape.in_flight,
            chunk=about.chunk,
            server=server.url if server else "",
        )
        told = [about.python, str(about.file), json.dumps(asdict(task))]
        trial = _run(
            command(task) if command else told,
            {**(environment or {}), "OPENAUTOGLM_HOME": str(home)},
            server=server,
            share=share,
        )
        if trial.failure:
            return trial
        return replace(trial, refusal=_fault(home / "out", count))


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _is_there(name: str, about: About) -> bool:
    missing = SERVERS[about.server][0] if about.server else ""
    if missing and program(missing) is None:
        print(f"{name} is left out: no {missing} here", file=sys.stderr)
        return False
    found = version(about)
    if not found:
        made = f"python -m venv {Path(about.python).parents[1]}; " if about.venv else ""
        how = f"{made}{about.python} -m pip install {about.install}"
        print(f"{name} is left out; to install: {how}", file=sys.stderr)
    return bool(found)


def _started(about: About, home: Path, stack: ExitStack) -> Server | None:
    if not about.server:
        return None
    return stack.enter_context(SERVERS[about.server][1](home))


def _run(
    command: list[str], environment: dict[str, str], *, server: Server | None, share: float
) -> Trial:
    first = Path(environment["OPENAUTOGLM_HOME"]) / "first"
    told = {**os.environ, **environment, "PYTHONPATH": str(HERE), rows.FIRST: str(first)}
    began_s = time.monotonic()
    process = subprocess.Popen(
        command, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    tree = Tree(process.pid, servers=[server.pid] if server else [], share=share)
    with tree:
        try:
            said, complained = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, complained = process.communicate()
        whole_s = time.monotonic() - began_s
    tree.gone(GONE_S)
    last = said.strip().splitlines()[-1:] or [""]
    failure = ""
    if process.returncode:
        failure = (complained.strip().splitlines() or ["failed"])[-1][:SHOWN]
    return Trial(
        seconds=json.loads(last[0])["seconds"] if last[0].startswith("{") and not failure else 0.0,
        whole_s=whole_s,
        first_s=float(first.read_text()) - began_s if first.exists() else None,
        cpu_s=tree.cpu_s,
        peak_bytes=tree.peak_bytes,
        processes=tree.most,
        failure=failure,
    )


def _fault(sink: Path, count: int) -> str:
    found = rows.keys(sink) if sink.exists() else []
    if len(found) == len(set(found)) == count:
        return ""
    return f"{len(found)} rows, {len(set(found))} distinct, of {count}"
