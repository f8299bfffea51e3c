"""The small model that comes with the package, run by `native`, or by `transformers` without it."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from openautoglm.engine.backends import transformers
from openautoglm.engine.backends.native.suitability import why_not
from openautoglm.errors import InvalidParameterError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.backend import Backend, LoadSpec


def load(spec: LoadSpec) -> Backend:
    """Load the weights that lie in the package; errors as the backend that runs them.

    Raises:
        ModelNotFoundError: the package was built without its weights.
        InvalidParameterError: another model was named, or a `mode` where `native` cannot run.
    """
    if spec.model not in {None, "nano"}:
        raise InvalidParameterError(
            "the backend `nano` has its own model",
            got=f"model_path={spec.model!r}",
            fix="leave model_path out, or leave backend out",
        )
    weights = files("openautoglm.engine") / "weights" / "nano"
    if not (weights / "config.json").is_file():
        raise ModelNotFoundError(
            "this installation has no nano model: its weights are missing from the package",
            got=str(weights),
            fix="install the wheel again, or name a model of your own",
        )
    with as_file(weights) as folder:
        found = replace(spec, model=str(folder))
        reason = why_not(found)
        if reason is None:
            from openautoglm.engine.backends.native import loading

            return loading.load(replace(found, options=_native(spec.options)), name="nano")
        options = dict(spec.options)
        _check_mode(options.pop("mode", "auto"), reason)
        return transformers.load(replace(found, options=options), name="nano")


def _check_mode(mode: object, reason: str) -> None:
    """Refuse a mode where the backend that has modes cannot run."""
    if mode != "auto":
        raise InvalidParameterError(
            f"`mode` is for the native backend, which cannot run nano here: {reason}",
            got=f"mode={mode!r}",
            fix="leave mode out",
        )


def _native(options: Mapping[str, object]) -> Mapping[str, object]:
    """Return the options by the names of the native backend."""
    names = {"batch_size": "slots"}
    return {names.get(name, name): value for name, value in options.items()}
