"""Where a model's folder is: on this machine, or fetched from the hub into its cache.

Owns fetching, and the look into the hub's cache. Whatever comes from the hub is checked exactly as
a local folder is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.engine.choosing import HUB_NAME
from openautoglm.engine.model_folder import ModelFolder, find_weights, has_tokenizer, inspect
from openautoglm.errors import InvalidParameterError, ModelFolderError, ModelNotFoundError
from openautoglm.settings import need

if TYPE_CHECKING:
    from openautoglm.engine.backend import LoadSpec

SMALL_FILES: Final = ["*.json", "*.txt", "*.jinja", "*.model"]
WEIGHT_FILES: Final = ("model*.safetensors", "pytorch_model*.bin")
BELOW: Final = "*/*"  # other formats of the same weights lie in folders of their own


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
    path = _path(spec.model)
    if path.exists() or not HUB_NAME.fullmatch(spec.model):
        folder = inspect(path)
    elif (cached := cached_folder(spec.model)) is not None:
        folder = inspect(cached)
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


def cached_folder(name: str) -> Path | None:
    """Return where the hub's cache has a whole model, None where it has none.

    It is found by the cache's layout: without the hub's library, which takes a moment to import,
    and without asking the hub whether there is a newer one.
    """
    if not HUB_NAME.fullmatch(name):
        return None
    model = _cache() / f"models--{name.replace('/', '--')}"
    try:
        revision = (model / "refs" / "main").read_text(encoding="ascii").strip()
        folder = model / "snapshots" / revision
        find_weights(folder)
    except (OSError, ValueError, ModelFolderError):
        return None
    is_whole = (folder / "config.json").is_file() and has_tokenizer(folder)
    return folder if is_whole else None


def _cache() -> Path:
    """Return the cache's folder, as the hub's library finds it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("HF_HOME") or caches / "huggingface").expanduser() / "hub"


def _path(model: str) -> Path:
    if "://" in model:
        raise ModelNotFoundError(
            "a URL is no model folder",
            got=model,
            fix="a server's URL begins with http:// or https://; give a folder without file://",
        )
    try:
        path = Path(model).expanduser()
        path.exists()
    except (OSError, RuntimeError) as cause:
        raise ModelNotFoundError(
            "the path of the model cannot be read",
            got=getattr(cause, "strerror", None) or str(cause),
            fix="point at the folder that holds config.json",
        ) from cause
    return path


def _fetch(name: str, *, offline: bool) -> Path:
    """Fetch a model into the hub's cache; safetensors where there are any, else .bin."""
    hub = need("huggingface_hub", extra="local", why="fetching a model by name")
    errors = need("huggingface_hub.errors", extra="local", why="fetching a model by name")
    try:
        path = Path(name)
        for pattern in WEIGHT_FILES:
            found = hub.snapshot_download(
                name,
                allow_patterns=[*SMALL_FILES, pattern],
                ignore_patterns=BELOW,
                local_files_only=offline,
            )
            path = Path(found)
            if any(path.glob(pattern)):
                break
    except errors.LocalEntryNotFoundError as cause:  # also when the hub was asked and is far away
        raise _not_here(name, is_offline=offline or hub.is_offline_mode()) from cause
    except (errors.HTTPError, errors.HFValidationError, OSError) as cause:
        raise ModelNotFoundError(
            f"`{name}` is no folder here and could not be fetched from the model hub",
            got=f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:300],
            fix="check the path; for a hub name, check its spelling, and HF_TOKEN if it is gated",
        ) from cause
    return path


def _not_here(name: str, *, is_offline: bool) -> ModelNotFoundError:
    """Say which of the two it is: we may not ask the hub, or we cannot reach it."""
    if is_offline:
        return ModelNotFoundError(
            f"`{name}` is no folder here and not in the hub's cache, and this is offline",
            got="offline=True, or HF_HUB_OFFLINE is set",
            fix="check the path; for a hub name, load it once without being offline",
        )
    return ModelNotFoundError(
        f"`{name}` is no folder here and not in the hub's cache, and the hub cannot be reached",
        got="no connection",
        fix="check the path; for a hub name, check the network, or copy the folder here",
    )
