"""What bounds the worker processes of a backend.

Owns `Limits`, and for how long a worker that says nothing is waited for. Knows no processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.model_folder import ModelFolder

SILENCE_S: Final = 300.0
STEP_TOKENS: Final = 512
"""Tokens that a step reads at most; a worker says after each step that it lives."""
SLOWEST: Final = 1e9
"""Weights times tokens that the slowest of machines computes in a second."""
FOREVER_S: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds a pool.

    Attributes:
        most: processes at most.
        slots: rows that a process decodes at once.
        timeout_s: how long a process may give no sign of life while it has something to do.
    """

    most: int
    slots: int
    timeout_s: float = SILENCE_S


def read_timeout(options: Mapping[str, object], folder: ModelFolder) -> float:
    """Return for how long a worker process may be silent, in seconds.

    Unless `worker_timeout_s` says so it is 300, or as long as a step of a large model may take.

    Raises:
        InvalidParameterError: `worker_timeout_s` is no such time.
    """
    given = options.get("worker_timeout_s", "auto")
    if given == "auto":
        weights = folder.parameters or folder.weights_bytes // 2
        return max(SILENCE_S, weights * STEP_TOKENS / SLOWEST)
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given >= 1:
        raise InvalidParameterError(
            "`worker_timeout_s` must be seconds, at least 1",
            got=repr(given),
            fix="worker_timeout_s=600, say; inf waits for ever",
        )
    return float(min(given, FOREVER_S))
