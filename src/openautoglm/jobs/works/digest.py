"""Texts that change when something does, for fingerprints: of values, files and models.

Weights that have no checksum beside them are told apart by their size and their two ends, since
reading tens of gigabytes before every start would cost more than what it guards against. Modified
times do not count: a copy is the same model.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.errors import OpenAutoGLMError
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.jobs.spec import JobSpec

END_BYTES: Final = 1 << 20
WHOLE_BYTES: Final = 4 << 20
SMALL: Final = ("*.json", "*.jinja", "*.txt", "*.model")
WEIGHTS: Final = ("*.safetensors", "*.bin", "*.gguf")


def of_value(value: object) -> str:
    """Return the digest of what JSON holds; the order of keys does not count.

    Example:
        >>> of_value({"a": 1, "b": 2}) == of_value({"b": 2, "a": 1})
        True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_model(spec: JobSpec) -> str:
    """Return what tells a model from another one: what a folder holds, or the name of the rest.

    What a server runs behind its URL is not known; its name for it is.
    """
    named = spec.model
    if named is None and spec.backend != "nano":
        named = Settings.from_env(os.environ).model
    if named is None or named == "nano" or spec.backend == "nano":
        return f"nano {of_folder(_nano())}"
    try:
        path = Path(named).expanduser()
        if path.is_dir():
            return f"{path.name} {of_folder(path)}"
        if path.is_file():
            return f"{path.name} {of_files([path])}"
    except (OSError, RuntimeError):  # no path at all, or of nobody's home
        return named
    return _far(named)


def of_prompts(spec: JobSpec) -> dict[str, str]:
    """Return what was taken from the prompt store, as a part of a fingerprint; none for nothing."""
    if not spec.prompts:
        return {}
    return {"prompts": ", ".join(f"{where}: {taken}" for where, taken in spec.prompts.items())}


def of_folder(folder: Path) -> str:
    """Return the digest of a model folder."""
    found = {file for pattern in (*SMALL, *WEIGHTS) for file in folder.glob(pattern)}
    return of_files(sorted(found))


def of_files(files: Iterable[Path]) -> str:
    """Return the digest of files: of their names, sizes, and contents or the ends of them."""
    whole = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        whole.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= WHOLE_BYTES:
                whole.update(stream.read())
            else:
                whole.update(stream.read(END_BYTES))
                stream.seek(-END_BYTES, os.SEEK_END)
                whole.update(stream.read())
    return whole.hexdigest()[:16]


def _nano() -> Path:
    import openautoglm.engine

    return Path(openautoglm.engine.__path__[0]) / "weights" / "nano"


def _far(named: str) -> str:
    """Return what is known of a name on the hub: the revision that lies in its cache."""
    from openautoglm.engine.source import cached_folder

    try:
        cached = None if "://" in named else cached_folder(named)
    except OpenAutoGLMError:
        return named
    return named if cached is None else f"{named} {cached.name} {of_folder(cached)}"
