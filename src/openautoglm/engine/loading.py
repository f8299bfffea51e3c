"""From what a caller wrote to a backend with its model loaded.

Owns `load`: the one place that asks the machine before `choose` decides.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.engine.backend import BACKENDS
from openautoglm.engine.choosing import Choice, choose
from openautoglm.engine.sampling import check_names, sampling_names
from openautoglm.errors import InvalidParameterError
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backend import Backend, LoadSpec


def load(
    model_path: str | os.PathLike[str] | None, backend: str | Backend, spec: LoadSpec
) -> tuple[Choice, Backend, Callable[[], Backend] | None]:
    """Choose and load; options are checked against what the chosen backend takes.

    Returns:
        What was chosen, the backend, and what loads it once more; None for a `Backend` object.
    """
    model = _read_model(model_path)
    if not isinstance(backend, str):
        if not callable(getattr(backend, "describe", None)):
            raise InvalidParameterError(
                "`backend` must be a name or a Backend",
                got=type(backend).__name__,
                fix=f"use one of: auto, {', '.join(BACKENDS.names())}",
            )
        check_names(spec.options, sampling_names())
        name = backend.describe().backend
        return (
            Choice(backend=name, model=model, reason="a Backend object was passed"),
            backend,
            None,
        )
    choice = decide(model, backend, spec)
    entry = BACKENDS.get(choice.backend)
    known = ("device", "dtype", *sampling_names(), *entry.options)
    check_names(spec.options, known)
    again = partial(entry.load, replace(spec, model=choice.model))
    return choice, again(), again


def decide(model: str | None, backend: str, spec: LoadSpec) -> Choice:
    """Choose the backend for a model with what this machine has; nothing is loaded."""
    settings = Settings.from_env(os.environ)
    wanted = model if model is not None else settings.model
    is_folder = wanted is not None and _is_folder(wanted)
    not_native = None
    if is_folder and backend == "auto":
        not_native = _not_native(replace(spec, model=wanted))
    return choose(
        model,
        backend=backend,
        default_model=settings.model,
        is_folder=is_folder,
        not_native=not_native,
    )


def _not_native(spec: LoadSpec) -> str | None:
    entry = BACKENDS.get("native")
    unknown = [name for name in spec.options if name not in (*sampling_names(), *entry.options)]
    if unknown:
        return f"it has no option `{unknown[0]}`"
    return entry.why_not(spec) if entry.why_not is not None else "it does not say what it can run"


def _is_folder(model: str) -> bool:
    try:
        return Path(model).expanduser().is_dir()
    except (OSError, RuntimeError):  # a name too long for a path, or nobody's `~name`
        return False


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
