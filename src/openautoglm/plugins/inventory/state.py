"""What is installed, as one file that is whole at any moment, and the lock its writers take.

Owns `State` and `StateFile`. Knows nothing of wheels. The lock guards against writers that ask for
it on this machine, not against an editor, nor on file systems without locks. Whoever can write the
file decides what is loaded: it lies in the user's own folder and is no defence against that user.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, final

import msgspec

from openautoglm.errors import InputNotFoundError, OpenAutoGLMError, PluginStoreError
from openautoglm.platform_io import detect
from openautoglm.plugins import ranges
from openautoglm.plugins.manifest import Manifest  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S: Final = 20.0
_PAUSE_S: Final = 0.005
Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
_ELSEWHERE: Final = "set OPENAUTOGLM_HOME to a folder that you may write and that has room"


@final
class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a wheel's signature when it was installed."""

    trusted: bool = False
    keys: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ("it was not asked for a signature",)


@final
class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a version came to.

    Attributes:
        ok: whether nothing failed.
        profile: `static` where nothing was run, `quick`, or `full`.
        digest: of the whole report; a signature may have stood for it.
        failed: rows that failed.
        warned: rows that warned.
    """

    ok: bool
    profile: str
    digest: str
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()


@final
class StoredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a plugin in the store.

    Attributes:
        manifest: the plugin's own.
        sha256: of the wheel; the name of its folder in the store.
        contents: SHA-256 of the listing of all files in that folder, dependencies included.
        dependencies: distributions of its own that lie there, name to version.
        installed: when, as ISO 8601 in UTC.
        verdict: on its signature.
        proof: of its check; None where there was none.
    """

    manifest: Manifest
    sha256: Sha256
    contents: Sha256
    installed: str
    dependencies: Mapping[str, str] = {}
    verdict: Verdict = Verdict()
    proof: Proof | None = None


@final
class StoredPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of one plugin: the one that is used and the one before it."""

    versions: Mapping[str, StoredVersion]
    current: str
    previous: str | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse a list in which the version that is used is not."""
        if not {self.current, self.previous or self.current} <= self.versions.keys():
            raise ValueError(f"version {self.current} or {self.previous} is not among them")


