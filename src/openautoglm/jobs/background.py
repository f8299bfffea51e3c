"""A driver that goes on when its caller is gone: `start_driver`. Knows nothing of jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import msgspec

from openautoglm.errors import JobStateError
from openautoglm.jobs.crews.process import import_path
from openautoglm.jobs.faults import error_of
from openautoglm.jobs.home import log_file
from openautoglm.jobs.orders import Fault

PROGRAM: Final = "openautoglm.jobs.driver"


def start_driver(job: str, ledger: str, engine: str) -> None:
    """Start a driver in the background; return when the job runs.

    Args:
        job: its id.
        ledger: URL of its ledger.
        engine: what runs its workers.

    Raises:
        JobChangedError: the source, the model or anything else is not what it was begun with.
        JobStateError: another process runs the job, or the driver cannot be started.
    """
    log = log_file(job)
    # in the environment, not among the arguments, which everybody sees: there may be a password
    environment = {
        **os.environ,
        "PYTHONPATH": import_path(),
        "OPENAUTOGLM_LEDGER": ledger,
        "OPENAUTOGLM_ENGINE": engine,
    }
    with open(log or os.devnull, "ab") as words:  # noqa: PTH123 - a path or none
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-m", PROGRAM, job, "--detach"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            env=environment,
            start_new_session=True,
        )
    said = b""
    if process.stdout is not None:
        with process.stdout as line:
            said = line.readline()
    if hasattr(os, "fork"):
        process.wait()  # it leaves a process behind that nobody waits for
    _check(said, job, f"{log}" if log else "nowhere")


def _check(said: bytes, job: str, log: str) -> None:
    if said.strip() == b"{}":
        return
    try:
        fault = msgspec.json.decode(said, type=Fault)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JobStateError(
            f"the process that is to run the job `{job}` ended at once",
            got=f"what it said is in {log}",
            fix="run the job in the foreground to see why",
        ) from None
    raise error_of(fault)
