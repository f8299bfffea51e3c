"""Rows with the same values, answered once: in this job, in those after it, and at the same time.

Owns `AnswerCache`. A key covers what the answer depends on: the work's fingerprint and the values
it looks at. While a row is answered, by this process or another one of this machine, rows with the
same values are parked. What it does not do: know of other machines, or wait longer than a minute
for another process, which may be paused.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Final, Self, final

import msgspec

from openautoglm.errors import LedgerError
from openautoglm.jobs.running.answers_file import AnswersFile
from openautoglm.jobs.running.asked_elsewhere import AskedElsewhere
from openautoglm.jobs.running.tries import Parked
from openautoglm.jobs.work import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from openautoglm.data.source import Row

LIMIT_BYTES: Final = 1 << 30
LONGEST_WAIT_S: Final = 60.0
"""For another process; then this one answers too."""
_encode: Final = msgspec.json.Encoder(order="sorted").encode


@final
class AnswerCache:
    """Remember answers.

    Args:
        file: of the database; made where it is missing.
        fingerprint: of the work.
        takes: names of the values it looks at; None where it may look at any.
        freed: is told of keys whose answer is there, or will not be.
        limit_bytes: the file may take.

    Raises:
        LedgerError: the file cannot be used.
    """

    def __init__(
        self,
        file: Path,
        fingerprint: Mapping[str, str],
        takes: tuple[str, ...] | None,
        freed: Callable[[bytes], None],
        *,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._start = hashlib.sha256(_encode(fingerprint))
        self._takes, self._freed = takes, freed
        self._lock = threading.Lock()
        self._under_way: set[bytes] = set()
        self._elsewhere: set[bytes] = set()
        self._waits_since_s: dict[bytes, float] = {}  # for other processes
        self._fresh: dict[bytes, Mapping[str, object]] = {}  # not in the file yet
        self._file = AnswersFile(file, limit_bytes)
        try:
            self._others = AskedElsewhere(file.with_suffix(".asked"))
        except OSError as cause:
            self._file.close()
            raise LedgerError(
                f"the cache of answers cannot be shared: {cause}", got=str(file)
            ) from cause

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        with self._lock:  # rows may still end
            self._others.close()
            self._file.close()

    def key(self, values: Row) -> bytes:
        """Return what rows with the same answer have in common."""
        if self._takes is not None:
            values = {name: values[name] for name in self._takes if name in values}
        digest = self._start.copy()
        digest.update(_encode(values))
        return digest.digest()

    def take(self, key: bytes, *, waits: bool = True) -> Answer | Parked | None:
        """Return the answer; that it is under way; or None, and whoever asked is to answer.

        Args:
            key: of the row.
            waits: for others to answer it; a row that is to be worked on alone must not.
        """
        with self._lock:
            if waits and key in self._under_way:
                return Parked(key)
            found = self._fresh.get(key)
            if found is None:
                found = self._file.read(key)
            if found is None:
                if not self._may_begin(key) and waits:
                    return Parked(key)
                found = self._file.read(key)  # it may have come since
                if found is None:
                    self._begin(key)
                else:
                    self._others.end(key)
            self._waits_since_s.pop(key, None)
        return None if found is None else Answer(outputs=found)

    def is_under_way(self, key: bytes) -> bool:
        """Whether a row with these values is being answered."""
        with self._lock:
            return key in self._under_way or key in self._elsewhere

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer."""
        with self._lock:
            self._fresh[key] = answer.outputs
            self._under_way.discard(key)
        self._freed(key)

    def give_up(self, key: bytes) -> None:
        """Let another row with these values be the one to answer."""
        with self._lock:
            self._under_way.discard(key)
            self._others.end(key)
        self._freed(key)

    def flush(self) -> None:
        """Write what is new, and look what other processes have answered."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
            if fresh:
                self._file.write(fresh)
            for key in fresh:
                self._others.end(key)
            ended = [key for key in self._elsewhere if self._has_ended(key)]
            self._elsewhere.difference_update(ended)
        for key in ended:
            self._freed(key)

    def _begin(self, key: bytes) -> None:
        self._under_way.add(key)
        self._elsewhere.discard(key)  # `put` and `give_up` free who waits for others

    def _may_begin(self, key: bytes) -> bool:
        """Whether this process is to answer; where not, another one does."""
        if self._others.begin(key):
            return True
        since_s = self._waits_since_s.setdefault(key, time.monotonic())
        if time.monotonic() - since_s >= LONGEST_WAIT_S:
            return True
        self._elsewhere.add(key)
        return False

    def _has_ended(self, key: bytes) -> bool:
        if self._others.begin(key):
            self._others.end(key)
            return True
        return time.monotonic() - self._waits_since_s.get(key, 0.0) >= LONGEST_WAIT_S
