"""`oag op build`: kernel sources to a library."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.native.manifest import Manifest
    from openautoglm.native.toolchain import Built

op = typer.Typer(help="Build operators and their kernels.", no_args_is_help=True)


@op.callback()
def _group() -> None:
    """Keep `build` a command of its own, though it is the only one."""


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
