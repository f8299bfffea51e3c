"""Weights against the SHA-256 that lies beside them, where there is one.

`<file>.sha256` (as `sha256sum` writes it) or `weights.sha256.json` (`{"file": "hex"}`). This finds
every flipped bit; without either file only damage to structure or to the plausibility of values is
found. It does not prove who made the file: whoever can change one can change the other.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

from openautoglm.errors import ModelFolderError, WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MANIFEST: Final = "weights.sha256.json"
HEX: Final = re.compile(r"[0-9a-f]{64}")


def check_checksums(files: Iterable[Path]) -> int:
    """Check the files that have a checksum beside them; return how many that were.

    Raises:
        WeightsCorruptError: a file is not what its checksum says.
        ModelFolderError: a checksum file cannot be read.
    """
    checked = 0
    for file in files:
        expected = _sidecar(file) or _manifest(file.parent).get(file.name)
        if expected is None:
            continue
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != expected:
            raise WeightsCorruptError(
                f"the weights file `{file.name}` does not match its checksum",
                got=f"sha256 {found}, expected {expected}",
                fix="download or copy the file again",
            )
        checked += 1
    return checked


def _sidecar(file: Path) -> str | None:
    sidecar = file.with_name(file.name + ".sha256")
    if not sidecar.is_file():
        return None
    words = sidecar.read_text(encoding="utf-8", errors="replace").split()
    return _hex(sidecar, words[0] if words else "")


def _manifest(folder: Path) -> dict[str, str]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        value = json.loads(manifest.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise ModelFolderError(
            f"`{MANIFEST}` is not JSON", got=str(cause), fix="write it again, or delete it"
        ) from cause
    if not isinstance(value, dict):
        raise ModelFolderError(
            f"`{MANIFEST}` must map file names to SHA-256 digests", got=type(value).__name__
        )
    return {name: _hex(manifest, str(digest)) for name, digest in value.items()}


def _hex(source: Path, digest: str) -> str:
    digest = digest.lower()
    if not HEX.fullmatch(digest):
        raise ModelFolderError(
            f"`{source.name}` holds no SHA-256",
            got=repr(digest[:80]),
            fix="write it with `sha256sum FILE > FILE.sha256`, or delete it",
        )
    return digest
