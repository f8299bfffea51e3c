"""What runs inside Ray on a node: starts the node's own openautoglm, and comes back in time.

The text of this file is what is sent, since a node may have another openautoglm or none at all: it
imports the standard library alone. It knows nothing of what the program says.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping  # noqa: TC003 - this text runs as it stands
from importlib import metadata

TAIL = 2000
"""Characters of what was written to standard error."""


def probe(
    program: str, question: bytes, limit_s: float, path: str, environment: Mapping[str, str]
) -> dict[str, object]:
    """Ask the openautoglm of this node.

    Args:
        program: the module that answers.
        question: its standard input.
        limit_s: seconds it has; it is killed then.
        path: where it looks for modules behind its own PYTHONPATH.
        environment: variables that win over those of the node.

    Returns:
        What is known of the node without asking, `said` as bytes, `code` (None for a program that
        was killed) and the end of `complaint`, its standard error.
    """
    process = subprocess.Popen(  # noqa: S603 - the interpreter of this node
        [sys.executable, "-m", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONPATH": _with_own(path)},
        start_new_session=True,
    )
    code: int | None = None
    try:
        said, complaint = process.communicate(question, timeout=limit_s)
        code = process.returncode
    except subprocess.TimeoutExpired:
        _kill(process)
        said, complaint = process.communicate()
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "openautoglm": _version("openautoglm"),
        "ray": _version("ray"),
        "memory_bytes": _free_memory(),
        "disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "said": said,
        "code": code,
        "limit_s": limit_s,
        "complaint": complaint.decode(errors="replace")[-TAIL:],
    }


def _with_own(path: str) -> str:
    return os.pathsep.join(each for each in (os.environ.get("PYTHONPATH", ""), path) if each)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # and what it started
    process.kill()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _free_memory() -> int | None:
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - nothing more is imported here than is needed
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
