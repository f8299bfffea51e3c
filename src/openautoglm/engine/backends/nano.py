"""The small model that comes with the package, run by `native`, or by `transformers` without it."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

from openautoglm.engine.backends import transformers
from openautoglm.engine.backends.native.suitability import why_not
from openautoglm.errors import InvalidParameterError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.backend import Backend, LoadSpec

NATIVE: Final[Mapping[str, tuple[object, ...]]] = {
    "mode": ("auto",),
    "processes": ("auto", 1),
    "worker_timeout_s": ("auto",),
}
"""Options of `native`, and what may be said of them where it cannot run."""


def load(spec: LoadSpec) -> Backend:
    """Load the weights that lie in the package; errors as the backend that runs them.

    Raises:
        ModelNotFoundError: the package was built without its weights.
        InvalidParameterError: another model was named, or an option of `native` was, which
            cannot run here.
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
        for name, plain in NATIVE.items():
            _check_plain(name, options.pop(name, "auto"), plain, reason)
        return transformers.load(replace(found, options=options), name="nano")


def _check_plain(name: str, value: object, plain: tuple[object, ...], reason: str) -> None:
    """Refuse an option of the native backend where that cannot run."""
    if value not in plain:
        raise InvalidParameterError(
            f"`{name}` is for the native backend, which cannot run nano here: {reason}",
            got=f"{name}={value!r}",
            fix=f"leave {name} out",
        )


def _native(options: Mapping[str, object]) -> Mapping[str, object]:
    """Return the options by the names of the native backend."""
    size = options.get("batch_size", 1)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidParameterError(
            "`batch_size` must be a whole number, at least 1",
            got=repr(size),
            fix="batch_size=16, say",
        )
    names = {"batch_size": "slots"}
    return {names.get(name, name): value for name, value in options.items()}
