"""`oag op`: kernel sources to a library, and operators held to their contracts."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.native.manifest import Manifest
    from openautoglm.native.toolchain import Built

op = typer.Typer(help="Build and check operators and their kernels.", no_args_is_help=True)


@op.command()
def build(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with *.c, *.cc, *.cpp and *.cu files.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Copy the library to this file.")
    ] = None,
    cuda: Annotated[
        bool | None,
        typer.Option("--cuda/--no-cuda", help="Demand or leave out *.cu; else where nvcc is."),
    ] = None,
    flag: Annotated[
        list[str] | None, typer.Option("--flag", help="One more compiler flag; may be repeated.")
    ] = None,
) -> None:
    """Compile a folder of kernels to one library, and say what is in it.

    The library lies in the cache under a name made from its content; it is built again only when a
    source, a header, a flag or the compiler changed. Nothing of it is loaded.
    """
    from openautoglm.native.library import examine
    from openautoglm.native.manifest import parse
    from openautoglm.native.toolchain import build_folder

    built = build_folder(folder, flags=flag or (), cuda=cuda)
    rows = parse(examine(built.path).manifest)
    if out is not None:
        _copy(built.path, out)
    for line in _lines(built, rows, out or built.path):
        typer.echo(line)


@op.command()
def check(  # noqa: PLR0913, PLR0917 - options of a command
    target: Annotated[
        str,
        typer.Argument(metavar="NAME|PATH", help="An operator, a .py file, a folder, a library."),
    ],
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report here as well.")
    ] = None,
    kernels: Annotated[
        list[str] | None,
        typer.Option("--kernels", metavar="NAME", help="A kernel or library; may be repeated."),
    ] = None,
    grad: Annotated[bool, typer.Option("--grad/--no-grad", help="Check gradients.")] = True,
    dtype: Annotated[
        list[str] | None, typer.Option("--dtype", help="Of the first input; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="All values follow from it.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer samples, and graphs are only traced.")
    ] = False,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="Build a folder with AddressSanitizer first.")
    ] = False,
) -> None:
    """Hold an operator to its contract, and print what was found as a table.

    Every kernel is compared with the reference, in a process of its own; then gradients, graphs,
    autocast and vmap are checked in torch, where it is installed. A row that fails names the
    smallest input that shows it, and makes the exit code 1.
    """
    from openautoglm.ops.check import check as run

    report = run(
        target,
        kernels=kernels or "all",
        grad=grad,
        dtypes=dtype,
        seed=seed,
        profile="quick" if quick else "full",
        sanitize=sanitize,
    )
    typer.echo(str(report))
    if json is not None:
        json.write_text(report.to_json() + "\n", encoding="utf-8")
    if not report.ok:
        raise typer.Exit(1)


def _copy(library: Path, out: Path) -> None:
    from openautoglm.native.cache import put

    put(out, library.read_bytes(), mode=0o755)


def _lines(built: Built, rows: Manifest, path: Path) -> Iterator[str]:
    yield f"library   {path}{'' if built.is_new else ' (cached)'}"
    for operator in rows.operators:
        yield f"operator  {operator.schema}"
    for kernel in rows.kernels:
        words = (kernel.op, kernel.device, kernel.isa, " ".join(kernel.dtypes) or "every dtype")
        yield f"kernel    {' · '.join(word for word in words if word)}"
    for source, why in built.left_out:
        yield f"left out  {source.name}: {why}"
