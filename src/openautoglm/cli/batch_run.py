"""`oag batch run`: its options, and the start of the job they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from openautoglm.cli.choices import Assignment, OnDuplicate, ProgressMode
from openautoglm.cli.run import (  # noqa: TC001 - typer reads the annotations when it runs
    Backend,
    MaxLength,
    Model,
    Options,
    Seed,
    Settings,
    Temperature,
)

if TYPE_CHECKING:
    from openautoglm.cli.exits import Exit
    from openautoglm.jobs.spec import JobSpec

Ledger: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        help="Where jobs are remembered; OPENAUTOGLM_LEDGER, or ledger.db in OPENAUTOGLM_HOME.",
    ),
]
Engine: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="local|ray|HOST:PORT|ray://HOST:PORT",
        help="What runs the workers: this machine; the Ray cluster it is a node of, or that "
        "RAY_ADDRESS names, else Ray on it alone; a cluster by its head. OPENAUTOGLM_ENGINE, or "
        "local. Ray needs a ledger in PostgreSQL.",
    ),
]
ShowAs: TypeAlias = Annotated[
    ProgressMode,
    typer.Option(
        "--progress", help="On stderr: a bar, a JSON line a second, nothing; auto is a terminal's."
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Background: TypeAlias = Annotated[
    bool, typer.Option("--background", help="Come back at once; the job goes on by itself.")
]

File = Annotated[
    str | None,
    typer.Argument(metavar="JOB.yaml", help="A job file; options win over what stands in it."),
]
Chosen = Annotated[
    str | None, typer.Option("--job", metavar="NAME", help="Which job of a file of several.")
]
Source = Annotated[str | None, typer.Option(metavar="URL", help="The rows: a path or a URL.")]
Sink = Annotated[
    str | None, typer.Option(metavar="URL", help="Where answers go: a file, a folder/, a table.")
]
Task = Annotated[
    str | None,
    typer.Option(metavar="TASK|FILE.yaml", help="extract, classify, summarize, or a pipeline."),
]
Template = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE", help="A prompt with {columns}, or a .txt or .json file of it."
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[@VERSION]", help="A prompt of the store: NAME, NAME@2 or NAME@alias."
    ),
]
Function = Annotated[
    str | None, typer.Option(metavar="MODULE:NAME", help="A Python function of a row's values.")
]
Schema = Annotated[
    str | None, typer.Option(metavar="FILE", help="JSON schema of the answers to --template.")
]
Name = Annotated[str | None, typer.Option(help="For people; also the beginning of the job's id.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="INPUT=COLUMN",
        help="Which column fills an input of another name. Repeatable.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column to copy to the sink. Repeatable."),
]
IdColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Names rows; else the source's own key does.")
]
Duplicates = Annotated[
    OnDuplicate | None,
    typer.Option("--on-duplicate-id", help="Refuse the job, take the first row, or all."),
]
ShardRows = Annotated[int | None, typer.Option(min=1, help="Rows that are written together; 1000.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes, each with its model; 1.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Rows under way in each; 64.")]
Resources = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="NAME=AMOUNT",
        help="What a worker needs of its node: CPU, GPU, memory, oag-camera. Repeatable.",
    ),
]
HandOut = Annotated[
    Assignment | None,
    typer.Option(help="Shards to whoever is free, the default, or every n-th to each worker."),
]
Tries = Annotated[int | None, typer.Option(min=1, help="Of a row whose error may pass; 5.")]
BudgetRows = Annotated[int | None, typer.Option(min=1, help="Pause after as many rows.")]
BudgetTokens = Annotated[int | None, typer.Option(min=1, help="Pause after as many tokens.")]
BudgetSeconds = Annotated[float | None, typer.Option(min=0, help="Pause after as long.")]
ErrorRate = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Pause where more than this part of the rows fails; 0.5."),
]
RowRate = Annotated[float | None, typer.Option("--rate", min=0, help="Most rows a second.")]
TokenRate = Annotated[float | None, typer.Option(min=0, help="Most tokens a second.")]
Cache = Annotated[
    bool | None,
    typer.Option("--cache/--no-cache", help="Answer rows with the same values once."),
]


def run(  # noqa: PLR0913 - every option of the command is a parameter
    file: File = None,
    *,
    chosen: Chosen = None,
    source: Source = None,
    sink: Sink = None,
    task: Task = None,
    template: Template = None,
    prompt: Prompt = None,
    function: Function = None,
    schema: Schema = None,
    settings: Settings = None,
    name: Name = None,
    model: Model = None,
    backend: Backend = "auto",
    options: Options = None,
    max_length: MaxLength = None,
    temperature: Temperature = None,
    seed: Seed = None,
    columns: Columns = None,
    keep: Keep = None,
    id_column: IdColumn = None,
    on_duplicate_id: Duplicates = None,
    shard_rows: ShardRows = None,
    workers: Workers = None,
    concurrency: Concurrency = None,
    resources: Resources = None,
    assignment: HandOut = None,
    tries: Tries = None,
    budget_rows: BudgetRows = None,
    budget_tokens: BudgetTokens = None,
    budget_seconds: BudgetSeconds = None,
    budget_error_rate: ErrorRate = None,
    rate: RowRate = None,
    rate_tokens: TokenRate = None,
    cache: Cache = None,
    background: Background = False,
    progress: ShowAs = "auto",
    as_json: AsJson = False,
    ledger: Ledger = None,
    engine: Engine = None,
) -> int:
    """Run a pipeline, a prompt or a function over all rows of a source, into a sink.

    Every row's answer is written once, whatever dies meanwhile; `oag batch resume` goes on where a
    run ended. The job's last state goes to stdout, progress to stderr.
    """
    from openautoglm.cli import batch_job as of
    from openautoglm.cli.parameters import read_options

    given: dict[str, object] = {
        "source": source,
        "sink": sink,
        "name": name,
        "pipeline": of.read_task(task),
        "template": template,
        "prompt": prompt,
        "function": function,
        "schema": of.read_schema(schema),
        "model": model,
        "backend": None if backend == "auto" else backend,
        "options": read_options(options or ()),
        "sampling": {"max_length": max_length, "temperature": temperature, "seed": seed},
        "columns": of.read_columns(columns),
        "keep": tuple(keep or ()),
        "id_column": id_column,
        "on_duplicate_id": on_duplicate_id,
        "shard_rows": shard_rows,
        "workers": workers,
        "concurrency": concurrency,
        "resources": of.read_resources(resources),
        "assignment": assignment,
        "tries": tries,
        "budget": {
            "rows": budget_rows,
            "tokens": budget_tokens,
            "seconds": budget_seconds,
            "error_rate": budget_error_rate,
        },
        "rate": {"rows_per_s": rate, "tokens_per_s": rate_tokens},
        "cache": cache,
    }
    spec = of.read_job(file, chosen, given, settings or ())
    with of.at_its_line(file, chosen or spec.name, given):
        if background:
            return _submit(spec, ledger, engine, json=as_json)
        return _follow(spec, ledger, engine, progress=progress, json=as_json)


def _submit(spec: JobSpec, ledger: str | None, engine: str | None, *, json: bool) -> Exit:
    from openautoglm.cli.batch_job import runnable
    from openautoglm.cli.exits import Exit, say
    from openautoglm.cli.following import named
    from openautoglm.cli.job_output import as_json

    run = runnable(spec).submit(ledger=ledger, engine=engine)
    typer.echo(as_json(run.status()) if json else run.id)
    say(f"to see how it goes: oag batch watch {run.id}{named(ledger)}")
    return Exit.OK


def _follow(
    spec: JobSpec, ledger: str | None, engine: str | None, *, progress: ProgressMode, json: bool
) -> Exit:
    from openautoglm.cli.batch_job import runnable
    from openautoglm.cli.following import follow

    job = runnable(spec)
    return follow(
        lambda tell: job.run(ledger=ledger, engine=engine, on_progress=tell),
        mode=progress,
        json=json,
        ledger=ledger,
        engine=engine,
    )
