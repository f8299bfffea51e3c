"""`oag run`: a task, or a pipeline of your own, over texts."""

from __future__ import annotations

from typing import Annotated

import typer

from openautoglm.cli.choices import (
    DecodeErrors,
    InputFormat,
    OutputFormat,
)

Task = Annotated[
    str,
    typer.Argument(metavar="TASK|FILE.yaml", help="extract, classify, summarize, or a file."),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Files, quoted globs ('**/*.txt'), `-` for standard input. "
        "A file is one record; in a .jsonl file each line is one.",
    ),
]
Texts = Annotated[list[str] | None, typer.Option("--text", help="A text to work on. Repeatable.")]
Field = Annotated[
    str, typer.Option("--field", help="The field of a JSON line that holds the text.")
]
ReadAs = Annotated[
    InputFormat, typer.Option(help="How to read inputs; auto goes by the file's name.")
]
Encoding = Annotated[str, typer.Option(help="The encoding of the inputs.")]
Undecodable = Annotated[
    DecodeErrors, typer.Option(help="What to do with bytes that are not of the encoding.")
]
Shape = Annotated[
    OutputFormat, typer.Option(help="A JSON line for each record, or text for people.")
]
OutFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write here; until all is written the name is FILE.part."),
]
Append = Annotated[bool, typer.Option("--append", help="Add to the --out file.")]
Timings = Annotated[bool, typer.Option("--timings", help="Add the seconds each step took.")]
KeepGoing = Annotated[
    bool,
    typer.Option(
        "--keep-going/--stop-on-error",
        help="What to do when a record fails.",
        show_default=True,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set component.parameter, or an input of the pipeline; the value is YAML. Repeatable.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|NAME|URL", help="The model; nano, in the package, where none is given."
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="A LoRA adapter for the model: a folder that peft saved."),
]
Backend = Annotated[str, typer.Option(help="What runs the model; see `oag doctor`.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of AutoGLM or the backend, such as device=cuda or timeout_s=30. "
        "Repeatable.",
    ),
]
MaxLength = Annotated[
    int | None, typer.Option(help="Most tokens of an answer; 512, or what the task sets.")
]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy, and the default.")]
Seed = Annotated[int | None, typer.Option(help="Makes sampling repeatable.")]
Window = Annotated[
    int, typer.Option(min=1, help="Model calls made together; 1 gives each result at once.")
]


def run(  # noqa: PLR0913 - every option of the command is a parameter
    task: Task,
    inputs: Inputs = None,
    *,
    text: Texts = None,
    text_field: Field = "text",
    input_format: ReadAs = "auto",
    encoding: Encoding = "utf-8",
    errors: Undecodable = "strict",
    output: Shape = "jsonl",
    out: OutFile = None,
    append: Append = False,
    timings: Timings = False,
    keep_going: KeepGoing = True,
    settings: Settings = None,
    model: Model = None,
    adapter: Adapter = None,
    backend: Backend = "auto",
    options: Options = None,
    max_length: MaxLength = None,
    temperature: Temperature = None,
    seed: Seed = None,
    window: Window = 16,
) -> int:
    """Run a task over texts; results go to stdout in order, errors and progress to stderr."""
    from openautoglm.cli.inputs import Reading
    from openautoglm.cli.running import RunOptions, run_task

    return run_task(
        RunOptions(
            task=task,
            inputs=tuple(inputs or ()),
            texts=tuple(text or ()),
            reading=Reading(
                format=input_format, text_field=text_field, encoding=encoding, errors=errors
            ),
            output=output,
            out=out,
            append=append,
            settings=tuple(settings or ()),
            model=model,
            adapter=adapter,
            backend=backend,
            options=tuple(options or ()),
            sampling={"max_length": max_length, "temperature": temperature, "seed": seed},
            keep_going=keep_going,
            timings=timings,
            window=window,
        )
    )
