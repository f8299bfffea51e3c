"""What an honest plugin does: all of it must still work in a confined worker."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.attacks.hostile.attempt import World, checked

if TYPE_CHECKING:
    from collections.abc import Callable

WORKS: dict[str, Callable[[World], object]] = {}


def works(name: str) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
    """Add a function to the list."""

    def add(run: Callable[[World], object]) -> Callable[[World], object]:
        WORKS[name] = run
        return run

    return add


@works("multiply matrices with numpy, on two threads of its own")
def multiply(_: World) -> None:
    import numpy as np

    ones = np.ones((600, 600), np.float32)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda other: ones @ other, [ones, 2 * ones]))
    assert [float(each[0, 0]) for each in results] == [600.0, 1200.0]


@works("read a tensor of the host")
def read_tensor(world: World) -> None:
    import mmap

    import numpy as np

    with mmap.mmap(world.tensor, 4096, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        assert int(np.frombuffer(memory, np.uint8)[:9].copy()[0]) == ord("u")


@works("compute gradients with torch")
def gradients(_: World) -> None:
    import torch

    x = torch.ones(200, 200, requires_grad=True)
    (x @ x).relu().sum().backward()
    assert x.grad is not None
    assert float(x.grad[0, 0]) == 400.0
    assert torch.nn.functional.conv2d(torch.ones(1, 3, 32, 32), torch.ones(4, 3, 3, 3)).shape


@works("import modules late, some of them in C")
def late_imports(_: World) -> None:
    import decimal
    import json
    import random
    import uuid

    import numpy.fft

    assert json.loads(json.dumps({"a": [1, 2.5, None]})) == {"a": [1, 2.5, None]}
    assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
    assert 0 <= random.SystemRandom().random() < 1
    assert random.Random(1).random() < 1  # noqa: S311 - a game of dice
    assert uuid.uuid4().version == 4
    assert numpy.fft.fft([1, 0]).real.tolist() == [1, 1]


@works("load a library of the system")
def load_library(_: World) -> None:
    assert ctypes.CDLL("libm.so.6").abs(-3) == 3


@works("read clocks and time zones, and sleep")
def clocks(_: World) -> None:
    from zoneinfo import ZoneInfo

    before = time.monotonic()
    time.sleep(0.01)
    assert time.monotonic() > before
    assert time.localtime().tm_year > 2000
    assert ZoneInfo("Asia/Shanghai").key


@works("use its scratch folder")
def scratch(world: World) -> None:
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert Path(folder).parent == Path(world.scratch)
        (Path(folder) / "inner").mkdir()
        one = Path(folder, "one")
        one.write_text("x" * 100_000)
        one.rename(Path(folder, "inner", "two"))
        os.link(Path(folder, "inner", "two"), Path(folder, "three"))
        shutil.copyfile(Path(folder, "three"), one)
        assert one.read_text() == "x" * 100_000
        with one.open("r+b") as file:
            file.truncate(10)
        assert one.stat().st_size == 10
    with tempfile.NamedTemporaryFile() as named:
        named.write(b"x")
    assert {path.name for path in Path(world.scratch).iterdir()} == {"link"}


@works("keep a database in scratch")
def database(world: World) -> None:
    import sqlite3

    with sqlite3.connect(f"{world.scratch}/db") as db:
        db.execute("create table t (x)")
        db.executemany("insert into t values (?)", [(n,) for n in range(1000)])
        assert db.execute("select sum(x) from t").fetchone() == (499_500,)
    db.close()


@works("run an event loop")
def event_loop(_: World) -> None:
    import asyncio

    async def both() -> list[int]:
        async def one(n: int) -> int:
            await asyncio.sleep(0.001)
            return await asyncio.to_thread(lambda: n)

        return list(await asyncio.gather(one(1), one(2)))

    assert asyncio.run(both()) == [1, 2]


@works("pass descriptors over a channel")
def channel(world: World) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        socket.send_fds(one, [b"x"], [world.tensor])
        message, descriptors, _, _ = socket.recv_fds(other, 10, 1)
        assert message == b"x"
        assert os.fstat(descriptors[0]).st_size
        one.settimeout(0.01)
        one.send(b"y")
        assert other.recv(10) == b"y"


@works("signal itself, and name its threads")
def signals(_: World) -> None:
    import signal

    got: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, _frame: got.append(number))
    signal.raise_signal(signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert got == [signal.SIGUSR2] * 2
    libc = ctypes.CDLL(None, use_errno=True)
    checked(libc.prctl(15, b"plugin", 0, 0, 0))
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()
    thread.join()


@works("ask what machine this is")
def machine(_: World) -> None:
    assert os.cpu_count()
    assert os.sched_getaffinity(0)
    assert os.uname().sysname == "Linux"
    assert Path("/proc/meminfo").read_text()
    assert Path("/proc/self/status").read_text()


@works("write to the host's log and to nowhere")
def log(_: World) -> None:
    import contextlib
    import sys

    sys.stderr.write("hello\n")
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        sys.stdout.write("hello\n")


@works("run WebAssembly, where wasmtime is installed")
def webassembly(_: World) -> None:
    from importlib.util import find_spec

    if find_spec("wasmtime") is None:
        return
    import wasmtime

    from openautoglm.plugins.host.wasm import WasmObject

    text = """(module (memory (export "memory") 1)
      (func (export "oag1_alloc") (param i32) (result i32) (i32.const 8))
      (func (export "seven") (param i32 i32) (result i64)
        (i32.store8 (i32.const 0) (i32.const 55)) (i64.const 1)))"""
    with WasmObject(bytes(wasmtime.wat2wasm(text))) as module:
        assert module.call("seven") == 7


@works("use a hundred MiB")
def memory(_: World) -> None:
    import numpy as np

    assert float(np.ones(100 << 17).sum()) == 100 << 17
