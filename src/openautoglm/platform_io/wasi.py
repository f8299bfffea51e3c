"""The driver for Python in a WASI host (wasmtime and others).

The host decides what exists: a folder that was not preopened is not there, and the environment is
empty unless variables were passed. There are no permission bits and no file locks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, final

from openautoglm.platform_io.refusals import checked_data, checked_key, checked_path
from openautoglm.platform_io.replacing import Abilities, read_whole, replace_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.platform_io.interface import FilePath

ABILITIES = Abilities(
    has_modes=False,
    has_folder_sync=False,
    must_sync=False,
    hint="; inside WASI a folder must be preopened: wasmtime run --dir FOLDER",
)


@final
class WasiIO:
    """Use the folders and the environment the WASI host handed over."""

    def __init__(self, *, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env

    def read_file(self, path: FilePath) -> bytes:
        """Return the whole content of a file; see `PlatformIO.read_file`."""
        return read_whole(checked_path(path), ABILITIES)

    def write_file(self, path: FilePath, data: bytes) -> None:
        """Replace a file by rename, as atomic as the host's; see `PlatformIO.write_file`."""
        replace_whole(checked_path(path), checked_data(data), ABILITIES)

    def get_env(self, key: str, default: str = "") -> str:
        """Return an environment variable; see `PlatformIO.get_env`."""
        return self._env.get(checked_key(key), default)
