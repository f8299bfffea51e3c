"""What importing a plugin really did, seen from inside the process it was imported in.

Owns `Watch`: Python's audit events while code runs, and the process before and after it. Events
count where the plugin's own code, and not a package it imports, brought them about. Native code
makes no audit events; what it does to files and the network, the sandbox stops.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from types import BuiltinFunctionType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, final

from openautoglm.plugins.trial import held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

Registered = TypeVar("Registered", bound="Callable[..., Any]")
WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS: Final[Mapping[str, str]] = {
    "socket.__new__": "uses the network",
    "socket.getaddrinfo": "uses the network",
    "subprocess.Popen": "starts a process",
    "os.system": "starts a process",
    "os.exec": "starts a process",
    "os.fork": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.mkdir": "changes files",
    "os.remove": "changes files",
    "os.rename": "changes files",
    "os.rmdir": "changes files",
    "os.link": "changes files",
    "os.symlink": "changes files",
    "os.truncate": "changes files",
    "shutil.rmtree": "changes files",
    "sqlite3.connect": "changes files",
    "ctypes.dlopen": "loads a native library",
}
IMPORTING: Final = "importlib._bootstrap"
CODE: Final = (type, FunctionType, BuiltinFunctionType)


@final
class Watch:
    """Looks on while a block runs; `found` says what it did, afterwards.

    An audit hook can never be taken away, so make one a process.

    Attributes:
        found: what the plugin's code did, in sentences without a subject.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._is_on = False
        self._before: dict[str, object] = {}
        self._names: dict[str, dict[str, object]] = {}
        self.found: list[str] = []
        sys.addaudithook(self._hear)

    def __enter__(self) -> Self:
        self._before = _process()
        self._names = _names()
        self._register = atexit.register
        atexit.register = self._note  # type: ignore[assignment] # the same call, looked at
        self._is_on = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_on = False
        atexit.register = self._register
        after = _process()
        for name, old in self._before.items():
            if after[name] != old:
                self._add(f"{name}: {_difference(old, after[name])}")
        for change in _changes(self._names, self._package):
            self._add(change)

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if not self._is_on:
            return
        kind = "changes files" if event == "open" and _writes(args) else EVENTS.get(event)
        if kind is not None and self._is_own():
            self._add(f"{kind}: {event} {str(args[0])[:80] if args else ''}".rstrip())

    def _note(self, function: Registered, *args: object, **more: object) -> Registered:
        if self._is_own():
            self._add(f"installs a handler for the process: atexit.register {function!r}"[:120])
        self._register(function, *args, **more)
        return function

    def _add(self, text: str) -> None:
        if text not in self.found:
            self.found.append(text)

    def _is_own(self) -> bool:
        """Whether the innermost code that is no part of Python is the plugin's.

        What Python's own modules do while they are imported is theirs.
        """
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - there is no public way
        while frame is not None:
            name = str(frame.f_globals.get("__name__", ""))
            module = name.partition(".")[0]
            if module == self._package:
                return True
            if module not in sys.stdlib_module_names or name == IMPORTING:
                return False
            frame = frame.f_back
        return False


def _writes(args: tuple[object, ...]) -> bool:
    flags = args[2] if len(args) > 2 else 0  # noqa: PLR2004 - path, mode, flags
    path = args[0] if args else ""
    is_null = path in {os.devnull, b"/dev/null"}
    return isinstance(flags, int) and bool(flags & WRITING) and not is_null


def _process() -> dict[str, object]:
    """Return what an import has no business with."""
    numbers = [s for s in signal.valid_signals() if s not in {signal.SIGKILL, signal.SIGSTOP}]
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "starts a thread": held.threads(),
        "changes the environment": dict(os.environ),
        "changes where modules are found": list(sys.path),
        "changes how modules are found": [id(f) for f in (*sys.meta_path, *sys.path_hooks)],
        "installs a handler for a signal": {int(n): _handler(n) for n in numbers},
        "installs a handler for the process": id(sys.excepthook),
        "changes the working folder": os.getcwd(),  # noqa: PTH109 - a text to compare
        "changes the umask": umask,
        "replaces standard output": (id(sys.stdout), id(sys.stderr)),
        "switches the garbage collector": gc.isenabled(),
    }


def _handler(number: int) -> str:
    return repr(signal.getsignal(number))


def _difference(old: object, new: object) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        changed = [str(k) for k in {**old, **new} if old.get(k) != new.get(k)]
        return ", ".join(sorted(changed)[:3])
    if isinstance(old, list) and isinstance(new, list):
        return ", ".join(str(one) for one in new if one not in old)[:80] or "another order"
    if isinstance(old, int) and isinstance(new, int):
        return f"{new - old:+d}"
    return f"{new}"[:80]


def _names() -> dict[str, dict[str, object]]:
    """Return what every module that is loaded holds, by name."""
    return {
        name: dict(vars(module))
        for name, module in list(sys.modules.items())
        if hasattr(module, "__dict__")
    }


def _is_code(value: object) -> bool:
    """Whether a value is a function or a class; objects that pretend are not asked."""
    return issubclass(type(value), CODE)


def _changes(before: dict[str, dict[str, object]], package: str) -> Iterator[str]:
    """Yield the functions and classes of other modules that are others now."""
    for name, old in before.items():
        module = sys.modules.get(name)
        if module is None:
            yield f"changes another package: {name} is gone"
            continue
        now = vars(module)
        for key, value in old.items():
            new = now.get(key)
            if new is value or not _is_code(value):
                continue
            home = str(getattr(new, "__module__", "")).partition(".")[0]
            if home == package or (_is_code(new) and home != name):
                yield f"changes another package: {name}.{key}"
