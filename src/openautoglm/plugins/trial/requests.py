"""Requests to a plugin's contributions: recorded ones, from a file of JSON lines.

Owns `Request` and the reading of such files. Knows nothing of how they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from openautoglm.errors import PluginCheckError

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "tests/requests.jsonl"
"""Where a project keeps its recorded requests."""

PACKED: Final = "openautoglm-requests.jsonl"
"""Where a wheel has them: in its package."""

MAX_BYTES: Final = 64 * 2**20


@final
class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of one contribution, in plain values.

    Attributes:
        contribution: its name in the manifest.
        method: what is called; empty for what the point's contributions are mainly called for.
        args: in order.
        kwargs: by name.
        params: what the contribution is made with, as a step in a pipeline's YAML.
        expected: the answer; left out where any answer will do.
        error: name of the class of the error that is the answer.
    """

    contribution: str
    method: str = ""
    args: list[Any] = msgspec.field(default_factory=list)
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    expected: Any = msgspec.UNSET
    error: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether it says what the answer is."""
        return self.expected is not msgspec.UNSET or bool(self.error)


def read_requests(file: Path) -> tuple[Request, ...]:
    """Read a file of requests, one a line; empty lines are skipped.

    Raises:
        PluginCheckError: it cannot be read; the message names the line.
    """
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise PluginCheckError(
            "the recorded requests cannot be read",
            got=f"{file}: {cause.strerror}",
            fix="check the path",
        ) from cause
    found = []
    for number, line in enumerate(data[:MAX_BYTES].splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line, type=Request))
        except msgspec.MsgspecError as cause:
            raise PluginCheckError(
                f"line {number} of the recorded requests is none",
                got=f"{file}: {cause}",
                fix='write it like {"contribution": "acme.upper", "kwargs": {"text": "a"}, '
                '"expected": {"text": "A"}}',
            ) from cause
    return tuple(found)
