"""Programs of servers, from their Debian packages where they are not there yet."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from glob import glob
from pathlib import Path
from typing import Final

import pytest

FOLDERS: Final = ("/usr/sbin", "/usr/bin", "/usr/lib/postgresql/*/bin")


def installed(program: str, package: str) -> str:
    """Return the path of a server's program, from its Debian package if it is not there yet."""
    found = _found(program)
    if found is not None:
        return found
    if shutil.which("apt-get") is None:
        pytest.skip(f"no {program} here, and no apt-get to install it with")
    before = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with (Path(tempfile.gettempdir()) / "openautoglm-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            subprocess.run(
                [*before, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=240", *command],
                check=True,
                env=environment,
            )
    found = _found(program)
    assert found is not None, f"{package} brings no {program}"
    return found


def _found(program: str) -> str | None:
    folders = [folder for pattern in FOLDERS for folder in sorted(glob(pattern), reverse=True)]  # noqa: PTH207 - the patterns are absolute
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
