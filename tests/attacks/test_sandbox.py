"""Hostile plugins in a confined worker, and the same ones in a free worker, where they succeed.

tests/attacks/hostile holds the attempts; each runs in a process of its own, against a stand-in
for the host that looks afterwards at what changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from openautoglm.errors import PluginCrashedError
from openautoglm.plugins.host import PluginHost, RunningPlugin
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-host"  # noqa: S105 - what the attempts are after
IS_ROOT = os.geteuid() == 0
OLDER = [abi for abi in range(1, 7) if abi < supported().landlock_abi]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not supported().sandbox, reason=f"no sandbox here: {'; '.join(supported().reasons)}"
    ),
]


class Result(msgspec.Struct, frozen=True):
    name: str
    root: bool
    rare: bool
    succeeded: bool
    why: str
    harm: list[str]


Results = tuple[Result, ...]


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """Return a function that runs the attempts once for every way to run them."""

    @cache
    def run(*how: str) -> Results:
        folder = tmp_path_factory.mktemp("host")
        command = [sys.executable, "-m", "tests.attacks.hostile.run", str(folder), *how]
        variables = {"PATH": os.environ["PATH"], "HOST_TOKEN": SECRET, "OMP_NUM_THREADS": "2"}
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        return tuple(msgspec.convert(json.loads(line), Result) for line in lines)

    return run


def test_without_a_sandbox_every_attempt_succeeds(tried: Callable[..., Results]) -> None:
    results = tried("none", "hostile")
    possible = [each for each in results if IS_ROOT or not each.root]
    failed = [each for each in possible if not each.succeeded]
    assert len(possible) - len(failed) >= 70
    assert [(each.name, each.why) for each in failed if not each.rare] == []
    assert sum(bool(each.harm) for each in results) >= 25


def test_confined_no_attempt_succeeds_and_no_harm_is_seen(tried: Callable[..., Results]) -> None:
    results = tried("L2", "hostile")
    assert len(results) >= 100
    assert [each.name for each in results if each.succeeded or each.harm] == []


@pytest.mark.parametrize("abi", OLDER)
def test_no_attempt_succeeds_with_what_older_kernels_offer(
    tried: Callable[..., Results], abi: int
) -> None:
    results = tried("L2", "hostile", str(abi))
    assert [each.name for each in results if each.succeeded or each.harm] == []


@pytest.mark.parametrize(
    ("part", "least"),
    [("files", 20), ("calls", 25), ("limits", 6), ("environment", 2), ("descriptors", 1)],
)
def test_no_part_of_the_sandbox_can_be_left_out(
    tried: Callable[..., Results], part: str, least: int
) -> None:
    results = tried(part, "hostile")
    succeeded = [each.name for each in results if each.succeeded or each.harm]
    assert least <= len(succeeded) <= len(results) // 2


def test_attempts_are_stopped_by_the_kernel_and_not_by_a_mistake_of_ours(
    tried: Callable[..., Results],
) -> None:
    by_kernel = ("PermissionError", "OSError", "MemoryError", "gaierror", "exit -31")
    others = {
        each.name: each.why for each in tried("L2", "hostile") if not each.why.startswith(by_kernel)
    }
    assert others == {
        "find the host's secret in its own environment": "KeyError: 'HOST_TOKEN'",
        "find the host's secret in the block the process started with": "AssertionError: ",
        "raise its own limits": "ValueError: not allowed to raise maximum limit",
        "start hundreds of threads": "RuntimeError: can't start new thread",
    }


def test_honest_work_goes_on_in_the_sandbox(tried: Callable[..., Results]) -> None:
    failed = {each.name: each.why for each in tried("L2", "honest") if not each.succeeded}
    if "compute gradients with torch" in failed and not has_torch():
        del failed["compute gradients with torch"]
    assert failed == {}


def has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None


@pytest.fixture(scope="module")
def hostile_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a plugin that holds all attempts."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "tests/attacks/hostile", folder / "tests/attacks/hostile")
    return folder


@pytest.fixture(scope="module", autouse=True)
def bare_point() -> Iterator[None]:
    if BARE.name not in POINTS.names():  # other tests may have put it there for the session
        with owned_by("attacks"):
            POINTS.add(BARE.name, BARE)
    yield
    POINTS.revoke("attacks")


@pytest.fixture
def hostile(hostile_path: Path) -> Iterator[RunningPlugin]:
    """Start the plugin as one that nobody signed."""
    provides = Provides(
        point="bare", contract=1, name="acme.evil", object="tests.attacks.hostile.plugin:Hostile"
    )
    manifest = Manifest(
        id="acme.evil",
        name="acme-evil",
        version="1.0",
        package="tests",
        host_api=">=1.0,<2",
        limits=Limits(memory_mb=256, scratch_mb=8, call_timeout_s=60.0),
        peers={"numpy": ">=2"},
        provides=(provides,),
    )
    with PluginHost() as host:
        yield host.start(manifest, path=[hostile_path])


def world_of(folder: Path) -> dict[str, object]:
    """Return the world as far as a worker of the real host can be told of it."""
    for name in ("outside/home/.ssh", "scratch", "site", "store"):
        (folder / name).mkdir(parents=True)
    for name in ("outside/host.txt", "outside/home/.ssh/id", "store/plugin.py"):
        (folder / name).write_bytes(b"untouched")
    none = dict.fromkeys(("address", "tensor", "folder", "file", "terminal"), 60)
    return {
        "scratch": str(folder / "scratch"),
        "outside": str(folder / "outside"),
        "plugin": str(folder / "store/plugin.py"),
        "site": str(folder / "site"),
        "parent": os.getpid(),
        "abstract": "nobody",
        "tcp": 9,
        "udp": 9,
        **none,
    }


def test_a_plugin_that_nobody_signed_stops_at_every_attempt_in_the_real_host(
    hostile: RunningPlugin, tmp_path: Path
) -> None:
    assert hostile.level == "L2"
    remote, world = hostile.remote("acme.evil"), world_of(tmp_path)
    names = msgspec.convert(remote.call("names"), list[str])
    said: dict[str, object] = {}
    for name in names:
        try:
            said[name] = remote.call("attempt", name, world)
        except PluginCrashedError as error:  # the kernel ended the worker; the host has another
            said[name] = error.got
    assert len(names) >= 100
    assert [name for name, what in said.items() if what == "done"] == []
    assert sum(str(what).startswith("PermissionError") for what in said.values()) >= 95
    assert sum("Too many open files" in str(what) for what in said.values()) == 1
    assert {path.name for path in (tmp_path / "outside").iterdir()} == {"host.txt", "home"}
    assert (tmp_path / "outside/host.txt").read_bytes() == b"untouched"
    assert hostile.health.crashes <= 2


def test_an_array_of_the_host_cannot_be_written_by_a_plugin(hostile: RunningPlugin) -> None:
    array = np.zeros(1 << 20, np.uint8)
    remote = hostile.remote("acme.evil")
    assert remote.call("make_writable", array) == "[Errno 13] Permission denied"
    with pytest.raises(PluginCrashedError):
        remote.call("overwrite", array)
    assert not array.any()
