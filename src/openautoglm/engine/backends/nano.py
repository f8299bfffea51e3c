"""The small model that comes with the package, run by the `transformers` backend."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from openautoglm.engine.backends import transformers
from openautoglm.errors import InvalidParameterError, ModelNotFoundError

if TYPE_CHECKING:
    from openautoglm.engine.backend import Backend, LoadSpec


def load(spec: LoadSpec) -> Backend:
    """Load the weights that lie in the package; errors as the `transformers` backend.

    Raises:
        ModelNotFoundError: the package was built without its weights.
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
        return transformers.load(replace(spec, model=str(folder)), name="nano")
