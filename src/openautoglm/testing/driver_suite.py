"""What every platform driver must do, as rows that name what is wrong.

Owns `driver_suite`. A driver that refuses this machine is asked only what needs no machine. What is
not asked: whether a write survives a power failure.
"""

from __future__ import annotations

import itertools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from openautoglm.errors import (
    InputNotFoundError,
    InvalidParameterError,
    OpenAutoGLMError,
    OutputWriteError,
    PlatformError,
)
from openautoglm.platform_io.detection import Driver, Facts, explain
from openautoglm.platform_io.interface import PlatformIO
from openautoglm.testing.suite import NotAskedError, Row, contribution_of, expect, findings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.plugins.report import Finding

PLATFORMS: Final = ("linux", "darwin", "win32", "emscripten", "wasi", "freebsd14", "")
SYSTEMS: Final = ("posix", "nt", "java", "")
THREADS: Final = 4
CONTENTS: Final = (b"", b"\x00\xff\r\n", "请总结".encode(), bytes(range(256)) * 400)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    driver: Driver
    folder: str
    is_forced: bool

    def io(self) -> PlatformIO:
        """Return the driver, loaded, where it can run."""
        why = None if self.is_forced else self.driver.refuses(explain().facts)
        if why is not None:
            raise NotAskedError(f"it refuses this machine: {why}")
        return self.driver.load()

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def driver_suite(factory: Callable[[], object], options: Mapping[str, object]) -> Iterator[Finding]:
    """Check a driver, made anew for each row.

    Args:
        factory: returns the `Driver`.
        options: `folder` that it can write in, a temporary one of this machine where none is given;
            `force`: ask everything although the driver refuses this machine.
    """
    with tempfile.TemporaryDirectory(prefix="oag-driver-") as folder:

        def make() -> _Subject:
            return _Subject(
                driver=cast("Driver", factory()),
                folder=str(options.get("folder", Path(folder).as_posix())),
                is_forced=bool(options.get("force", False)),
            )

        yield from findings_of(ROWS, make, contribution_of("driver", options))


def _chooses(subject: _Subject) -> str:
    taken = []
    for platform, system in itertools.product(PLATFORMS, SYSTEMS):
        facts = Facts(sys_platform=platform, os_name=system)
        why: object = subject.driver.refuses(facts)
        expect(why is None or isinstance(why, str), f"`refuses` returned {why!r}")
        expect(why != "", "it refuses without a reason")
        expect(why == subject.driver.refuses(facts), "asked again it answers otherwise")
        if why is None:
            taken.append(f"{platform}/{system}")
    expect(len(taken) < len(PLATFORMS) * len(SYSTEMS), "it takes every platform there can be")
    return f"takes {', '.join(taken) or 'none of the known platforms'}"


def _loads(subject: _Subject) -> str:
    io = subject.io()
    expect(isinstance(io, PlatformIO), f"{type(io).__name__} is no PlatformIO")
    return type(io).__name__


def _keeps_bytes(subject: _Subject) -> str:
    io = subject.io()
    for number, content in enumerate(CONTENTS):
        path = subject.path(f"content-{number}")
        io.write_file(path, content)
        found = io.read_file(path)
        expect(isinstance(found, bytes), f"`read_file` returned {type(found).__name__}")
        expect(found == content, f"{len(content)} bytes came back as {len(found)}, or changed")
    return f"{len(CONTENTS)} files"


def _replaces(subject: _Subject) -> str:
    io = subject.io()
    path = subject.path("replaced")
    io.write_file(path, b"a long content")
    io.write_file(path, b"short")
    expect(io.read_file(path) == b"short", f"after two writes: {io.read_file(path)!r}")
    try:
        io.write_file(path, cast("bytes", "text"))
    except InvalidParameterError:
        expect(io.read_file(path) == b"short", "a refused write changed the file")
        return "the last content"
    raise AssertionError("a text was written as if it were bytes")


