"""From what a caller wrote to a backend with its model loaded.

Owns `load`: the one place that asks the machine before `choose` decides.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.engine.backend import BACKENDS
from openautoglm.engine.backends.gguf.header import is_gguf
from openautoglm.engine.choosing import HUB_NAME, Choice, choose
from openautoglm.engine.keywords import ROW_KINDS
from openautoglm.engine.sampling import check_names, sampling_names
from openautoglm.engine.source import cached_folder, find_folder
from openautoglm.errors import (
    BackendRequestError,
    BackendUnavailableError,
    InvalidParameterError,
    ModelFolderError,
    ModelNotFoundError,
    ModelTooLargeError,
    UnknownArchitectureError,
    UnsafeWeightsError,
    WeightsCorruptError,
)
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.engine.backend import Backend, BackendEntry, LoadSpec
    from openautoglm.engine.choosing import Kind

_OF_A_MODEL: Final = (
    BackendRequestError,
    BackendUnavailableError,
    ModelFolderError,
    ModelNotFoundError,
    ModelTooLargeError,
    UnknownArchitectureError,
    UnsafeWeightsError,
    WeightsCorruptError,
)


def load(
    model_path: str | os.PathLike[str] | None, backend: str | Backend, spec: LoadSpec
) -> tuple[Choice, Backend, Callable[[], Backend] | None]:
    """Choose and load; options are checked against what the chosen backend takes.

    Returns:
        What was chosen, the backend, and what loads it once more; None for a `Backend` object.
    """
    model = _read_model(model_path)
    if not isinstance(backend, str):
        return _of_object(backend, model, spec), backend, None
    with naming_variable(is_named=model is not None or backend == "nano"):
        choice = decide(model, backend, spec)
        if backend == "auto" and choice.backend == "transformers" and _is_far(choice.model):
            find_folder(replace(spec, model=choice.model))  # once it is here, it can be looked at
            choice = decide(model, backend, spec)
        entry = BACKENDS.get(choice.backend)
        _check_options(spec.options, choice.backend, entry)
        spec = replace(spec, model=choice.model)
        loaded = entry.load(spec)
    chosen: Mapping[str, object] = getattr(loaded, "again", {})
    return choice, loaded, partial(entry.load, replace(spec, options={**spec.options, **chosen}))


@contextmanager
def naming_variable(*, is_named: bool) -> Iterator[None]:
    """Have errors of a model say that `OPENAUTOGLM_MODEL` names it, unless the caller did."""
    try:
        yield
    except _OF_A_MODEL as error:
        named = Settings.from_env(os.environ).model
        if named is not None and not is_named:
            variable = f"OPENAUTOGLM_MODEL={named}"
            error.got = variable if error.got is None else f"{error.got} ({variable})"
            otherwise = "or unset OPENAUTOGLM_MODEL, for the small model of the package"
            error.fix = f"{error.fix or 'name another model'}; {otherwise}"
        raise


def _of_object(backend: Backend, model: str | None, spec: LoadSpec) -> Choice:
    if not callable(getattr(backend, "describe", None)):
        raise InvalidParameterError(
            "`backend` must be a name or a Backend",
            got=type(backend).__name__,
            fix=f"use one of: auto, {', '.join(BACKENDS.names())}",
        )
    check_names(spec.options, sampling_names())
    name = backend.describe().backend
    return Choice(backend=name, model=model, reason="a Backend object was passed")


def _check_options(options: Mapping[str, object], backend: str, entry: BackendEntry) -> None:
    """Refuse what the chosen backend does not take, and say who does."""
    known = ("device", "dtype", *sampling_names(), *entry.options)
    for name in options:
        owners = [f'"{key}"' for key in BACKENDS.names() if name in BACKENDS.get(key).options]
        if name in known or not (owners or name in ROW_KINDS):
            continue
        raise InvalidParameterError(
            f"the backend `{backend}` has no option `{name}`",
            got=f"it has: {', '.join(sorted(entry.options)) or 'none'}",
            fix=f"leave it out, or name a model and a backend that has it: {', '.join(owners)}"
            if owners
            else f"pass `{name}` to the call: run(prompt, {name}=…)",
        )
    check_names(options, known)


def decide(model: str | None, backend: str, spec: LoadSpec) -> Choice:
    """Choose the backend for a model with what this machine has; nothing is loaded."""
    settings = Settings.from_env(os.environ)
    wanted = model if model is not None else settings.model
    kind, place = _kind(wanted), wanted
    not_native = not_vllm = None
    cached = cached_folder(wanted) if wanted is not None and kind == "other" else None
    if cached is not None:
        kind, place = "folder", os.fspath(cached)
    if kind == "folder" and backend == "auto":
        found = replace(spec, model=place)
        not_native, not_vllm = _why_not("native", found), _why_not("vllm", found)
    choice = choose(
        model,
        backend=backend,
        default_model=settings.model,
        kind=kind,
        not_native=not_native,
        not_vllm=not_vllm,
    )
    if cached is None or backend != "auto":
        return choice
    return replace(choice, reason=f"{choice.reason}; it lies in the hub's cache")


def _is_far(model: str | None) -> bool:
    """Return whether a model is a name on the hub that is not in its cache."""
    is_name = model is not None and _kind(model) == "other" and HUB_NAME.fullmatch(model)
    return bool(is_name) and cached_folder(model or "") is None


def _why_not(name: str, spec: LoadSpec) -> str | None:
    entry = BACKENDS.get(name)
    unknown = [key for key in spec.options if key not in (*sampling_names(), *entry.options)]
    if unknown:
        return f"it has no option `{unknown[0]}`"
    return entry.why_not(spec) if entry.why_not is not None else "it does not say what it can run"


def _kind(model: str | None) -> Kind:
    """Return what a model's name stands for on this machine."""
    if model is None:
        return "other"
    try:
        path = Path(model).expanduser()
        if path.is_dir():
            return "folder"
        return "gguf" if is_gguf(path) else "other"
    except (OSError, RuntimeError, ValueError):  # too long for a path, nobody's `~name`, a null
        return "other"


def _read_model(model_path: object) -> str | None:
    if model_path is None:
        return None
    path = os.fspath(model_path) if isinstance(model_path, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path.strip():
        raise InvalidParameterError(
            "`model_path` must be a folder, a model name or a URL",
            got=repr(model_path),
            fix="leave it out for the model that comes with the package",
        )
    return path
