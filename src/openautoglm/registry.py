"""Named entries that have an owner, so that unloading an owner is one call.

Owns `Registry` and `owned_by`. Knows nothing of what the entries are.
"""

from __future__ import annotations

import difflib
import os
import threading
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

from openautoglm.errors import NameTakenError, NoOwnerError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

CORE_OWNER = "openautoglm"
ON_DEMAND: Final = "openautoglm.plugins.on_demand"
"""Asked for a name that is not there; imported then, by name, since it stands above this module."""

_starts_plugins = True
_watched: frozenset[str] = frozenset()
_owner: ContextVar[str | None] = ContextVar("openautoglm_registry_owner", default=None)


@contextmanager
def owned_by(owner: str) -> Iterator[None]:
    """Make `owner` the owner of every entry added inside the block, in this thread or task.

    Example:
        >>> greetings: Registry[str] = Registry("greeting")
        >>> with owned_by("plugin.polite"):
        ...     greetings.add("hello", "good day")
        >>> greetings.revoke("plugin.polite")
        ('hello',)
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def start_no_plugins() -> None:
    """Start no plugin for a name that is not there, from now on; for the processes of plugins."""
    global _starts_plugins  # noqa: PLW0603 - a process is one for plugins or not
    _starts_plugins = False


def watch(owner: str) -> None:
    """Look whether an owner is as it is installed, whenever an entry of it is asked for."""
    global _watched  # noqa: PLW0603 - readers see an immutable snapshot, a change replaces it
    _watched |= {owner}


def current_owner() -> str | None:
    """Return who owns what is added now, or None outside any `owned_by`."""
    return _owner.get()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[T]):
    """One named value and who added it."""

    name: str
    value: T
    owner: str


@final
class Registry(Generic[T]):
    """Hold entries of one kind by name.

    Safe to use from several threads: readers see an immutable snapshot, a change replaces it.

    Args:
        noun: what an entry is called in messages, e.g. "step".
        builtins: adds the built-in entries; called once, at the first look, inside
            `owned_by("openautoglm")`, so that importing the package registers nothing.
        point: the extension point that plugins add entries by. With one, a name that is not there
            is looked for in the plugins that are installed, and the one that has it is started.

    A forked process has the entries of the one it came from.
    """

    def __init__(
        self,
        noun: str,
        *,
        builtins: Callable[[Registry[T]], None] | None = None,
        point: str | None = None,
    ) -> None:
        self._noun = noun
        self._point = point
        self._builtins = builtins
        self._loading: Callable[[Registry[T]], None] | None = None
        self._entries: Mapping[str, Entry[T]] = {}
        self._lock = threading.RLock()
        _all.add(self)

    def add(self, name: str, value: T) -> None:
        """Add an entry for the owner of the enclosing `owned_by`.

        Raises:
            NoOwnerError: outside any `owned_by`.
            NameTakenError: the name has an entry already; nothing is overridden.
        """
        owner = _owner.get()
        if owner is None:
            raise NoOwnerError(
                f"{self._noun} `{name}` was added without an owner",
                fix='add it inside `with owned_by("plugin-id"):`',
            )
        self._load_builtins()
        with self._lock:
            taken = self._entries.get(name)
            if taken is not None:
                raise self._taken(name, taken.owner, owner)
            self._entries = {**self._entries, name: Entry(name=name, value=value, owner=owner)}

    def get(self, name: str) -> T:
        """Return the value of an entry.

        Raises:
            UnknownNameError: no such entry; the message lists those there are.
        """
        return self.entry(name).value

    def entry(self, name: str) -> Entry[T]:
        """Return an entry with its owner; errors as `get`."""
        self._load_builtins()
        given: object = name
        if self._point is not None and _starts_plugins and isinstance(given, str):
            found = self._entries.get(given)
            if found is None or found.owner in _watched:
                import_module(ON_DEMAND).look(self._point, name)
        return self._there(name)

    @property
    def state(self) -> object:
        """What is another object after every change, for who keeps what was found here."""
        return self._entries

    def has(self, name: str) -> bool:
        """Return whether `get` would find an entry; this starts the plugin that has it."""
        try:
            self.entry(name)
        except UnknownNameError:
            return False
        return True

    def _there(self, name: str) -> Entry[T]:
        """Return an entry that is there, and start nothing; errors as `get`."""
        given: object = name
        if not isinstance(given, str):
            raise UnknownNameError(
                f"{self._noun}: one is asked for by its name",
                got=repr(given),
                fix="pass the name, a text",
            )
        self._load_builtins()
        try:
            return self._entries[name]
        except KeyError:
            can = "install the plugin that brings it" if self._point else f"add the {self._noun}"
            raise UnknownNameError(
                f"no {self._noun} is called `{name}`",
                got=f"known: {', '.join(self.names()) or 'none'}",
                fix=suggest(name, self.names()) or f"check the name, or {can}",
            ) from None

    def _taken(self, name: str, holder: str, owner: str) -> NameTakenError:
        fix = "choose another name, or revoke the other owner first"
        if holder == owner:
            fix = "add it once"
            if self._point is not None:
                fix = "stop the plugin in the host that runs it, or start it with register=False"
        got = f"{owner} adds what {holder} added before"
        return NameTakenError(f"{self._noun} `{name}` is taken", got=got, fix=fix)

    def names(self) -> tuple[str, ...]:
        """Return the names of all entries, sorted."""
        self._load_builtins()
        return tuple(sorted(self._entries))

    def exchange(self, name: str, value: T) -> T:
        """Put another value under a name, for the same owner; return the old one.

        Raises:
            UnknownNameError: no such entry.
        """
        with self._lock:
            old = self._there(name)
            entry = Entry(name=name, value=value, owner=old.owner)
            self._entries = {**self._entries, name: entry}
            return old.value

    def remove(self, name: str) -> T:
        """Remove one entry and return its value; errors as `exchange`."""
        with self._lock:
            old = self._there(name)
            self._entries = {n: e for n, e in self._entries.items() if n != name}
            return old.value

    def revoke(self, owner: str) -> tuple[str, ...]:
        """Remove all that `owner` added and nothing else; return the names removed, sorted."""
        with self._lock:
            gone = tuple(sorted(n for n, e in self._entries.items() if e.owner == owner))
            self._entries = {n: e for n, e in self._entries.items() if e.owner != owner}
        return gone

    def _renew_lock(self) -> None:
        """Take a lock that nobody holds: in a forked process, the old one's holder is not there."""
        self._lock = threading.RLock()
        if self._loading is not None:
            self._start_again(self._loading)

    def _load_builtins(self) -> None:
        with self._lock:
            if self._builtins is None:
                return
            load = self._loading = self._builtins
            self._builtins = None
            try:
                with owned_by(CORE_OWNER):
                    load(self)
            except BaseException:  # the next look tries again instead of finding half of them
                self._start_again(load)
                raise
            finally:
                self._loading = None

    def _start_again(self, load: Callable[[Registry[T]], None]) -> None:
        self.revoke(CORE_OWNER)
        self._builtins, self._loading = load, None


_all: Final[weakref.WeakSet[Registry[Any]]] = weakref.WeakSet()


def _renew_locks() -> None:
    for each in tuple(_all):
        each._renew_lock()  # noqa: SLF001 - the registries of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def suggest(name: str, known: tuple[str, ...]) -> str | None:
    """Return "did you mean `x`?" for the known name that is nearest, or None when none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else None
