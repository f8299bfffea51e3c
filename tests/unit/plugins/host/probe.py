"""A plugin that does whatever a test asks of it. Its file is copied into plugins, not imported."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


Value: TypeAlias = Any


class Probe:
    """All public methods are served."""

    def __init__(self) -> None:
        self.kept: list[Value] = []
        self.told = "nothing"

    def echo(self, *values: Value, **named: Value) -> Value:
        if named:
            return named
        return values[0] if len(values) == 1 else list(values)

    def add(self, x: Value, y: Value) -> Value:
        return x + y

    def total(self, x: Value) -> float:
        return float(x.sum())

    def kind(self, x: Value) -> str:
        return type(x).__module__ + "." + type(x).__name__

    def ones(self, n: int) -> Value:
        return np.ones(n, np.float32)

    def pid(self) -> int:
        return os.getpid()

    def thread(self) -> int:
        return threading.get_ident()

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def descriptors(self) -> list[str]:
        kinds = {stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe", stat.S_IFCHR: "device"}
        found = []
        for number in range(1024):
            try:
                found.append(kinds.get(stat.S_IFMT(os.fstat(number).st_mode), "file"))
            except OSError:
                continue
        return found

    def keep(self, x: Value) -> None:
        self.kept.append(x)

    def kept_total(self) -> float:
        return float(sum(x.sum() for x in self.kept))

    def forget(self) -> None:
        self.kept.clear()

    def say(self, text: str, times: int = 1) -> None:
        for _ in range(times):
            sys.stdout.write(f"{text}\n")

    def complain(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def fail(self, text: str) -> None:
        raise KeyError(text)

    def leave(self) -> None:
        raise SystemExit(3)

    def refuse(self) -> None:
        from openautoglm.errors import NoKernelError

        raise NoKernelError("no kernel here", got="a test", fix="none")

    def unpassable(self) -> object:
        return object()

    def meet(self, path: str) -> str:
        """Return when two calls are in here at the same time."""
        with Path(path).open("ab") as file:
            file.write(b"x")
        while Path(path).stat().st_size < 2:
            time.sleep(0.001)
        return "met"

    # the bus

    def emit(self, type_: str, payload: Value, source: str = "") -> str:
        from openautoglm import bus

        options: dict[str, Value] = {"source": source} if source else {}
        return bus.emit(type_, payload=payload, **options).source

    def subscribe(self, pattern: str) -> None:
        from openautoglm import bus

        bus.subscribe(pattern, lambda message: self.kept.append(message.payload))

    def heard(self) -> list[Value]:
        return self.kept

    # streams

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    def arrays(self, n: int) -> Iterator[Value]:
        for value in range(n):
            yield np.full(5000, value, np.float32)

    def count_then_fail(self, n: int) -> Iterator[int]:
        yield from range(n)
        raise KeyError("the end")

    def endless(self) -> Iterator[int]:
        try:
            value = 0
            while True:
                yield value
                value += 1
        finally:
            self.told = "closed"

    def count_then_die(self, n: int) -> Iterator[int]:
        for value in range(n):
            yield value
            time.sleep(0.02)
        self.kill()

    def what_was_told(self) -> str:
        return self.told

    # state

    def export_state(self) -> str:
        return self.told

    def import_state(self, state: str, from_version: str) -> None:
        self.told = f"{state} of {from_version}"

    # faults

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def crash(self) -> None:
        ctypes.string_at(8)

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def spin(self) -> None:
        while True:
            pass

    def spin_until_cancelled(self) -> None:
        from openautoglm.plugins.host.serving import is_cancelled

        while not is_cancelled():
            pass

    def wait(self, seconds: float) -> str:
        time.sleep(seconds)
        return "waited"

    def exhaust_memory(self) -> int:
        blocks = []
        while True:
            blocks.append(bytearray(1 << 24))

    def exhaust_files(self) -> int:
        while True:
            self.kept.append(os.dup(0))

    def exhaust_files_then_free(self) -> int:
        try:
            return self.exhaust_files()
        finally:
            for descriptor in self.kept:
                os.close(descriptor)
            self.kept.clear()

    def fill_scratch(self, files: int, mb: int) -> None:
        for number in range(files):
            Path(os.environ["TMPDIR"], str(number)).write_bytes(b"x" * (mb << 20))

    def channel(self) -> int:
        """Return the descriptor calls come through: after 0, 1, 2 and the line of control."""
        return 4

    def write_raw(self, data: bytes) -> str:
        os.write(self.channel(), data)
        return "written"

    def write_control(self, data: bytes) -> str:
        os.write(3, data)
        return "written"

    def flood_control(self, data: bytes) -> None:
        while True:
            os.write(3, data)

    def fork_and_die(self) -> None:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        self.kill()

    def child(self) -> int:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        return pid


class Slow(Probe):
    """Never starts."""

    def __init__(self) -> None:
        super().__init__()
        time.sleep(3600)


class Broken(Probe):
    """Cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        raise ValueError("broken on purpose")


class Deadly(Probe):
    """Dies while it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.kill()


class DiesLater(Probe):
    """Is made once; the next time it dies (the scratch folder remembers)."""

    def __init__(self) -> None:
        super().__init__()
        mark = Path(os.environ["TMPDIR"], "made")
        if mark.exists():
            self.kill()
        mark.touch()
