"""A plugin under work: loaded again in a running host, and its tests run, whenever a file is saved.

Owns the rounds of `oag plugin dev`. Each round loads a copy of the package, so that the generation
before it stays whole on disk and comes back where the new one fails. Files are looked at five times
a second: a project has dozens of them, and no watcher is needed for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import OpenAutoGLMError, PluginProjectError
from openautoglm.plugins import peers
from openautoglm.plugins.dev_generations import Generations
from openautoglm.plugins.dev_said import Heard, explained
from openautoglm.plugins.manifest import Manifest
from openautoglm.plugins.packing.packing import package_folder
from openautoglm.plugins.project.workspace import sibling_sources

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

PAUSE_S: Final = 0.2
MAX_FILES: Final = 20_000
_UNWATCHED: Final = frozenset({"dist", "build", "__pycache__", "node_modules"})
_NO_TESTS: Final = 5  # pytest's exit code
_SHOWN: Final = 3

Seen = dict[str, tuple[int, int]]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one save led to.

    Attributes:
        generation: counts those that were loaded; a round that fails leaves it as it was.
        changed: files, as paths in the project.
        is_good: it was loaded, and its tests pass.
        lines: for people.
    """

    generation: int
    changed: tuple[str, ...]
    is_good: bool
    lines: tuple[str, ...]


def follow(folder: Path, *, test: bool = True) -> Generator[Round, None, None]:
    """Yield a round now, and one for every save; closing the iterator stops the plugin.

    Args:
        folder: of the project.
        test: run its tests as well.

    Raises:
        PluginManifestError: there is no project of a plugin.
    """
    Manifest.from_project(folder)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="oag-dev-")))
        heard = stack.enter_context(Heard(scratch))
        generations = stack.enter_context(Generations(scratch))
        seen: Seen = {}
        while True:
            now = _settled(folder, seen)
            changed = _differences(seen, now)
            seen = now
            found = _round(folder, generations, changed, test=test)
            said = tuple(f"  {line}" for line in heard.told())
            yield replace(found, lines=(*found.lines, *(("said", *said) if said else ())))


def _round(
    folder: Path, generations: Generations, changed: tuple[str, ...], *, test: bool
) -> Round:
    lines = list(_changes(changed, is_first=generations.number == 0))
    try:
        manifest = Manifest.from_project(folder)
        peers.demand(manifest)
        siblings = sibling_sources(folder)
        started_s = time.perf_counter()
        names = generations.load(manifest, package_folder(manifest, folder), siblings)
        took_ms = (time.perf_counter() - started_s) * 1000
        is_good = True
        lines.append(f"loaded    generation {generations.number} in {took_ms:.0f} ms")
        lines += [f"  {name}" for name in names]
    except OpenAutoGLMError as error:
        is_good, siblings = False, ()
        kept = f"generation {generations.number} stays" if generations.number else "nothing runs"
        lines += [f"failed    {kept}", *(f"  {line}" for line in explained(error))]
    if is_good and test:
        is_good, told = _tested(folder, siblings)
        lines += told
    return Round(
        generation=generations.number, changed=changed, is_good=is_good, lines=tuple(lines)
    )


def _changes(changed: tuple[str, ...], *, is_first: bool) -> Iterator[str]:
    if is_first:
        return
    for name in changed[:_SHOWN]:
        yield f"changed   {name}"
    if len(changed) > _SHOWN:
        yield f"changed   {len(changed) - _SHOWN} more"


def _tested(folder: Path, siblings: tuple[Path, ...]) -> tuple[bool, list[str]]:
    """Run the project's tests in a process of their own."""
    if not (folder / "tests").is_dir():
        return True, ["tests     there are none"]
    path = os.pathsep.join([*map(str, siblings), os.environ.get("PYTHONPATH", "")]).strip(":")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if "No module named pytest" in done.stdout:
        return True, ["tests     left out: pytest is not installed"]
    if done.returncode == _NO_TESTS:
        return True, ["tests     there are none"]
    said = [line for line in done.stdout.splitlines() if line.strip()]
    last = said[-1].strip("= ") if said else "no output"
    if done.returncode == 0:
        return True, [f"tests     {last}"]
    return False, [f"tests     {last}", *(f"  {line}" for line in said[:-1])]


def _settled(folder: Path, before: Mapping[str, tuple[int, int]]) -> Seen:
    """Wait for a change, then until nothing changes any more; return what is there."""
    now = _look(folder)
    while now == before:
        time.sleep(PAUSE_S)
        now = _look(folder)
    if not before:
        return now
    while True:  # editors write in several steps
        time.sleep(PAUSE_S / 2)
        again = _look(folder)
        if again == now:
            return now
        now = again


def _look(folder: Path) -> Seen:
    """Return time and size of every file of the project."""
    seen: Seen = {}
    for above, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if n not in _UNWATCHED and not n.startswith(".")]
        for name in names:
            path = Path(above, name)
            if name.startswith(".") or name.endswith((".pyc", "~")):
                continue
            try:
                found = path.stat()
            except OSError:  # gone again
                continue
            seen[path.relative_to(folder).as_posix()] = (found.st_mtime_ns, found.st_size)
        if len(seen) > MAX_FILES:
            raise PluginProjectError(
                "there are more files in the folder than a plugin's project has",
                got=f"more than {MAX_FILES} in {folder}",
                fix="name the folder of the project, with its pyproject.toml",
            )
    return seen


def _differences(before: Seen, now: Seen) -> tuple[str, ...]:
    names = before.keys() | now.keys()
    return tuple(sorted(name for name in names if before.get(name) != now.get(name)))
