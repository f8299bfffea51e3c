"""From samples to what is reported: medians, agreement of tokens, tables, and what must be reached.

Owns `Figures`. Knows nothing of processes.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from processes import Run, Sample
    from work import Work

    from timing import Cell

EXACT: Final = "transformers-fp32"
INT8: Final = ("ctranslate2-int8", "llama.cpp-q8_0", "openvino-q8_0")
TOLD: Final = tuple(f"{name}-told" for name in INT8)
PEERS: Final = (*INT8, "transformers-fp32", "transformers-bf16", "generate_batch-fp32")
BYTES: Final = {"fp32": 4, "bf16": 2, "int8": 1}
SCALE_BYTES: Final = 4
WRONG: Final = 0.5
"""Below this part of tokens in common with f32, a real model's answers are not its own."""


@dataclass(slots=True)
class Entry:
    """All samples of one run at one work of one model."""

    model: str
    run: Run
    work: Work
    samples: list[Sample] = field(default_factory=list)
    refusal: str | None = None
    repeats: int = 0  # of the work in a sample; 0 until that is known

    @property
    def tokens_per_s(self) -> float:
        """Median speed."""
        return statistics.median(self.work.tokens / s.wall_s for s in self.samples)

    @property
    def tokens_per_cpu_s(self) -> float:
        """Median by CPU time."""
        return statistics.median(self.work.tokens / s.cpu_s for s in self.samples)

    @property
    def peak_rss_mb(self) -> int:
        """Most memory, over rounds the median."""
        return round(statistics.median(s.peak_rss for s in self.samples) / 1e6)

    @property
    def label(self) -> str:
        """Method and shape."""
        return f"{self.run.method} {self.run.shape}"


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio to reach: our best at one work over the best of some peers.

    Attributes:
        name: of the row.
        work: kind.
        ours: our methods.
        peers: theirs.
        least: ratio to reach.
        base: another kind of work, where peers do that.
    """

    name: str
    work: str
    ours: tuple[str, ...]
    peers: tuple[str, ...]
    least: float
    base: str | None = None


TARGETS: Final = (
    Target("int8, uniform", "uniform", ("ours-int8",), INT8, 1.5),
    Target("int8, variable lengths", "variable", ("ours-int8",), INT8, 3.0),
    Target("int8, shared prefix", "shared", ("ours-int8",), INT8, 5.0),
    Target("int8, shared prefix, others told of it", "shared", ("ours-int8",), TOLD, 1.0),
    Target("fp32 by llama.cpp F32, uniform", "uniform", ("ours-fp32",), ("llama.cpp-f32",), 1.0),
    Target(
        "fp32 by transformers, variable lengths",
        "variable",
        ("ours-fp32",),
        ("transformers-fp32", "generate_batch-fp32"),
        3.0,
    ),
    Target("single stream by llama.cpp Q8_0", "single", ("ours-int8",), ("llama.cpp-q8_0",), 1.1),
    Target("single stream by any", "single", ("ours-int8",), PEERS, 1.0),
    Target(
        "copying by plain, one stream", "copying-single", ("ours-int8",), ("ours-int8-plain",), 2.0
    ),
    Target("copying by plain, 32 at once", "copying", ("ours-int8",), ("ours-int8-plain",), 2.0),
    Target(
        "copying, answers given, by plain, one stream",
        "copying-said-single",
        ("ours-int8",),
        ("ours-int8-plain",),
        2.0,
    ),
    Target(
        "copying, answers given, by plain, 32 at once",
        "copying-said",
        ("ours-int8",),
        ("ours-int8-plain",),
        2.0,
    ),
    Target("JSON by unconstrained", "json", ("ours-int8",), ("ours-int8",), 0.95, "uniform"),
    Target(
        "JSON without jumps by unconstrained",
        "json-steps",
        ("ours-int8",),
        ("ours-int8",),
        0.95,
        "uniform",
    ),
)


@final
class Figures:
    """Everything measured, by model, run and work."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, Run, str], Entry] = {}

    def entry(self, model: str, run: Run, work: Work) -> Entry:
        """Return the entry of a run, new at first."""
        return self.entries.setdefault((model, run, work.name), Entry(model, run, work))

    def done(self, model: str, work: str) -> list[Entry]:
        """Return the entries that have samples, and none refused."""
        return [
            entry
            for (m, _, w), entry in self.entries.items()
            if (m, w) == (model, work) and entry.samples and entry.refusal is None
        ]

    def agreement(self, entry: Entry) -> float | None:
        """Return the part of tokens, up to the first other one, in common with f32."""
        found = self.done(entry.model, entry.work.name)
        exact = next((e for e in found if e.run.method == EXACT), None)
        exact = exact or next((e for e in found if e.run.method == "ours-fp32"), None)
        if exact is None or not entry.samples:
            return None
        pairs = zip(entry.samples[0].answers, exact.samples[0].answers, strict=True)
        return sum(_common(ours, theirs) for ours, theirs in pairs) / entry.work.tokens

    def table(self, model: str, *, by_cpu: bool) -> list[dict[str, Cell]]:
        """Return a row for each run and a column for each work, tokens per (CPU-)second."""
        works = list(dict.fromkeys(w for m, _, w in self.entries if m == model))
        runs = list(dict.fromkeys(run for m, run, _ in self.entries if m == model))
        rows: list[dict[str, Cell]] = []
        for run in runs:
            row: dict[str, Cell] = {"method": run.method, "processes × threads": run.shape}
            for work in works:
                row[work] = self._cell(self.entries.get((model, run, work)), by_cpu=by_cpu)
            memory = [
                e.peak_rss_mb
                for (m, r, _), e in self.entries.items()
                if (m, r) == (model, run) and e.samples
            ]
            row["peak MB"] = max(memory, default=None)
            rows.append(row)
        return rows

    def _cell(self, entry: Entry | None, *, by_cpu: bool) -> Cell:
        if entry is None:
            return None
        if entry.refusal is not None or not entry.samples:
            return "refused"
        value = round(entry.tokens_per_cpu_s if by_cpu else entry.tokens_per_s)
        return f"{value} (wrong)" if self.is_wrong(entry) else value

    def is_wrong(self, entry: Entry) -> bool:
        """Whether a real model's answers are others than in f32."""
        agreement = self.agreement(entry)
        is_real = entry.model not in SHAPES and entry.work.copies
        return is_real and agreement is not None and agreement < WRONG

    def best(self, model: str, work: str) -> dict[str, float]:
        """Return the tokens per second of each method, in the form in which it is fastest."""
        found: dict[str, Entry] = {}
        for entry in self.done(model, work):
            other = found.get(entry.run.method)
            if other is None or entry.tokens_per_s > other.tokens_per_s:
                found[entry.run.method] = entry
        return {entry.label: entry.tokens_per_s for entry in found.values()}

    def targets(self, model: str) -> list[dict[str, Cell]]:
        """Return what is to be reached, and what was."""
        rows: list[dict[str, Cell]] = []
        for target in TARGETS:
            ours = self._best(model, target.work, target.ours)
            best = self._best(model, target.base or target.work, target.peers)
            if ours is None or best is None:
                continue
            ratio = ours.tokens_per_s / best.tokens_per_s
            rows.append(
                {
                    "model": model,
                    "row": target.name,
                    "ours": ours.label,
                    "tokens/s": round(ours.tokens_per_s),
                    "best other": best.label,
                    "its tokens/s": round(best.tokens_per_s),
                    "ratio": round(ratio, 2),
                    "by CPU": round(ours.tokens_per_cpu_s / best.tokens_per_cpu_s, 2),
                    "to reach": target.least,
                    "reached": "yes" if ratio >= target.least else "no",
                }
            )
        return rows

    def _best(self, model: str, work: str, methods: Sequence[str]) -> Entry | None:
        found = [e for e in self.done(model, work) if e.run.method in methods]
        right = [e for e in found if not self.is_wrong(e)]
        return max(right, key=lambda e: e.tokens_per_s, default=None)

    def bandwidth_shares(self, model: str, gb_s: dict[int, float]) -> Iterator[dict[str, Cell]]:
        """Yield how near one stream's decoding comes to reading its weights once a token."""
        shape = SHAPES.get(model)
        for entry in self.done(model, "single"):
            kind = entry.run.method.removeprefix("ours-")
            if shape is None or kind not in BYTES or not entry.samples[0].notes:
                continue
            size = shape.step_weights * BYTES[kind]
            size += shape.step_outputs * SCALE_BYTES if kind == "int8" else 0
            pace = statistics.median(
                s.notes["decode_tokens"] / s.notes["decode_s"] for s in entry.samples
            )
            speed = gb_s[entry.run.threads]
            yield {
                "model": model,
                "run": entry.label,
                "MB a step": round(size / 1e6),
                "decode tokens/s": round(pace, 1),
                "GB/s": round(pace * size / 1e9, 2),
                "memory GB/s": round(speed, 2),
                "share %": round(100 * pace * size / 1e9 / speed, 1),
            }


def _common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((i for i, (a, b) in pairs if a != b), len(ours))
