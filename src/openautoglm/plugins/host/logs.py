"""What a plugin prints, line by line, into the host's log; no more than a host can bear.

Owns `Printed`, and `logged_at`, where people find it. Knows nothing of processes.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

LINES_A_SECOND: Final = 100
LONGEST_LINE: Final = 2_000
LAST_LINES: Final = 20
READ_BYTES: Final = 65_536

_LEVELS: Final = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}


def logged_at(plugin: str) -> str:
    """Say where the log of a plugin is: the files and streams that its logger writes to.

    Example:
        >>> logged_at("acme.upper")  # doctest: +ELLIPSIS
        'the logger `openautoglm.plugins.acme.upper`, which writes to ...'
    """
    name = f"openautoglm.plugins.{plugin}"
    logger: logging.Logger | None = logging.getLogger(name)
    places: list[str] = []
    while logger is not None:
        places += map(_place_of, logger.handlers)
        logger = logger.parent if logger.propagate else None
    where = ", ".join(dict.fromkeys(places))
    plain = 'standard error, warnings only; logging.basicConfig(level="INFO") shows all'
    return f"the logger `{name}`, which writes to {where or plain}"


def _place_of(handler: logging.Handler) -> str:
    if isinstance(handler, logging.FileHandler):
        return handler.baseFilename
    stream = getattr(handler, "stream", None)
    return str(getattr(stream, "name", type(handler).__name__)).strip("<>")


@final
class Printed:
    """One of a worker's outputs.

    Attributes:
        last: the lines printed last, for whoever asks why the worker died.
        dropped: lines that came faster than `LINES_A_SECOND`; counted, and said in the log.

    Args:
        tell: takes a level of `logging` and a line.
        level: of lines that do not begin with the name of one.
    """

    def __init__(self, tell: Callable[[int, str], None], *, level: int) -> None:
        self._tell = tell
        self._level = level
        self._rest = b""
        self._second = 0
        self._told = 0
        self._unsaid = 0
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self.dropped = 0

    def feed(self, data: bytes, now: float) -> None:
        """Take what was read; empty at the end of the output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._one(line[:LONGEST_LINE].decode(errors="backslashreplace").rstrip(), now)
        if not data:
            self._say_dropped()

    def _one(self, line: str, now: float) -> None:
        if not line:
            return
        shown = "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in line)
        self.last.append(shown)
        if int(now) != self._second:
            self._say_dropped()
            self._second, self._told = int(now), 0
        self._told += 1
        if self._told > LINES_A_SECOND:
            self.dropped += 1
            self._unsaid += 1
            return
        self._tell(_LEVELS.get(shown.partition(" ")[0], self._level), shown)

    def _say_dropped(self) -> None:
        if self._unsaid:
            self._tell(logging.WARNING, f"{self._unsaid} more lines in that second were dropped")
            self._unsaid = 0
