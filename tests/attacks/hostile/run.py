"""Stand in for a host: `python -m tests.attacks.hostile.run FOLDER LEVEL KIND [ABI]`.

Starts one worker for every hostile attempt or every honest work, confined (L2), not (none), or
with a part of the sandbox left out (a name of PARTS), and prints a line of JSON for each: what
became of it, and what harm is seen from outside.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import select
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np  # noqa: F401 - warm, as in a server that forks workers
from tests.attacks.hostile import (  # noqa: F401 - their attempts add themselves
    files,
    memory,
    network,
    processes,
    system,
)
from tests.attacks.hostile.attempt import ATTEMPTS, MARK, SECRET, Attempt, World
from tests.attacks.hostile.benign import WORKS

from openautoglm.native.segment import DATA, Segment
from openautoglm.plugins.host import kernel, landlock, sandbox, seccomp
from openautoglm.plugins.host.limits import MIB, ResourceLimits
from openautoglm.plugins.host.sandbox import Sandbox

LIMITS = ResourceLimits(memory_bytes=256 * MIB, open_files=64, file_bytes=8 * MIB)
PATIENCE_S = 60.0
PARTS: dict[str, tuple[object, str]] = {
    "files": (landlock, "restrict"),
    "calls": (seccomp, "install"),
    "limits": (ResourceLimits, "apply"),
    "environment": (sandbox, "scrub_environment"),
    "descriptors": (sandbox, "close_all_but"),
    "capabilities": (kernel, "drop_capabilities"),
}
SIGNALS: list[int] = []


@dataclass(frozen=True)
class Host:
    """The stand-in: what it serves, and what must not change."""

    world: World
    secret: ctypes.Array[ctypes.c_char]
    servers: tuple[socket.socket, ...]

    def harm(self) -> list[str]:
        """Return what is other than it was, seen from outside."""
        world = self.world
        outside = Path(world.outside)
        seen = {
            "signals came": SIGNALS != [],
            "memory was written": self.secret.raw != SECRET.encode(),
            "tensor was written": os.pread(world.tensor, len(MARK), 0) != MARK,
            "files outside changed": {p.name for p in outside.iterdir()} != OUTSIDE,
            "packages changed": {p.name for p in Path(world.site).iterdir()} != {"package.py"},
            "a file changed": not all(map(_is_as_made, self.precious())),
            "something odd lies in scratch": any(map(_is_odd, Path(world.scratch).iterdir())),
        }
        return [name for name, is_so in seen.items() if is_so]

    def precious(self) -> tuple[Path, ...]:
        """Return the files that must not change."""
        world = self.world
        return Path(world.host_file), Path(world.plugin), Path(world.site, "package.py")


OUTSIDE = {"host.txt", "home", "stream.sock", "datagram.sock"}


def _is_as_made(path: Path) -> bool:
    if not path.exists() or path.read_bytes() != MARK:
        return False
    state = path.stat()
    kept = (state.st_mode & 0o7777, state.st_uid, state.st_nlink) == (0o644, os.getuid(), 1)
    return kept and state.st_mtime > 1 and not os.listxattr(path)


def _is_odd(path: Path) -> bool:
    is_plain = path.is_file() or path.is_dir()
    return path.name != "link" and (path.is_symlink() or not is_plain or path.is_mount())


def fresh_files(folder: Path) -> None:
    """Make the files as they were, between two attempts."""
    outside = folder / "outside"
    for name in ("scratch", "store", "site", "outside/home", "outside/new-folder"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (outside / "new", outside / "host.txt"):
        path.unlink(missing_ok=True)
    for name in ("scratch", "store", "site", "outside/home/.ssh"):
        (folder / name).mkdir(parents=True)
    for name in ("store/plugin.py", "site/package.py", "outside/host.txt", "outside/home/.ssh/id"):
        (folder / name).write_bytes(MARK)
        (folder / name).chmod(0o644)
    (folder / "scratch/link").symlink_to(outside / "host.txt")


def tensor(*, sealed: bool) -> int:
    """Return memory for a worker to read: sealed as the host does it, or carelessly."""
    if not sealed:
        handle = os.memfd_create("careless")
        os.pwrite(handle, MARK + bytes(8192), 0)
        return handle
    segment = Segment.create(0, DATA + 4096, peer_writes=False)
    segment.memory[: len(MARK)] = MARK
    KEPT.append(segment)
    return segment.handle


KEPT: list[Segment] = []


def make_host(folder: Path) -> Host:
    """Open what attempts are made on."""
    fresh_files(folder)
    outside = folder / "outside"
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    abstract, stream = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"openautoglm-hostile-{os.getpid()}"
    abstract.bind(f"\0{name}")
    stream.bind(str(outside / "stream.sock"))
    datagram.bind(str(outside / "datagram.sock"))
    abstract.listen(64)
    stream.listen(64)
    secret = ctypes.create_string_buffer(SECRET.encode(), len(SECRET))
    signal.signal(signal.SIGUSR1, lambda number, _frame: SIGNALS.append(number))
    world = World(
        scratch=str(folder / "scratch"),
        outside=str(outside),
        plugin=str(folder / "store/plugin.py"),
        site=str(folder / "site"),
        parent=os.getpid(),
        address=ctypes.addressof(secret),
        tensor=-1,
        folder=-1,
        file=-1,
        terminal=pty.openpty()[1],
        tcp=tcp.getsockname()[1],
        udp=udp.getsockname()[1],
        abstract=name,
    )
    return Host(world, secret, (tcp, udp, abstract, stream, datagram))


def try_in_worker(host: Host, task: Attempt, level: str, abi: int | None) -> dict[str, object]:
    """Run one task in a worker of its own and tell what became of it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        work(host.world, task, (level, abi), writing)
    os.close(writing)
    ready = select.select([reading], [], [], PATIENCE_S)[0]
    if not ready:
        os.kill(pid, signal.SIGKILL)
    said = os.read(reading, 1000).decode() if ready else "hung"
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(reading)
    became = task.replaces and not said and code == 0
    return {
        "name": task.name,
        "root": task.root,
        "rare": task.rare,
        "succeeded": said == "done" or became,
        "why": said or f"exit {code}",
        "harm": host.harm(),
    }


