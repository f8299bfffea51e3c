"""Load a library in a process of its own, to see what happens before it happens here.

Owns the child process and its verdict. As a program (`python trial.py LIBRARY RUNTIME SYMBOL...`)
it is the child, and needs nothing but the standard library. The trial guards against crashes, hangs
and exceptions while loading and unloading; it calls no kernel, and it is no sandbox.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_S: Final = 60.0
LAST_LINES: Final = 3


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a trial: `problem` is None when the library loaded and unloaded well."""

    problem: str | None = None
    got: str | None = None


def load_in_child(
    library: Path, *, runtime: Path, symbols: Sequence[str], timeout_s: float = TIMEOUT_S
) -> Verdict:
    """Load `library` in a child process, find its symbols, unload it, and tell how it went.

    Args:
        library: the file to try.
        runtime: libtvm_ffi.so, which is there before any kernel library.
        symbols: names that must be found.
        timeout_s: how long the child may take.
    """
    command = [sys.executable, "-I", "-S", __file__, str(library), str(runtime), *symbols]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            command, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Verdict(problem="loading does not end", got=f"no answer in {timeout_s:g} s")
    if done.returncode == 0 and (answer := _answer(done.stdout)) is not None:
        return answer
    return Verdict(problem="loading ends the process", got=_ending(done.returncode, done.stderr))


def _answer(output: bytes) -> Verdict | None:
    try:
        answer = json.loads(output.splitlines()[-1])
        return Verdict(problem=answer["problem"], got=answer["got"])
    except (ValueError, LookupError, TypeError):
        return None


def _ending(code: int, errors: bytes) -> str:
    said = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
    return "; ".join([str(how), *said[-LAST_LINES:]])


def _try(library: str, runtime: str, symbols: Sequence[str]) -> Verdict:
    import _ctypes

    ctypes.CDLL(runtime, mode=os.RTLD_NOW)
    try:
        loaded = ctypes.CDLL(library, mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as error:
        return Verdict(problem="the loader refuses it", got=str(error))
    missing = [symbol for symbol in symbols if not hasattr(loaded, symbol)]
    if missing:
        return Verdict(
            problem="its manifest names symbols it does not have", got=", ".join(missing)
        )
    _ctypes.dlclose(loaded._handle)  # noqa: SLF001 - ctypes has no public way to unload
    if is_mapped(Path(library)):
        return Verdict(problem="it cannot be unloaded", got="still in memory after dlclose")
    return Verdict()


def is_mapped(library: Path) -> bool:
    """Whether a library's code lies in this process's memory, by the file's resolved path.

    Views for reading do not count: tvm-ffi's backtraces may keep one of the first library they see.
    """
    wanted = str(library.resolve())
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
        for line in maps:
            permissions = line.split(maxsplit=2)[1]
            if "x" in permissions and line.rstrip("\n").endswith(" " + wanted):
                return True
    return False


def _main(library: str, runtime: str, *symbols: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints is not our answer
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    verdict = _try(library, runtime, symbols)
    answers.write(json.dumps({"problem": verdict.problem, "got": verdict.got}) + "\n")
    answers.flush()
    os._exit(0)  # no library's farewell code


if __name__ == "__main__":
    _main(*sys.argv[1:])
