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
from importlib import metadata

TAIL = 2000
"""Characters of what was written to standard error."""


def probe(program: str, question: bytes, limit_s: float, import_path: str) -> dict[str, object]:
    """Ask the openautoglm of this node.

    Args:
        program: the module that answers.
        question: its standard input.
        limit_s: seconds it has; it is killed then.
        import_path: where it looks for modules besides its own, as in PYTHONPATH.

    Returns:
        What is known of the node without asking, `said` as bytes, `code` (None for a program that
        was killed) and the end of `complaint`, its standard error.
    """
    process = subprocess.Popen(  # noqa: S603 - the interpreter of this node
        [sys.executable, "-m", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": _paths(import_path)},
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
        "complaint": complaint.decode(errors="replace")[-TAIL:],
    }


def _paths(import_path: str) -> str:
    own = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(path for path in (import_path, own) if path)


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
