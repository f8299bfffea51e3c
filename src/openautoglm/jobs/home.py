"""Where jobs are remembered: the ledger's URL, and a folder for logs.

Owns `ledger_url` and `log_file`. Knows nothing of what a ledger holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.errors import LedgerError
from openautoglm.platform_io.refusals import reason
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.ledger import Ledger


def ledger_url(given: str | None = None) -> str:
    """Return the ledger that is meant: the one given, that of the settings, or the one at home.

    A path is a SQLite ledger there. The folder of the one at home is made.

    Raises:
        LedgerError: that folder cannot be made.

    Example:
        >>> ledger_url("postgresql://db/jobs")
        'postgresql://db/jobs'
        >>> ledger_url("/tmp/jobs.db")
        'sqlite:////tmp/jobs.db'
    """
    named = given or Settings.from_env(os.environ).ledger
    if named is None:
        return f"sqlite:///{_made(home()) / 'ledger.db'}"
    if "://" in named:
        return named
    return f"sqlite:///{Path(named).expanduser().absolute()}"


def open_at(url: str) -> Ledger:
    """Open a ledger; errors as `open_ledger`. What it needs is imported only now."""
    from openautoglm.jobs.ledger.open import open_ledger

    return open_ledger(url)


def home() -> Path:
    """Return the folder of what is kept between runs, absolute."""
    return Settings.from_env(os.environ).home.expanduser().absolute()


def log_file(job: str) -> Path | None:
    """Return the file that a job's processes write to in words; None where none can be."""
    try:
        folder = _made(home() / "logs")
    except LedgerError:
        return None
    return folder / f"{job}.log" if os.access(folder, os.W_OK) else None


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise LedgerError(
            f"the folder of the ledger cannot be made: {reason(cause)}",
            got=str(folder),
            fix="set OPENAUTOGLM_HOME to a folder that you may write, or name a ledger",
        ) from cause
    return folder
