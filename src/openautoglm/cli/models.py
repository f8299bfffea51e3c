"""`oag models info`: what a model folder holds and which backend would run it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openautoglm.cli.models_kernels import kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.engine.backends.gguf.header import GgufHeader
    from openautoglm.engine.choosing import Choice
    from openautoglm.engine.model_folder import ModelFolder

WIDTH = 13

models = typer.Typer(help="Look at models.", no_args_is_help=True)
models.command()(kernels)


@models.command()
def info(
    path: Annotated[
        str | None,
        typer.Argument(metavar="[PATH|NAME|URL]", help="The model; nano where none is given."),
    ] = None,
) -> None:
    """Say what a model is, what memory it needs, and which backend would run it and why.

    Nothing is loaded and no code of the folder is run; the weights' headers and checksums are
    checked.
    """
    import os

    from openautoglm.cli.backends import NANO
    from openautoglm.engine.backend import LoadSpec
    from openautoglm.engine.loading import decide, naming_variable
    from openautoglm.engine.source import cached_folder
    from openautoglm.settings import Settings

    default = Settings.from_env(os.environ).model
    wanted = path if path is not None else default
    folder = Path(wanted) if wanted is not None else NANO
    choice = decide(path, "auto", LoadSpec())
    if choice.backend == "nano":
        folder = NANO
    elif (cached := cached_folder(str(folder))) is not None and not folder.is_dir():
        folder = cached
    with naming_variable(is_named=path is not None):
        lines = [*_model_lines(choice, folder), *_choice_lines(choice)]
    for label, text in lines:
        typer.echo(f"{label:<{WIDTH}} {text}")


def _model_lines(choice: Choice, folder: Path) -> Iterator[tuple[str, str]]:
    from openautoglm.engine.backends.gguf.header import read_gguf
    from openautoglm.engine.model_folder import inspect
    from openautoglm.errors import ModelNotFoundError

    if choice.backend == "openai":
        yield "model", f"{choice.model}: a server; what it runs is not known here"
    elif choice.backend == "gguf":
        yield from _gguf_lines(read_gguf(folder.expanduser()))
    elif folder.is_dir() or _looks_like_path(str(folder)):
        yield from _folder_lines(inspect(folder))
    elif choice.model is not None and _is_hub_name(choice.model):
        yield "model", f"{choice.model}: not a folder here; the model hub is asked when it is run"
    else:
        raise ModelNotFoundError(
            "neither a folder nor a model name", got=choice.model, fix="check the path"
        )


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or Path(model).exists()


def _is_hub_name(model: str) -> bool:
    from openautoglm.engine.choosing import HUB_NAME

    return HUB_NAME.fullmatch(model) is not None


def _folder_lines(model: ModelFolder) -> Iterator[tuple[str, str]]:
    from openautoglm.cli.machine import gib

    yield "model", str(model.path)
    yield "architecture", f"{model.architecture} ({model.model_type})"
    yield "parameters", "not known" if model.parameters is None else f"{model.parameters:,}"
    yield "dtype", ", ".join(f"{n:,} {dtype}" for dtype, n in model.counts.items()) or "not known"
    yield (
        "context",
        "not known" if model.context_length is None else f"{model.context_length} tokens",
    )
    yield "vocabulary", "not known" if model.vocabulary is None else f"{model.vocabulary} tokens"
    yield "tokenizer", "yes" if model.has_tokenizer else "no: add the tokenizer's files"
    yield "chat template", "yes" if has_chat_template(model.path) else "no"
    for file in model.weights:
        yield "file", f"{file.name}, {gib(file.stat().st_size)}"
    yield (
        "checksums",
        f"{model.checksums} of {len(model.weights)} files have one"
        + (", and it is right" if model.checksums else ""),
    )
    yield "memory", _memory(model)


def _gguf_lines(model: GgufHeader) -> Iterator[tuple[str, str]]:
    from openautoglm.cli.machine import gib, look_at_memory

    listed = model.values.get("tokenizer.ggml.tokens")
    size, free = model.file_bytes, look_at_memory().free
    fits = "" if free is None else " (fits)" if size <= free else " (does not fit)"
    yield "model", str(model.path)
    yield "architecture", model.architecture
    yield "context", _tokens(model.count("context_length") or None)
    yield "vocabulary", _tokens(len(listed) if isinstance(listed, range) else None)
    yield "chat template", "yes" if model.values.get("tokenizer.chat_template") else "no"
    yield "memory", f"{gib(size)} as stored{fits}; {gib(free)} free"


def _tokens(count: int | None) -> str:
    return "not known" if count is None else f"{count} tokens"


def _memory(model: ModelFolder) -> str:
    from openautoglm.cli.machine import gib, look_at_memory

    free = look_at_memory().free
    fits = "" if free is None else " (fits)" if model.bytes_as(4) <= free else " (does not fit)"
    as_is, as_float32 = gib(model.weights_bytes), gib(model.bytes_as(4))
    return f"{as_is} as stored, {as_float32} in float32{fits}; {gib(free)} free"


def has_chat_template(folder: Path) -> bool:
    """Return whether the folder's tokenizer knows how to write a chat."""
    import json

    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and bool(config.get("chat_template"))


def _choice_lines(choice: Choice) -> Iterator[tuple[str, str]]:
    from openautoglm.cli.backends import examine_backends
    from openautoglm.cli.machine import look

    lacks = examine_backends(look())
    yield "backend", f"{choice.backend}: {choice.reason}"
    if lacks.get(choice.backend):
        yield "", f"it cannot run yet; {lacks[choice.backend]}"
    for name, why in choice.refused:
        yield "not", f"{name}: {why}"
