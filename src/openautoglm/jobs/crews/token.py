"""Ray's token, by which a cluster knows who may join it: used where it is wanted and nobody said.

A head that finds a token asks it of everybody; who joins by an address sends none unless told to,
tries for a while, and gives up without a word about it. So the head is asked before. What it does
not see: whether `ray://` wants one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from openautoglm.errors import ClusterError

if TYPE_CHECKING:
    from openautoglm.jobs.crews.address import Address

MODE: Final = "RAY_AUTH_MODE"
WANTED: Final = 16
"""Exit code of `ASK`; gRPC's number for a caller that is not known."""
ASK: Final = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit({WANTED})
"""
LIMIT_S: Final = 30.0
FIX: Final = (
    "copy ~/.ray/auth_token of the head's user to this machine, "
    "or set RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"
)


def use_token(address: Address) -> None:
    """Let this process send its token where a cluster wants it, unless RAY_AUTH_MODE is set.

    Raises:
        ClusterError: the cluster does not take it, or none is here.
    """
    if MODE in os.environ or address.is_client or _asked(address, "disabled") != WANTED:
        return
    if _asked(address, "token") != 0:
        raise ClusterError(
            f"the Ray cluster at {address} takes nobody without its token",
            got="none here, or another one",
            fix=FIX,
        )
    os.environ[MODE] = "token"
    with contextlib.suppress(ImportError, AttributeError):  # its home may change
        # else the mode is that of when Ray was imported
        import_module("ray._raylet").Config.initialize("")


def _asked(address: Address, mode: str) -> int | None:
    """Return how a process ended that called the head; None where it took too long.

    It is one of its own, since Ray keeps the mode and complains to standard error.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and text
            [sys.executable, "-c", ASK, str(address)],
            env={**os.environ, MODE: mode},
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode
