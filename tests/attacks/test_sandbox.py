"""Hostile plugins in a confined worker, and the same ones in a free worker, where they succeed.

tests/attacks/hostile holds the attempts; each runs in a process of its own, against a stand-in
for the host that looks afterwards at what changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from openautoglm.plugins.host.sandbox import supported

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-host"  # noqa: S105 - what the attempts are after
IS_ROOT = os.geteuid() == 0
OLDER = [abi for abi in range(1, 7) if abi < supported().landlock_abi]

pytestmark = pytest.mark.skipif(
    not supported().sandbox, reason=f"no sandbox here: {'; '.join(supported().reasons)}"
)


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
