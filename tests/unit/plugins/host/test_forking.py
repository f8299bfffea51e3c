"""Processes that are forked while plugins run: they say what to do, and harm nobody."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.errors import PluginUnavailableError, SharedTensorError
from openautoglm.plugins.host import PluginHost
from openautoglm.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt
    from tests.unit.plugins.conftest import InFork
    from tests.unit.plugins.host.conftest import Start

MIB = 1 << 20


def array(value: object) -> npt.NDArray[Any]:
    assert isinstance(value, np.ndarray)
    return value


def test_a_child_is_told_what_to_do_and_the_parent_goes_on(
    host: PluginHost, start: Start, in_fork: InFork
) -> None:
    probe = start(host).remote("acme.probe")
    assert probe.call("echo", "before") == "before"

    def child() -> object:
        with pytest.raises(
            PluginUnavailableError, match="from which this one was forked"
        ) as caught:
            probe.call("echo", "in the child")
        with pytest.raises(PluginUnavailableError, match="the host is closed"):
            start(host)
        return "start it in this process too" in str(caught.value.fix), host.plugins

    assert in_fork(child) == "(True, ())"
    assert probe.call("echo", "after") == "after"


def test_a_child_that_leaves_the_block_of_a_host_ends_nothing(
    host: PluginHost, start: Start, in_fork: InFork, tmp_path: Path
) -> None:
    running = start(host)
    pid = running.remote("acme.probe").call("pid")
    scratch = list((tmp_path / "home" / "scratch").iterdir())
    assert in_fork(host.close) == "None"
    assert list((tmp_path / "home" / "scratch").iterdir()) == scratch
    assert running.remote("acme.probe").call("pid") == pid


def test_a_child_takes_no_memory_of_its_parent(
    host: PluginHost, start: Start, in_fork: InFork
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    mine = running.empty(MIB, "|u1")
    mine[:] = 1
    answers = [array(probe.call("ones", MIB))]

    def child() -> object:
        total = int(mine.sum()) + int(answers[0].sum())
        with pytest.raises(SharedTensorError, match="was forked"):
            running.empty(MIB, "|u1")
        answers.clear()
        gc.collect()
        return total

    assert in_fork(child) == str(2 * MIB)
    other = running.empty(MIB, "|u1")
    other[:] = 2
    assert probe.call("total", mine) == MIB
    assert probe.call("total", other) == 2 * MIB
    assert float(answers[0].sum()) == MIB


def test_a_child_runs_the_same_plugin_in_a_host_of_its_own(
    host: PluginHost, start: Start, in_fork: InFork
) -> None:
    pid = start(host).remote("acme.probe").call("pid")

    def child() -> object:
        with PluginHost() as own:
            probe = start(own).remote("acme.probe")
            total = array(probe.call("add", np.ones(MIB), 1)).sum()
            return probe.call("pid") != pid, float(total) == 2 * MIB

    assert in_fork(child) == "(True, True)"


def test_forks_while_threads_call_hang_nobody(
    host: PluginHost, start: Start, in_fork: InFork
) -> None:
    start(host, workers=2)
    probe = host.rollouts.remote("acme.probe", "acme.probe")
    ended, wrong = threading.Event(), []

    def keep_calling() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            if probe.call("echo", number) != number:
                wrong.append(number)

    def child() -> object:
        with pytest.raises(PluginUnavailableError):
            probe.call("echo", "in the child")
        return os.getppid()

    callers = [threading.Thread(target=keep_calling) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        said = [in_fork(child) for _ in range(20)]
    finally:
        ended.set()
        for caller in callers:
            caller.join()
    assert said == [str(os.getpid())] * 20
    assert wrong == []


def _called(probe: Callable[..., object], answers: object) -> None:
    try:
        probe("echo", 1)
    except PluginUnavailableError as error:
        answers.put(str(error))  # type: ignore[attr-defined] # a queue of multiprocessing


def test_processes_of_multiprocessing_that_are_forked_are_told_too(
    host: PluginHost, start: Start
) -> None:
    probe = start(host).remote("acme.probe")
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=_called, args=(probe.call, answers))
    process.start()
    process.join()
    assert 'multiprocessing.set_start_method("spawn")' in answers.get()
    assert probe.call("echo", 2) == 2


def test_a_child_waits_for_no_thread_that_was_loading_a_registry(in_fork: InFork) -> None:
    entered, ended = threading.Event(), threading.Event()
    parent = os.getpid()

    def load(colours: Registry[int]) -> None:
        colours.add("red", 1)
        if os.getpid() == parent:
            entered.set()
            ended.wait(30)
        colours.add("blue", 2)

    colours: Registry[int] = Registry("colour", builtins=load)
    loader = threading.Thread(target=colours.names)
    loader.start()
    entered.wait(30)
    try:
        assert in_fork(colours.names) == "('blue', 'red')"
    finally:
        ended.set()
        loader.join()
    assert colours.names() == ("blue", "red")
