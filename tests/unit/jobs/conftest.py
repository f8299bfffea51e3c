"""A desk for jobs: a home of its own, rows to work on, and functions that do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from openautoglm.jobs.batch_job import BatchJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FUNCTIONS: Final = Path(__file__).parent / "functions"


class Desk:
    """A folder with rows and the sinks of jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "in.jsonl"
        self.sink = folder / "out.jsonl"
        self.ledger = f"sqlite:///{folder / 'home' / 'ledger.db'}"

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Make these the rows of the source."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self.source.write_text("".join(lines), encoding="utf-8")

    def number(self, count: int, **more: object) -> None:
        """Make numbered rows the rows of the source."""
        self.write({"n": n, "text": f"row {n}", **more} for n in range(count))

    def job(self, **fields: Any) -> BatchJob:  # noqa: ANN401 - the fields of a job
        """Describe a job from the source to the sink."""
        given = {"source": str(self.source), "sink": str(self.sink), **fields}
        if not {"function", "pipeline", "prompt", "template"} & set(fields):
            given["function"] = "job_functions:double"
        return BatchJob(**given)

    def answers(self, sink: Path | None = None) -> list[dict[str, Any]]:
        """Return the rows of a sink: of a file, or of all part files of a folder."""
        place = sink or self.sink
        files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
        return [json.loads(line) for line in lines]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty desk, whose home is the one of the settings."""
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    monkeypatch.setattr(sys, "path", [str(FUNCTIONS), *sys.path])
    return Desk(tmp_path)