def _misses_in_words(subject: _Subject) -> str:
    io = subject.io()
    for path in (subject.path("nothing"), subject.path("no/such/folder")):
        _raises(partial(io.read_file, path), InputNotFoundError, f"read of {path}")
    target = subject.path("no/such/folder")
    _raises(partial(io.write_file, target, b""), OutputWriteError, "write into a missing folder")
    return "InputNotFoundError, OutputWriteError"


def _refuses_bad_paths(subject: _Subject) -> str:
    io = subject.io()
    for path in ("", "a\0b"):
        _raises(partial(io.read_file, path), PlatformError, f"read of {path!r}")
        _raises(partial(io.write_file, path, b""), PlatformError, f"write of {path!r}")
    return "PlatformError"


def _knows_the_environment(subject: _Subject) -> str:
    io = subject.io()
    absent = "OPENAUTOGLM_NO_SUCH_VARIABLE"
    expect(io.get_env(absent) == "", f"an unset variable is {io.get_env(absent)!r}")
    expect(io.get_env(absent, "x") == "x", "the default of an unset variable is not returned")
    for key in ("", "a=b", "a\0b"):
        _raises(partial(io.get_env, key), PlatformError, f"variable {key!r}")
    return "defaults and refusals"


def _bears_threads(subject: _Subject) -> str:
    io = subject.io()
    path = subject.path("shared")
    contents = [bytes([number]) * 50_000 for number in range(THREADS)]

    def work(content: bytes) -> None:
        for _ in range(10):
            io.write_file(path, content)
            found = io.read_file(path)
            expect(found in contents, "a reader saw a part of a content")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, contents))
    return f"{THREADS} threads"


def _raises(verb: Callable[[], object], expected: type[OpenAutoGLMError], what: str) -> None:
    try:
        verb()
    except expected:
        return
    except Exception as cause:
        raise AssertionError(f"{what}: {type(cause).__name__}, not {expected.__name__}") from cause
    raise AssertionError(f"{what}: nothing was raised")


ROWS: Final[tuple[Row[_Subject], ...]] = (
    Row(
        name="driver.chooses",
        check=_chooses,
        threshold="`refuses` returns None or a reason, the same each time, for any facts",
        consequence="another platform's driver is taken, or none",
        fix="look at the facts only, and refuse all platforms but your own",
    ),
    Row(
        name="driver.loads",
        check=_loads,
        threshold="`home` is a class without arguments that makes a PlatformIO",
        consequence="the program does not start on this platform",
        fix="let `home` be module:Class",
    ),
    Row(
        name="driver.bytes",
        check=_keeps_bytes,
        threshold="what is written is read back, byte by byte",
        consequence="weights and archives are damaged",
        fix="open files in binary mode",
    ),
    Row(
        name="driver.replaces",
        check=_replaces,
        threshold="a write makes the whole content; what is no bytes is refused",
        consequence="old and new content are mixed",
        fix="write beside the file and rename; check the type first",
    ),
    Row(
        name="driver.missing",
        check=_misses_in_words,
        threshold="InputNotFoundError and OutputWriteError",
        consequence="programs cannot tell a missing file from a broken one",
        fix="raise the errors that `PlatformIO` names",
    ),
    Row(
        name="driver.paths",
        check=_refuses_bad_paths,
        threshold="PlatformError for a path that cannot be one",
        consequence="a mistake ends in an error without words",
        fix="check for an empty path and for NUL",
    ),
    Row(
        name="driver.environment",
        check=_knows_the_environment,
        threshold="the default for what is unset, PlatformError for what is no name",
        consequence="settings are read wrongly",
        fix="return `default` where the variable is unset",
    ),
    Row(
        name="driver.threads",
        check=_bears_threads,
        threshold="readers see one whole content or another",
        consequence="readers see half a file",
        fix="write beside the file under a name of its own, then rename",
    ),
)
"""In the order in which they are asked."""