@final
class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that is installed.

    Attributes:
        serial: raised by every change.
        plugins: by id.
        disabled: ids of plugins of the environment that are not to be used.
        seen: the highest version that was ever in use, by id; a removed plugin stays here.
    """

    schema: Literal[1] = 1
    serial: int = 0
    plugins: Mapping[str, StoredPlugin] = {}
    disabled: tuple[str, ...] = ()
    seen: Mapping[str, str] = {}


def with_version(state: State, stored: StoredVersion, *, enable: bool) -> State:
    """Return the state in which a version is there; with `enable` it is the one used."""
    version, plugin = stored.manifest.version, stored.manifest.id
    before = state.plugins.get(plugin)
    if before is None:
        after = StoredPlugin(versions={version: stored}, current=version, enabled=enable)
        return with_plugin(state, plugin, after)
    after = msgspec.structs.replace(before, versions={**before.versions, version: stored})
    return with_plugin(state, plugin, using(after, version) if enable else after)


def is_lower(state: State, plugin: str, version: str) -> bool:
    """Say whether a version is lower than one that was installed before."""
    seen = state.seen.get(plugin, version)
    if seen == version:
        return False
    return ranges.is_lower(version, seen) is not False  # what is no version was written by hand


def using(stored: StoredPlugin, version: str) -> StoredPlugin:
    """Return a plugin with one of its versions in use; `rollback` goes back to the one before."""
    previous = stored.previous if stored.current == version else stored.current
    return msgspec.structs.replace(stored, current=version, previous=previous, enabled=True)


def with_plugin(state: State, plugin: str, stored: StoredPlugin) -> State:
    """Return the state in which a plugin is as given; the highest version in use is remembered."""
    seen = dict(state.seen)
    if stored.enabled and not is_lower(state, plugin, stored.current):
        seen[plugin] = stored.current
    return msgspec.structs.replace(state, plugins={**state.plugins, plugin: stored}, seen=seen)


def without(state: State, plugin: str, gone: tuple[str, ...]) -> State:
    """Return the state in which some versions of a plugin are gone, the plugin with the last."""
    stored = state.plugins[plugin]
    left = {name: each for name, each in stored.versions.items() if name not in gone}
    if not left:
        plugins = {name: each for name, each in state.plugins.items() if name != plugin}
        return msgspec.structs.replace(state, plugins=plugins)
    previous = stored.previous if stored.previous in left else None
    current = stored.current if stored.current in left else previous or list(left)[-1]
    after = StoredPlugin(
        versions=left,
        current=current,
        previous=None if previous == current else previous,
        enabled=stored.enabled,
    )
    return with_plugin(state, plugin, after)


def digests(state: State) -> frozenset[str]:
    """Return the names of the folders in the store that are needed."""
    return frozenset(
        version.sha256 for each in state.plugins.values() for version in each.versions.values()
    )


@final
class StateFile:
    """The file `state.json` of a home."""

    def __init__(self, home: Path) -> None:
        self.path = home / "state.json"
        self._home = home

    def read(self) -> State:
        """Return the state; nothing is installed where there is no file.

        Raises:
            PluginStoreError: the file is damaged, cannot be read, or anybody may write it.
        """
        try:
            data = detect().read_file(self.path)
        except InputNotFoundError as cause:
            if not _may_be_made(self._home):
                raise no_folder(self._home) from cause
            if not os.path.lexists(self.path):
                return State()
            raise unreadable(self.path, str(cause.got or cause.problem)) from cause
        except OpenAutoGLMError as cause:
            raise unreadable(self.path, str(cause.got or cause.problem)) from cause
        for each in (self._home, self.path):
            _refuse_open_to_all(each)
        try:
            return msgspec.json.decode(data, type=State)
        except (msgspec.MsgspecError, OpenAutoGLMError, RecursionError) as cause:
            raise PluginStoreError(
                "the list of installed plugins is damaged",
                got=f"{self.path}: {cause}",
                fix="move the file away and install the plugins again; their wheels are not in it",
            ) from cause

    @contextmanager
    def changing(self) -> Iterator[_Change]:
        """Hold the lock; what is put into `.state` in the block is written at its end.

        Raises:
            PluginStoreError: another process held the lock for `PATIENCE_S`, or the file cannot be
                written; then it is as it was.
        """
        make_folder(self._home)
        with _locked(self._home / ".lock"):
            change = _Change(self.read())
            yield change
            if change.state is not change.before:
                self._write(msgspec.structs.replace(change.state, serial=change.before.serial + 1))

    def _write(self, state: State) -> None:
        try:
            detect().write_file(self.path, msgspec.json.encode(state, order="sorted") + b"\n")
        except OpenAutoGLMError as cause:
            raise PluginStoreError(
                "the list of installed plugins cannot be written; it is as it was",
                got=str(cause.got or cause.problem),
                fix=_ELSEWHERE,
            ) from cause


@final
class _Change:
    """The state as it was, and as it will be."""

    def __init__(self, before: State) -> None:
        self.before = before
        self.state = before


def default_home() -> Path:
    """Return the folder plugins are kept in.

    `OPENAUTOGLM_HOME`, else `openautoglm` in `XDG_DATA_HOME`, else in `~/.local/share`.

    Raises:
        PluginStoreError: none of them is set, and there is no home folder.
    """
    io = detect()
    if own := io.get_env("OPENAUTOGLM_HOME"):
        return Path(own).absolute()
    if shared := io.get_env("XDG_DATA_HOME"):
        return Path(shared).absolute() / "openautoglm"
    try:
        return Path.home() / ".local/share/openautoglm"
    except RuntimeError as cause:
        raise PluginStoreError(
            "there is no folder to keep plugins in", got=str(cause), fix=_ELSEWHERE
        ) from cause


def _refuse_open_to_all(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # it was read a moment ago, and went
        return
    if mode & stat.S_IWOTH:
        raise PluginStoreError(
            "anybody may write the list of installed plugins",
            got=f"{path}: mode {mode:o}",
            fix=f"look through it, then chmod o-w {path}",
        )


def _may_be_made(folder: Path) -> bool:
    """Say whether a folder is there, or nothing stands where it would be."""
    try:
        return stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def make_folder(folder: Path) -> None:
    """Make a folder that only this user may enter, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as cause:
        raise unwritable(folder, cause) from cause


def unwritable(path: Path, cause: OSError) -> PluginStoreError:
    """Return the error for a file or folder of the store that cannot be written."""
    return PluginStoreError(
        "the store of plugins cannot be written; nothing was changed",
        got=f"{cause.filename or path}: {cause.strerror}",
        fix=_ELSEWHERE,
    )


def no_folder(home: Path) -> PluginStoreError:
    """Return the error for a home that is no folder."""
    return PluginStoreError(
        "the folder of plugins is no folder, or cannot be entered",
        got=str(home),
        fix=_ELSEWHERE,
    )


def unreadable(path: Path, why: str) -> PluginStoreError:
    """Return the error for a file of the store that cannot be read."""
    return PluginStoreError(
        "the store of plugins cannot be read",
        got=f"{path}: {why}",
        fix="give this user read permission, or set OPENAUTOGLM_HOME to another folder",
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as cause:
        raise unwritable(path, cause) from cause
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _has_locked(descriptor):
            if time.monotonic() > deadline:
                raise PluginStoreError(
                    f"another process has been changing the plugins for {PATIENCE_S:g} seconds",
                    got=str(path),
                    fix="end it, then try again; nothing was changed",
                )
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _has_locked(descriptor: int) -> bool:
    """Try once; where there are no locks it is granted."""
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            return cause.errno not in {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
    return True
