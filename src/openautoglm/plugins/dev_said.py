"""What a plugin under work says while it is loaded: its own lines, and of tracebacks its own part.

Owns `Heard`. Where the log of plugins has a listener of its own, that one hears everything too.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import TYPE_CHECKING, Final, Self, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from openautoglm.errors import OpenAutoGLMError

LOGGER: Final = "openautoglm.plugins"
MAX_LINES: Final = 200
SHOWN: Final = 20
_GENERATION: Final = "/generation-"
_FRAME: Final = re.compile(r'\s+File "')
_UNHELPFUL: Final = re.compile(r"\s*fix: .*\blogger `openautoglm\.plugins")


@final
class Heard:
    """Hold what the log of plugins was told; used in a `with`.

    Args:
        scratch: folder of the copies that are loaded; what is named in there is the plugin's.
    """

    def __init__(self, scratch: Path) -> None:
        self._copy = re.compile(re.escape(f"{scratch}{_GENERATION}") + r"\d+/")
        self._lines: list[str] = []
        self._handler = _Taking(self._lines)
        self._level = logging.NOTSET

    def __enter__(self) -> Self:
        log = logging.getLogger(LOGGER)
        self._level = log.level
        log.setLevel(logging.INFO)  # what it prints, too
        log.addHandler(self._handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        log = logging.getLogger(LOGGER)
        log.removeHandler(self._handler)
        log.setLevel(self._level)

    def told(self) -> tuple[str, ...]:
        """Return what is new: frames of tracebacks that are the plugin's, and its other lines."""
        lines, self._lines[:] = self._lines[:], []
        return tuple(self._copy.sub("", line) for line in _of_plugin(lines, self._copy))[-SHOWN:]


def explained(error: OpenAutoGLMError) -> Iterator[str]:
    """Yield the lines of an error: where it came from, and nothing of a log that is told beside."""
    for line in str(error).splitlines():
        if not _UNHELPFUL.match(line):
            yield line
    cause = error.__cause__
    frames = [] if cause is None else traceback.extract_tb(cause.__traceback__)
    for frame in [each for each in frames if _GENERATION in each.filename][-1:]:
        yield f"  at: {frame.filename.partition(_GENERATION)[2].partition('/')[2]}:{frame.lineno}"


def _of_plugin(lines: Sequence[str], copy: re.Pattern[str]) -> Iterator[str]:
    is_trace = is_own = False
    for line in lines:
        if line.startswith("Traceback "):
            is_trace, is_own = True, False
        elif not is_trace:
            yield line
        elif _FRAME.match(line):
            is_own = copy.search(line) is not None
            if is_own:
                yield line
        elif not line.startswith(" "):  # the error itself, which ends in the round's error
            is_trace = False
        elif is_own:
            yield line


@final
class _Taking(logging.Handler):
    """Keep lines; what the host says of states ends in the round's error anyway."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != LOGGER:
            self._lines.append(record.getMessage())
            del self._lines[:-MAX_LINES]
