"""Where a model's folder is: on this machine, or fetched from the hub into its cache.

Owns fetching. Whatever comes from the hub is checked exactly as a local folder is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.engine.choosing import HUB_NAME
from openautoglm.engine.model_folder import BIN, SAFETENSORS, ModelFolder, inspect
from openautoglm.errors import InvalidParameterError, ModelFolderError, ModelNotFoundError
from openautoglm.settings import need

if TYPE_CHECKING:
    from openautoglm.engine.backend import LoadSpec

SMALL_FILES: Final = ["*.json", "*.txt", "*.jinja", "*.model"]
WEIGHT_FILES: Final = {SAFETENSORS: "*.safetensors", BIN: "pytorch_model*.bin"}


def find_folder(spec: LoadSpec) -> ModelFolder:
    """Return the checked folder of what was asked for.

    Raises:
        ModelNotFoundError: no such folder, and no such name on the hub.
    """
    if spec.model is None:
        raise ModelNotFoundError(
            "no model was named",
            fix="pass model_path, or set OPENAUTOGLM_MODEL, or use backend='nano'",
        )
    path = Path(spec.model).expanduser()
    if path.exists() or not HUB_NAME.fullmatch(spec.model):
        folder = inspect(path)
    else:
        offline = spec.options.get("offline", False)
        if not isinstance(offline, bool):
            raise InvalidParameterError("`offline` must be True or False", got=repr(offline))
        folder = inspect(_fetch(spec.model, offline=offline))
    if not folder.has_tokenizer:
        raise ModelFolderError(
            "no tokenizer in the model folder",
            got=folder.path,
            fix="add tokenizer.json and tokenizer_config.json of the same model",
        )
    return folder


def _fetch(name: str, *, offline: bool) -> Path:
    """Fetch a model into the hub's cache; safetensors where there are any, else .bin."""
    hub = need("huggingface_hub", extra="local", why="fetching a model by name")
    errors = need("huggingface_hub.errors", extra="local", why="fetching a model by name")
    try:
        path = Path(name)
        for pattern in WEIGHT_FILES.values():
            wanted = [*SMALL_FILES, pattern]
            path = Path(
                hub.snapshot_download(name, allow_patterns=wanted, local_files_only=offline)
            )
            if any(path.glob(pattern)):
                break
    except (errors.HTTPError, errors.HFValidationError, OSError) as cause:
        raise ModelNotFoundError(
            f"`{name}` is no folder here and could not be fetched from the model hub",
            got=f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:300],
            fix="check the path; for a hub name, check spelling, network and HF_TOKEN",
        ) from cause
    return path
