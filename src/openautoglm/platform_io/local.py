"""The driver for an operating system: Linux, macOS, the BSDs, Windows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, final

from openautoglm.platform_io.devices import found_in
from openautoglm.platform_io.refusals import checked_data, checked_key, checked_path
from openautoglm.platform_io.replacing import Abilities, read_whole, replace_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.platform_io.devices import Device
    from openautoglm.platform_io.interface import FilePath

POSIX = Abilities()
WINDOWS = Abilities(has_folder_sync=False)  # a folder cannot be opened there


@final
class LocalIO:
    """Use the operating system's files and this process's environment.

    Example:
        >>> import tempfile
        >>> io = LocalIO()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     io.write_file(f"{folder}/note.txt", b"kept whole")
        ...     io.read_file(f"{folder}/note.txt")
        b'kept whole'
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        abilities: Abilities | None = None,
        devices: Path = Path("/dev"),
    ) -> None:
        self._env = os.environ if env is None else env
        self._abilities = abilities or (WINDOWS if os.name == "nt" else POSIX)
        self._devices = devices

    def read_file(self, path: FilePath) -> bytes:
        """Return the whole content of a file; see `PlatformIO.read_file`."""
        return read_whole(checked_path(path), self._abilities)

    def write_file(self, path: FilePath, data: bytes) -> None:
        """Replace a file atomically and durably; see `PlatformIO.write_file`.

        The permission bits of a file that is replaced are kept, a symbolic link stays a link.
        """
        replace_whole(checked_path(path), checked_data(data), self._abilities)

    def get_env(self, key: str, default: str = "") -> str:
        """Return an environment variable; see `PlatformIO.get_env`."""
        return self._env.get(checked_key(key), default)

    def list_devices(self) -> tuple[Device, ...]:
        """Return the devices that this process may open; see `ListsDevices`."""
        return found_in(self._devices)
