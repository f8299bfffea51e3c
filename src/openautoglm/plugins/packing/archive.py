"""The bytes of a wheel: order, times and modes are always the same, and RECORD is written.

Knows nothing of plugins. Files are stored and not deflated, so that the bytes do not depend on
which zlib there is.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import tempfile
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from openautoglm.errors import PluginProjectError
from openautoglm.plugins.reading import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first moment a zip can tell


def archive(contents: Mapping[str, bytes], info: str) -> bytes:
    """Return the bytes of a zip whose order, times and modes are always the same."""
    ordered = sorted(contents.items(), key=lambda item: (item[0].startswith(info), item[0]))
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    rows.writerows([name, f"sha256={_hash(data)}", len(data)] for name, data in ordered)
    rows.writerow([f"{info}/RECORD", "", ""])
    with tempfile.SpooledTemporaryFile(max_size=1 << 26) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as written:
            for name, data in [*ordered, (f"{info}/RECORD", record.getvalue().encode())]:
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o100644 << 16
                entry.create_system = 3
                written.writestr(entry, data)
        file.seek(0)
        return file.read()


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def put(out: Path, name: str, data: bytes) -> Path:
    """Write a file that appears whole or not at all, and return its path.

    Raises:
        PluginProjectError: the folder or the file cannot be written.
    """
    beside = out / f".{name}.{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        return beside.replace(out / name)
    except OSError as cause:
        with suppress(OSError):
            beside.unlink()
        raise PluginProjectError(
            "the wheel cannot be written",
            got=f"{shown(str(out / name))}: {cause.strerror}",
            fix="make room, or name another folder with --out",
        ) from cause
