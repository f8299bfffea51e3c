"""`oag policy test|eval`: rules held to their tests, and one decision with its reasons."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.policy.document import Json
    from openautoglm.policy.suite import Row

policy = typer.Typer(help="Decide by rules in Rego, and test them.", no_args_is_help=True)

Seconds: TypeAlias = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="What one decision may take.")
]


@policy.command("test")
def run_tests(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Rules and their tests; by default the shipped ones."),
    ] = None,
    timeout: Seconds = 5.0,
) -> None:
    """Run the tests of a folder of rules, and print them as a table.

    Tests are `test_*` rules in files *_test.rego, and inputs with expected decisions in files
    *_cases.json. A test that fails makes the exit code 1.
    """
    from openautoglm.policy import DEFAULT_RULES, Limits
    from openautoglm.policy.suite import run_suite

    rows = run_suite(folder or DEFAULT_RULES, limits=Limits(timeout_s=timeout))
    for line in table(rows):
        typer.echo(line)
    if any(row.problem for row in rows):
        raise typer.Exit(1)


@policy.command("eval")
def evaluate(
    document: Annotated[
        Path, typer.Option("--input", "-i", metavar="FILE", help="The input, JSON; - is stdin.")
    ],
    rules: Annotated[
        list[Path] | None,
        typer.Option(
            "--rules", metavar="PATH", help="A file, folder or bundle; may be repeated. Else ours."
        ),
    ] = None,
    entrypoint: Annotated[
        str, typer.Option("--entrypoint", metavar="A/B", help="The package that decides.")
    ] = "plugin/admission",
    timeout: Seconds = 5.0,
) -> None:
    """Decide on one input, and print the decision as JSON; where it denies, the exit code is 1."""
    import json

    from openautoglm.policy import DEFAULT_RULES, Limits, Policy

    read = read_document(document)
    paths = rules or [DEFAULT_RULES]
    with Policy.load(*paths, limits=Limits(timeout_s=timeout)) as loaded:
        decision = loaded.decide(read, entrypoint=entrypoint)
    told = {"allow": decision.allow, "reasons": decision.reasons, "rules": decision.rules}
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    if not decision.allow:
        raise typer.Exit(1)


def read_document(path: Path) -> Mapping[str, Json]:
    """Return the JSON object in a file, or on stdin for `-`."""
    import json

    from openautoglm.errors import InputDecodeError
    from openautoglm.platform_io import detect

    text = sys.stdin.buffer.read() if str(path) == "-" else detect().read_file(path)
    try:
        read = json.loads(text)
    except ValueError as cause:
        raise InputDecodeError("the input is no JSON", got=f"{path}: {cause}") from cause
    if not isinstance(read, dict):
        raise InputDecodeError("the input is no JSON object", got=f"{path}: {type(read).__name__}")
    return read


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table and its last line, the sum."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"{'FAIL' if row.problem else 'pass'}  {row.name:<{width}}  {Path(row.file).name}"
        + (f"\n      {row.problem}" if row.problem else "")
        for row in rows
    ]
    failed = sum(row.problem is not None for row in rows)
    return [*lines, f"{len(rows) - failed} pass, {failed} fail"]
