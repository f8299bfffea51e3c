"""An audit log: JSON lines, each of which carries the hash of the one before it.

Owns `AuditLog` and its file. Knows nothing of what is audited.

Guards against: lines altered, removed, inserted or moved by somebody who cannot compute the
hashes, that is, anybody without the `key`; without a key, anybody who does not rewrite the rest
of the file. Does not guard against: the end of the file cut off, unless the newest hash (`head`)
is kept elsewhere and given to `verify`; the file deleted; the disk filled.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self, final

import msgspec

from openautoglm.bus.locks import lock_file
from openautoglm.bus.words import shown, written
from openautoglm.errors import AuditBrokenError, BusClosedError

if TYPE_CHECKING:
    from types import TracebackType


Fsync = Literal["always", "close"]

START: Final = "0" * 64  # what the first line says of the line before it
_HASH: Final = ',"hash":"'
_TAIL: Final = len(_HASH) + 64 + len('"}')
_MAX_TAIL: Final = 1 << 20  # read to find the last line


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What a look at a log found.

    Attributes:
        lines: how many lines are sound, from the first on.
        head: the hash of the last of them.
        broken_line: the first that is not, counted from 1, or None.
        reason: what is wrong with it.
    """

    lines: int
    head: str
    broken_line: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether every line is sound."""
        return self.broken_line is None


@final
class AuditLog:
    """Append lines to a file that shows when it was altered.

    One process writes a log at a time; threads may share one object.

    Args:
        path: the file; made where there is none, continued where there is.
        fsync: `always` syncs the disk after every line, so that a line written survives a power
            cut; `close` only at the end, so that lines survive a killed process, not a power cut.
        key: makes the hashes HMACs, so that only who has it can continue or verify the log.

    Raises:
        AuditBrokenError: the last line of the file is not sound, or another process writes it.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "audit.jsonl"
        >>> with AuditLog(path) as log:
        ...     log.write("denied", source="acme.upper", type="config.update")
        >>> verify(path).ok
        True
    """

    def __init__(
        self, path: str | os.PathLike[str], *, fsync: Fsync = "always", key: bytes | None = None
    ) -> None:
        self.path: Final = Path(path)
        self._fsync = fsync
        self._key = key
        self._lock = threading.Lock()
        self._file = self.path.open("a+b", buffering=0)
        try:
            self._own()
            self.lines, self.head = self._continue()
        except BaseException:
            self._file.close()
            raise

    def write(self, event: str, **facts: object) -> None:
        """Append one line; values that are no JSON are written as short texts of them.

        Raises:
            BusClosedError: the log is closed.
            OSError: the disk does not take it.
        """
        shown = {name: _shown(value) for name, value in facts.items()}
        with self._lock:
            if self._file.closed:
                raise BusClosedError("the audit log is closed", got=str(self.path))
            line = {
                "n": self.lines + 1,
                "time": datetime.now(UTC).isoformat(),
                "event": event,
                **{
                    name: shown[name] for name in shown if name not in {"n", "time", "prev", "hash"}
                },
                "prev": self.head,
            }
            body = msgspec.json.encode(line)[:-1]
            digest = _digest(body, self._key)
            self._append(body + f'{_HASH}{digest}"}}\n'.encode())
            self.lines, self.head = self.lines + 1, digest
            if self._fsync == "always":
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync the disk and let go of the file."""
        with self._lock:
            if not self._file.closed:
                os.fsync(self._file.fileno())
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _own(self) -> None:
        if not lock_file(self._file.fileno()):
            raise AuditBrokenError(
                "another process writes this audit log",
                got=str(self.path),
                fix="give each process a log of its own",
            )

    def _append(self, line: bytes) -> None:
        """Write all of a line, or cut off what was written of it."""
        size = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError:
            os.ftruncate(self._file.fileno(), size)
            raise

    def _continue(self) -> tuple[int, str]:
        """Return number and hash of the last line; a torn one, of a crash, is cut off and noted."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - _MAX_TAIL))
        whole, newline, torn = (self._file.read(_MAX_TAIL) or b"").rpartition(b"\n")
        if torn:
            os.ftruncate(self._file.fileno(), size - len(torn))
        if not newline:
            lines, head = 0, START
        else:
            last = whole.rpartition(b"\n")[2]
            number, head, reason = _read(last, self._key, prev=None)
            if reason:
                raise AuditBrokenError(
                    "the last line of the audit log is not sound",
                    got=f"{self.path}: {reason}",
                    fix="keep it as evidence, see what `verify` says, and start another log",
                )
            lines = number
        self.lines, self.head = lines, head
        if torn:
            self.write("torn", bytes=len(torn), sha256=hashlib.sha256(torn).hexdigest())
        return self.lines, self.head


def verify(
    path: str | os.PathLike[str], *, key: bytes | None = None, head: str | None = None
) -> AuditCheck:
    """Read a log from its first line and return the first that is not sound, if any.

    Args:
        path: the file; its writer may go on meanwhile.
        key: the key it was written with.
        head: a hash the log had at some time, kept elsewhere; a log without that line was cut.
    """
    previous, lines, seen = START, 0, head in (None, START)
    with Path(path).open("rb") as file:
        for line in file:
            number, digest, reason = _read(line.rstrip(b"\n"), key, prev=previous)
            if not reason and number != lines + 1:
                reason = f"its number is {number}, not {lines + 1}"
            if not reason and not line.endswith(b"\n"):
                reason = "it is torn"
            if reason:
                return AuditCheck(lines=lines, head=previous, broken_line=lines + 1, reason=reason)
            previous, lines = digest, lines + 1
            seen = seen or digest == head
    if not seen:
        reason = "the log ends before the line with the given hash"
        return AuditCheck(lines=lines, head=previous, broken_line=lines + 1, reason=reason)
    return AuditCheck(lines=lines, head=previous)


def _read(line: bytes, key: bytes | None, *, prev: str | None) -> tuple[int, str, str]:
    """Return number and hash of a line, and why it is not sound, or nothing."""
    body, tail = line[:-_TAIL], line[-_TAIL:]
    try:
        facts = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0, "", "it is no JSON object"
    number, digest = facts.get("n"), facts.get("hash")
    if not isinstance(number, int) or not isinstance(digest, str):
        return 0, "", "it has no number or no hash"
    if tail != f'{_HASH}{digest}"}}'.encode() or not hmac.compare_digest(
        digest.encode(), _digest(body, key).encode()
    ):
        return 0, "", "its hash is not that of its content"
    if prev is not None and facts.get("prev") != prev:
        return 0, "", "it does not follow the line before it"
    return number, digest, ""


def _digest(body: bytes, key: bytes | None) -> str:
    if key is None:
        return hashlib.sha256(body).hexdigest()
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return written(value) if isinstance(value, str) else shown(value)
