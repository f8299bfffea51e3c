"""Our engine beside others: the same models, the same tokens asked for, in turns, in one run.

    python benchmarks/engine/engine.py --models 20m --work uniform,single --rounds 5 --json PATH

Every method is a process of its own (or two), started anew each round on cores of its own; it
loads, warms up, and is timed. One that does not give exactly the tokens it was asked for is
refused. Peers are not dependencies of this package: what is not there is left out, with the
command that installs it. Models have random weights and are made once, in
`~/.cache/openautoglm-benchmarks` or `OAG_BENCHMARK_CACHE`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

sys.path.insert(1, str(Path(__file__).parents[1]))

import bandwidth
import first_token
import models
import plot
import work
from figures import Entry, Figures
from methods import METHODS
from processes import Crew, RefusedError, Run
from shapes import MODELS, cache

from timing import busy_cores, machine, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from work import Work

    Works = Mapping[str, tuple[Work, Path]]

SCALES: Final = {"0.5b": 0.25}  # part of the new tokens, where all of them take hours
LEAST_S: Final = 1.0  # of a sample; work that is done sooner is repeated, with other prompts
MOST_REPEATS: Final = 32
QUIET: Final = 0.1  # cores that others may use
FORMS: Final = {"1x1": (1, 1), "1x2": (1, 2), "2x1": (2, 1)}
PACKAGES: Final = (
    *("openautoglm", "torch", "transformers", "tokenizers", "numpy", "llguidance"),
    *("ctranslate2", "llama-cpp-python"),
)


def main() -> None:
    """Measure what was asked for, print tables, keep them where `--json` says."""
    asked = _arguments()
    names, missing = _there(asked.methods.split(","))
    runs = _runs(names, asked.shapes.split(","))
    figures, loads = Figures(), []
    speeds: dict[int, list[float]] = {} if asked.no_memory else _threads()
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for model in asked.models.split(","):
        works = _works(model, asked.work.split(","), asked.scale or SCALES.get(model, 1.0))
        _prepare(model, names)
        for turn in range(asked.rounds):
            for threads, found in speeds.items():
                found.append(bandwidth.read_gb_s(threads, rounds=3))
            loads.append(_round(figures, model, runs[turn:] + runs[:turn], works))
            print(f"{model}: round {turn + 1}, load before it {loads[-1]}", file=sys.stderr)
    document = _document(figures, asked, loads, speeds)
    document = {"began": began, **document, "left_out": missing}
    text = _markdown(figures, asked.models.split(","), document)
    print(text)
    if asked.json is not None:
        _keep(asked.json, figures, document, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="our engine beside others")
    parser.add_argument("--models", default="nano,20m", help=", ".join(MODELS))
    parser.add_argument("--work", default=",".join(work.KINDS), help="kinds of work")
    parser.add_argument("--methods", default=",".join(METHODS), help="methods")
    parser.add_argument("--shapes", default=",".join(FORMS), help="processes x threads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, help="part of the new tokens; 1, but 0.25 for 0.5b")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory's speed out")
    parser.add_argument("--json", type=Path, help="write the figures here, tables and plots beside")
    return parser.parse_args()


def _runs(names: Sequence[str], forms: Sequence[str]) -> list[Run]:
    """Return methods in all forms that this process has cores for."""
    cores = len(os.sched_getaffinity(0))
    return [
        Run(method=name, processes=FORMS[form][0], threads=FORMS[form][1])
        for name in names
        for form in forms
        if FORMS[form][0] * FORMS[form][1] <= cores
    ]


def _threads() -> dict[int, list[float]]:
    """Return no speeds of reading yet, for each number of threads that there are cores for."""
    return {threads: [] for threads in (1, 2) if threads <= len(os.sched_getaffinity(0))}


def _there(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the methods that can run, and of the others how to install them."""
    found: list[str] = []
    missing: dict[str, str] = {}
    for name in names:
        about = METHODS[name]
        if _has(about.python, about.needs):
            found.append(name)
        else:
            made = f"python -m venv {cache() / 'peers' / about.venv}; " if about.venv else ""
            missing[name] = f"{made}{about.python} -m pip install {about.install}"
            print(f"{name} is left out; to install: {missing[name]}", file=sys.stderr)
    return found, missing


def _has(python: str, module: str) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    try:
        return subprocess.run([python, "-c", code], check=False).returncode == 0
    except OSError:
        return False


def _works(model: str, kinds: Sequence[str], scale: float) -> Works:
    models.make(model)
    found: dict[str, tuple[Work, Path]] = {}
    for kind in kinds:
        made = work.make(kind, model, scale)
        if made is not None:
            file = cache() / "works" / f"{model}-{kind}.json"
            work.write(made, file)
            found[kind] = (made, file)
    return found


def _prepare(model: str, names: Sequence[str]) -> None:
    """Make the copies of a model that methods read."""
    for name in names:
        for form in METHODS[name].files:
            family, _, kind = form.partition("-")
            if family == "ctranslate2":
                models.ctranslate2(model, kind)
            else:
                models.gguf(model, "f32" if kind == "f32" else "q8_0")


def _round(
    figures: Figures, model: str, runs: Sequence[Run], works: Works
) -> dict[str, float | str]:
    load: dict[str, float | str] = {
        "model": model,
        "load_1m": os.getloadavg()[0],
        "busy_cores": round(busy_cores(), 2),
    }
    for run in runs:
        mine = [figures.entry(model, run, made) for made, _ in works.values() if run.does(made)]
        waiting = [entry for entry in mine if entry.refusal is None]
        if waiting:
            _once(model, run, waiting, works)
    return load


