"""`oag models kernels`: which kernel serves which layer, and its share of the time of decoding."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.engine.backends.native.model.model import KernelShare, Model

TIMED = 4  # steps that are timed, at least
HEAD = ("operator", "kernel", "layers", "share of the time")


def kernels(
    path: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="The model; nano if none is given.")
    ] = None,
    mode: Annotated[str, typer.Option("--mode", help="fp32, bf16, int8 or int4.")] = "fp32",
    rows: Annotated[
        int, typer.Option("--rows", min=1, max=1024, help="Sequences decoded at once.")
    ] = 8,
    position: Annotated[
        int, typer.Option("--position", min=0, help="Where in its context each stands.")
    ] = 64,
    backend: Annotated[
        str, typer.Option("--backend", help="native, or transformers: what it was given, untimed.")
    ] = "native",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, by layer.")] = False,
) -> None:
    """Say which kernel serves which layer of a model, and its share of the time.

    The backend `native` decodes a few steps of numbers that mean nothing. Kernels of plugins that
    are loaded count as in any other run; the operator's name and a call of your own to
    `ops.get(NAME).explain(...)` tell why a kernel was chosen. With `--backend transformers` it is
    which modules operators serve, and why the others are as they were.
    """
    from openautoglm.cli.backends import NANO
    from openautoglm.engine.backends.native.model.model import Model
    from openautoglm.engine.model_folder import inspect

    folder = NANO if path is None else path
    if backend != "native":
        _tell_modules(folder, backend, as_json=as_json)
        return
    inspect(folder)
    model = Model(folder, mode, slots=rows, rows=rows)  # type: ignore[arg-type] # it says so itself
    try:
        found = _decoded(model, rows, min(position, model.context - 1))
    finally:
        model.close()
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(found).decode())
        return
    for line in _table(found):
        typer.echo(line)


def _tell_modules(folder: Path, backend: str, *, as_json: bool) -> None:
    """Load a model, and say which operators serve its modules and why others are as they were."""
    from openautoglm import AutoGLM

    with AutoGLM(folder, backend=backend) as engine:
        lines = engine.model_info.kernels
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(lines).decode())
        return
    for line in lines or (f"nothing: the backend {backend} does not say",):
        typer.echo(line)


def _decoded(model: Model, rows: int, position: int) -> list[KernelShare]:
    import numpy as np

    from openautoglm.engine.backends.native.model.model import TIMED_EVERY

    slots = np.arange(rows)
    for _ in range(TIMED * TIMED_EVERY):
        model.forward(np.zeros(rows, np.int64), slots, np.full(rows, position), slots)
    return model.kernels()


def _table(found: Iterable[KernelShare]) -> Iterator[str]:
    """Yield a line for each operator and kernel, the one that takes longest first."""
    by_kernel = sorted(found, key=lambda each: (each.operator, each.kernel, each.layer))
    rows = []
    for (operator, kernel), group in groupby(by_kernel, key=lambda e: (e.operator, e.kernel)):
        parts = list(group)
        share = sum(each.share for each in parts)
        rows.append((share, operator, kernel, _layers([each.layer for each in parts])))
    cells = [HEAD, *((o, k, n, f"{s:6.1%}") for s, o, k, n in sorted(rows, reverse=True))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD) - 1)]
    for *first, last in cells:
        padded = (f"{cell:<{width}}" for cell, width in zip(first, widths, strict=True))
        yield f"{'  '.join(padded)}  {last}"


def _layers(numbers: list[int]) -> str:
    """Return layers as a person writes them.

    Example:
        >>> _layers([-1, 0, 1, 2, 5])
        'outside, 0-2, 5'
    """
    words = ["outside"] if -1 in numbers else []
    inside = [n for n in numbers if n >= 0]
    for _, group in groupby(enumerate(inside), key=lambda pair: pair[1] - pair[0]):
        run = [n for _, n in group]
        words.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(words)