def leave_out(part: str) -> None:
    """Take a part out of the sandbox of this process, to see what it is there for."""
    if part in PARTS:
        owner, name = PARTS[part]
        setattr(owner, name, lambda *_, **__: None)


def work(world: World, task: Attempt, how: tuple[str, int | None], report: int) -> None:
    """Be the worker: confine, run, say what happened, end."""
    said = "done"
    level, abi = how
    try:
        os.chdir(world.scratch)
        if level != "none":
            leave_out(level)
            Sandbox(
                "L2",
                LIMITS,
                Path(world.scratch),
                readable=(Path(world.plugin).parent, Path(world.site)),
                keep_fds=(report, world.tensor, world.terminal),
                abi=abi,
            ).apply()
        task.run(world)
    except BaseException as error:  # noqa: BLE001 - every way to fail is a result
        said = f"{type(error).__name__}: {error}"[:300]
    os.write(report, said.encode())
    os._exit(0)


def tasks(kind: str) -> list[Attempt]:
    """Return what is tried: "hostile" or "honest"."""
    if kind == "hostile":
        return list(ATTEMPTS.values())
    return [Attempt(name=name, run=run) for name, run in WORKS.items()]


def run_all(folder: Path, level: str, kind: str, abi: int | None) -> None:
    """Try everything and print what became of it."""
    host = make_host(folder)
    for task in tasks(kind):
        fresh_files(folder)
        SIGNALS.clear()
        host.secret.raw = SECRET.encode()
        outside = host.world.outside
        world = replace(
            host.world,
            tensor=tensor(sealed=level != "none"),
            folder=os.open(outside, os.O_RDONLY),
            file=os.open(f"{outside}/host.txt", os.O_RDONLY),
        )
        result = try_in_worker(replace(host, world=world), task, level, abi)
        sys.stdout.write(json.dumps(result) + "\n")
        KEPT.clear()
        os.close(world.folder)
        os.close(world.file)


if __name__ == "__main__":
    _, folder_, level_, kind_, *abi_ = sys.argv
    run_all(Path(folder_), level_, kind_, int(abi_[0]) if abi_ else None)