def _once(model: str, run: Run, waiting: Sequence[Entry], works: Works) -> None:
    """Start a run and let it do its works; what goes wrong is kept as a refusal."""
    with Crew(run, model, models.make(model)) as crew:
        try:
            crew.load()
        except RefusedError as error:
            for entry in waiting:
                entry.refusal = f"does not load: {error}"
            return
        for entry in waiting:
            file = works[entry.work.name][1]
            try:
                sample = crew.do(entry.work, file, repeats=entry.repeats or 1)
                if entry.repeats == 0:
                    entry.repeats = min(MOST_REPEATS, ceil(LEAST_S / sample.wall_s))
                    if entry.repeats > 1:
                        sample = crew.do(entry.work, file, repeats=entry.repeats)
            except RefusedError as error:
                entry.refusal = f"failed: {error}"
                return
            entry.refusal = entry.work.fault(sample.answers, work.VOCABULARIES[model])
            entry.samples.append(sample)


def _document(
    figures: Figures,
    asked: argparse.Namespace,
    loads: Sequence[Mapping[str, float | str]],
    memory: Mapping[int, Sequence[float]],
) -> dict[str, object]:
    speeds = {threads: median(found) for threads, found in memory.items()}
    samples = [s for e in figures.entries.values() for s in e.samples]
    wall_s = sum(s.wall_s * s.repeats for s in samples) or 1.0
    others = sum(s.others_s for s in samples) / wall_s
    busiest = max((float(load["busy_cores"]) for load in loads), default=0.0)
    names = asked.models.split(",")
    shares = [row for m in names if speeds for row in figures.bandwidth_shares(m, speeds)]
    return {
        "title": "Our engine beside others",
        "machine": machine(),
        "versions": _versions(),
        "arguments": sys.argv[1:],
        "cores": sorted(os.sched_getaffinity(0)),
        "rounds": asked.rounds,
        "works": sorted({_described(e) for e in figures.entries.values()}),
        "loads": list(loads),
        "others_cores": round(others, 3),
        "busy_cores_before": busiest,
        "quiet": max(others, busiest) <= QUIET,
        "memory_gb_s": {str(n): round(speed, 2) for n, speed in speeds.items()},
        "first_token_s": round(first_token.first_token_s(), 3) if "nano" in names else None,
        "targets": [row for m in names for row in figures.targets(m)],
        "bandwidth": shares,
    }


def _described(entry: Entry) -> str:
    made = entry.work
    return f"{entry.model} {made.name}: {len(made.prompts)} rows, {made.tokens} new tokens"


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for about in METHODS.values():
        if about.venv and _has(about.python, about.needs):
            found[about.install.partition("==")[0]] = about.install.partition("==")[2]
    return found


def _markdown(figures: Figures, names: Sequence[str], document: Mapping[str, object]) -> str:
    here = machine()
    parts = [
        f"# {document['title']}",
        (
            f"Medians of {document['rounds']} rounds in turn, each in new processes. Machine: "
            f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB. "
            f"{document['began']}; {'quiet' if document['quiet'] else 'NOT quiet'}: others used "
            f"{document['others_cores']} cores meanwhile, {document['busy_cores_before']} at most "
            "before a round."
        ),
        "Guesses are on in the copying rows alone, since random weights repeat themselves.",
    ]
    for title, rows in (("To reach", document["targets"]), ("Memory", document["bandwidth"])):
        if isinstance(rows, list) and rows:
            parts += [f"## {title}", table(rows)]
    if document["first_token_s"] is not None:
        parts.append(
            f"First token after the start of a process, nano: {document['first_token_s']} s."
        )
    for model in names:
        parts += [f"## {model}: tokens per second", table(figures.table(model, by_cpu=False))]
        parts += [f"## {model}: tokens per CPU-second", table(figures.table(model, by_cpu=True))]
    refused = [f"- {e.model} {e.label}, {e.work.name}: {e.refusal}" for e in _refused(figures)]
    parts += ["## Refused", "\n".join(refused)] if refused else []
    return "\n\n".join(parts) + "\n"


def _refused(figures: Figures) -> list[Entry]:
    return [entry for entry in figures.entries.values() if entry.refusal is not None]


def _keep(target: Path, figures: Figures, document: Mapping[str, object], text: str) -> None:
    rows = [_row(figures, entry) for entry in figures.entries.values()]
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = {**document, "rows": rows}
    target.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
    target.with_suffix(".md").write_text(text, "utf-8")
    measured = list(dict.fromkeys(entry.model for entry in figures.entries.values()))
    for model in measured:
        works = dict.fromkeys(e.work.name for e in figures.entries.values())
        panels = {name: figures.best(model, name) for name in works if figures.done(model, name)}
        drawn = plot.bars(f"{model}: tokens per second, each method at its best", panels)
        name = target.stem if len(measured) == 1 else f"{target.stem}_{model}"
        target.with_name(f"{name}.svg").write_text(drawn, "utf-8")


def _row(figures: Figures, entry: Entry) -> dict[str, object]:
    about = {"model": entry.model, **asdict(entry.run), "work": entry.work.name}
    if not entry.samples:
        return {**about, "refusal": entry.refusal}
    return {
        **about,
        "refusal": entry.refusal,
        "tokens": entry.work.tokens,
        "repeats": entry.repeats,
        "tokens_per_s": round(entry.tokens_per_s, 1),
        "tokens_per_cpu_s": round(entry.tokens_per_cpu_s, 1),
        "peak_rss_mb": entry.peak_rss_mb,
        "agrees_with_f32": figures.agreement(entry),
        "wall_s": [round(s.wall_s, 4) for s in entry.samples],
        "cpu_s": [round(s.cpu_s, 4) for s in entry.samples],
        "others_cores": [round(s.others_s / s.wall_s / s.repeats, 2) for s in entry.samples],
    }


if __name__ == "__main__":
    main()
