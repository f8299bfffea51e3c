"""The driver for Python inside a browser or Node: Pyodide and other Emscripten builds.

Files live in Emscripten's virtual file system. What outlives the page is up to what is mounted:
MEMFS forgets, NODEFS is the host's disk, IDBFS keeps what `FS.syncfs` was called for. This driver
does not call it: it is asynchronous, and a write here is not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, final

from openautoglm.platform_io.refusals import checked_data, checked_key, checked_path
from openautoglm.platform_io.replacing import Abilities, read_whole, replace_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.platform_io.interface import FilePath

# fsync answers here without a disk behind it, and may be missing on a mounted file system.
ABILITIES = Abilities(
    has_folder_sync=False,
    must_sync=False,
    hint="; inside Emscripten only mounted folders reach the host's files",
)


@final
class EmscriptenIO:
    """Use Emscripten's virtual files and the environment given to the runtime when it started."""

    def __init__(self, *, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env

    def read_file(self, path: FilePath) -> bytes:
        """Return the whole content of a file; see `PlatformIO.read_file`."""
        return read_whole(checked_path(path), ABILITIES)

    def write_file(self, path: FilePath, data: bytes) -> None:
        """Replace a file by rename, which is one step here; see `PlatformIO.write_file`."""
        replace_whole(checked_path(path), checked_data(data), ABILITIES)

    def get_env(self, key: str, default: str = "") -> str:
        """Return an environment variable; see `PlatformIO.get_env`."""
        return self._env.get(checked_key(key), default)
