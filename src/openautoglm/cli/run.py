"""`oag run`: a task, or a pipeline of your own, over texts."""

from __future__ import annotations

from typing import Annotated

import typer

from openautoglm.cli.choices import (  # noqa: TC001 - typer reads the annotations at run time
    DecodeErrors,
    InputFormat,
    OutputFormat,
)


def run(  # noqa: PLR0913 - every option of the command is a parameter
    task: Annotated[
        str,
        typer.Argument(metavar="TASK|FILE.yaml", help="extract, classify, summarize, or a file."),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Files, quoted globs ('**/*.txt'), `-` for standard input. "
            "A file is one record; in a .jsonl file each line is one.",
        ),
    ] = None,
    *,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="A text to work on. Repeatable.")
    ] = None,
    text_field: Annotated[
        str, typer.Option("--field", help="The field of a JSON line that holds the text.")
    ] = "text",
    input_format: Annotated[
        InputFormat, typer.Option(help="How to read inputs; auto goes by the file's name.")
    ] = "auto",
    encoding: Annotated[str, typer.Option(help="The encoding of the inputs.")] = "utf-8",
    errors: Annotated[
        DecodeErrors, typer.Option(help="What to do with bytes that are not of the encoding.")
    ] = "strict",
    output: Annotated[
        OutputFormat, typer.Option(help="A JSON line for each record, or text for people.")
    ] = "jsonl",
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write here; until all is written the name is FILE.part."
        ),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the --out file.")] = False,
    timings: Annotated[
        bool, typer.Option("--timings", help="Add the seconds each step took.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going/--stop-on-error",
            help="What to do when a record fails.",
            show_default=True,
        ),
    ] = True,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Set component.parameter, or an input of the pipeline; the value is YAML. "
            "Repeatable.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME|URL", help="The model; nano, in the package, where none is given."
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="What runs the model; see `oag doctor`.")] = "auto",
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="An option of AutoGLM or the backend, such as device=cuda or timeout_s=30. "
            "Repeatable.",
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Most tokens of an answer; 512, or what the task sets.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy, and the default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    window: Annotated[
        int, typer.Option(min=1, help="Model calls made together; 1 gives each result at once.")
    ] = 16,
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
            backend=backend,
            options=tuple(options or ()),
            sampling={"max_length": max_length, "temperature": temperature, "seed": seed},
            keep_going=keep_going,
            timings=timings,
            window=window,
        )
    )
