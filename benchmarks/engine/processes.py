"""Methods as processes: started, told what to do together, stopped.

Owns `Crew` and `Sample`. Knows nothing of rounds, medians or tables.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, Final, Self, final

from methods import METHODS

from timing import busy_s

if TYPE_CHECKING:
    from types import TracebackType

    from work import Work

WORKER: Final = Path(__file__).parent / "worker.py"
LIMIT_S: Final = 1800.0  # of one answer
TASKSET: Final = which("taskset") or "taskset"
SHOWN: Final = 300


class RefusedError(Exception):
    """A method failed, or did not do what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A method and the cores it gets.

    Attributes:
        method: name of it.
        processes: how many, each with a part of the rows.
        threads: of each process.
    """

    method: str
    processes: int
    threads: int

    @property
    def shape(self) -> str:
        """Processes and threads."""
        return f"{self.processes}x{self.threads}"

    def does(self, work: Work) -> bool:
        """Whether it can do work, and it makes sense."""
        is_divisible = work.at_once >= self.processes
        return is_divisible and work.name in METHODS[self.method].works


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What doing work once took.

    Attributes:
        wall_s: from the first process's start to the last one's end, by repeats.
        cpu_s: of all processes, by repeats.
        repeats: how often it was done.
        others_s: seconds that cores were busy with anything else meanwhile.
        peak_rss: bytes, most of all processes so far; memory they share counts in each.
        notes: what the method says of itself.
        answers: tokens of each row.
    """

    wall_s: float
    cpu_s: float
    repeats: int
    others_s: float
    peak_rss: int
    notes: dict[str, float]
    answers: list[list[int]]


@final
class Crew:
    """The processes of one run, each on cores of its own; ends them when left."""

    def __init__(self, run: Run, model: str, folder: Path) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed on leaving
        self._run = run
        about = METHODS[run.method]
        given = {"module": about.module, "model": model, "folder": str(folder)}
        told = json.dumps({**given, "kind": about.kind, "threads": run.threads})
        cores = sorted(os.sched_getaffinity(0))[::-1]
        self._processes = [
            self._start(
                [about.python, str(WORKER), told], cores[i * run.threads : (i + 1) * run.threads]
            )
            for i in range(run.processes)
        ]

    def _start(self, command: list[str], cores: list[int]) -> subprocess.Popen[str]:
        threads = str(self._run.threads)
        return subprocess.Popen(
            [TASKSET, "-c", ",".join(map(str, cores)), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "TOKENIZERS_PARALLELISM": "false",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with process:
                pass
        self._errors.close()

    def load(self) -> float:
        """Wait until the models are loaded; return the seconds that took, imports left out."""
        return max(float(answer["loaded_s"]) for answer in self._hear())

    def do(self, work: Work, file: Path, *, repeats: int) -> Sample:
        """Do a little of the work, then all of it, so many times.

        Raises:
            RefusedError: a process failed.
        """
        self._tell(file, repeats=0)
        busy = busy_s()
        found = self._tell(file, repeats=repeats)
        spent = busy_s() - busy
        wall_s = max(one["end"] for one in found) - min(one["start"] for one in found)
        cpu_s = sum(one["cpu_s"] for one in found)
        answers: list[list[int]] = [[] for _ in work.prompts]
        for index, one in enumerate(found):
            answers[index :: len(found)] = one["answers"]
        return Sample(
            wall_s=wall_s / repeats,
            cpu_s=cpu_s / repeats,
            repeats=repeats,
            others_s=max(0.0, spent - cpu_s),
            peak_rss=sum(one["peak_rss"] for one in found),
            notes=found[0]["notes"],
            answers=answers,
        )

    def _tell(self, file: Path, *, repeats: int) -> list[dict[str, Any]]:
        asked = {"work": str(file), "parts": len(self._processes), "repeats": repeats}
        for index, process in enumerate(self._processes):
            assert process.stdin is not None  # noqa: S101 - it was asked for
            with suppress(BrokenPipeError):  # it died; hearing it says of what
                process.stdin.write(json.dumps({**asked, "index": index}) + "\n")
                process.stdin.flush()
        return self._hear()

    def _hear(self) -> list[dict[str, Any]]:
        limit = threading.Timer(LIMIT_S, self._end)
        limit.start()
        try:
            return [self._line(process) for process in self._processes]
        finally:
            limit.cancel()

    def _line(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        line = process.stdout.readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:] or ["no answer"]
            raise RefusedError(last[0][:SHOWN])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
