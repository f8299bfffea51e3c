"""What a platform must be able to do: read a file, write a file, look up the environment.

Knows no platform.
"""

from __future__ import annotations

import os
from typing import Protocol, TypeAlias, runtime_checkable

FilePath: TypeAlias = str | os.PathLike[str]


@runtime_checkable
class PlatformIO(Protocol):
    """Reach files and environment variables, the same way on every platform.

    Every implementation is safe to use from several threads.
    """

    def read_file(self, path: FilePath) -> bytes:
        """Return the whole content of a file.

        Raises:
            InputNotFoundError: no such file, a folder, or not readable.
            PlatformError: the path cannot be one (empty, a NUL in it), or the device failed.
        """
        ...

    def write_file(self, path: FilePath, data: bytes) -> None:
        """Make `data` the whole content of a file, atomically.

        Whoever reads the path sees the old content or the new, never a part. On failure the old
        content stays and nothing is left beside it. The folder must exist.

        Raises:
            OutputWriteError: the disk is full, the folder is missing, or writing is not allowed.
            PlatformError: the path cannot be one.
            InvalidParameterError: `data` is not bytes.
        """
        ...

    def get_env(self, key: str, default: str = "") -> str:
        """Return an environment variable, or `default` where it is unset.

        Raises:
            PlatformError: the key cannot be one (empty, `=` or a NUL in it).
        """
        ...
