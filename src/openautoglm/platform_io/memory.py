"""The driver that keeps files in memory, for tests and sandboxes. Touches no disk."""

from __future__ import annotations

import posixpath
import threading
from typing import TYPE_CHECKING, final

from openautoglm.platform_io import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openautoglm.platform_io.devices import Device
    from openautoglm.platform_io.interface import FilePath


@final
class MemoryIO:
    """Keep files and an environment of its own.

    Paths are POSIX paths; a relative one starts at `/`. A folder exists when a file lies in it or
    `folders` names it.

    Args:
        files: what is there at the start, path to content.
        env: the whole environment.
        folders: folders that exist though they are empty.
        capacity_bytes: the size of the "disk"; None has no end.
        devices: what it has of them.

    Example:
        >>> io = MemoryIO(files={"/in/a.txt": b"hello"}, env={"LANG": "zh_CN"})
        >>> io.write_file("/in/b.txt", io.read_file("/in/a.txt").upper())
        >>> io.read_file("/in/b.txt"), io.get_env("LANG"), io.get_env("HOME", "/")
        (b'HELLO', 'zh_CN', '/')
    """

    def __init__(
        self,
        *,
        files: Mapping[str, bytes] | None = None,
        env: Mapping[str, str] | None = None,
        folders: Iterable[str] = (),
        capacity_bytes: int | None = None,
        devices: Iterable[Device] = (),
    ) -> None:
        self._files = {
            _absolute(path): refusals.checked_data(data) for path, data in (files or {}).items()
        }
        self._env = dict(env or {})
        self._folders = frozenset(map(_absolute, folders))
        self._capacity_bytes = capacity_bytes
        self._devices = tuple(devices)
        self._lock = threading.Lock()

    def read_file(self, path: FilePath) -> bytes:
        """Return the whole content of a file; see `PlatformIO.read_file`."""
        name = _absolute(refusals.checked_path(path))
        with self._lock:
            if name in self._files:
                return self._files[name]
            if self._is_folder(name):
                raise refusals.folder_not_file(name)
            raise refusals.not_found(name, map(posixpath.basename, self._files))

    def write_file(self, path: FilePath, data: bytes) -> None:
        """Replace a file; see `PlatformIO.write_file`."""
        name, content = _absolute(refusals.checked_path(path)), refusals.checked_data(data)
        folder = posixpath.dirname(name)
        with self._lock:
            if self._is_folder(name):
                raise refusals.folder_target(name)
            if not self._is_folder(folder):
                raise refusals.missing_folder(name, folder)
            if not self._has_room(name, len(content)):
                raise refusals.disk_full(name, len(content))
            self._files[name] = content

    def get_env(self, key: str, default: str = "") -> str:
        """Return an environment variable; see `PlatformIO.get_env`."""
        return self._env.get(refusals.checked_key(key), default)

    def list_devices(self) -> tuple[Device, ...]:
        """Return the devices that were passed; see `ListsDevices`."""
        return self._devices

    def _is_folder(self, name: str) -> bool:
        inside = name.rstrip("/") + "/"
        return (
            name == "/"
            or any(known == name or known.startswith(inside) for known in self._folders)
            or any(file.startswith(inside) for file in self._files)
        )

    def _has_room(self, name: str, size: int) -> bool:
        if self._capacity_bytes is None:
            return True
        others = sum(len(data) for file, data in self._files.items() if file != name)
        return others + size <= self._capacity_bytes


def _absolute(path: str) -> str:
    return "/" + posixpath.normpath(posixpath.join("/", path)).lstrip("/")
