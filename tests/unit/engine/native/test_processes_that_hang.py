"""A worker process that is alive and does nothing: it is found, and its rows run again."""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.backends.native import loading
from openautoglm.engine.backends.native.processes import frames, pool
from openautoglm.engine.backends.native.processes.frames import Answer, Beat, Ready
from openautoglm.engine.backends.native.processes.limits import SILENCE_S, read_timeout
from openautoglm.engine.backends.native.processes.task import Task
from openautoglm.engine.model_folder import inspect
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import BackendUnavailableError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.engine.backends.native.backend import NativeBackend
    from openautoglm.engine.backends.native.processes.frames import Up
    from openautoglm.engine.backends.native.processes.process import Process
    from openautoglm.engine.generation import Generation

LIMIT_S = 2


def load(folder: Path, **options: object) -> NativeBackend:
    given = {"slots": 4, "processes": 2, "worker_timeout_s": LIMIT_S} | options
    return loading.load(LoadSpec(model=os.fspath(folder), options=given))


def requests(count: int) -> list[Request]:
    return [Request(prompt=f"dog {n}", params=SamplingParams(max_length=40)) for n in range(count)]


def answers_once(backend: NativeBackend, rows: list[Request]) -> list[Generation]:
    given = sorted(backend.batch(rows), key=lambda each: each[0])
    assert [position for position, _ in given] == list(range(len(rows)))
    return [answer for _, answer in given]


def started(backend: NativeBackend) -> Process:
    """Start a process as the pool does; it is this thread's to end."""
    assert backend._pool is not None
    return backend._pool._start()


@pytest.fixture
def backend(tiny_model: Callable[..., Path]) -> Iterator[NativeBackend]:
    made = load(tiny_model())
    yield made
    made.close()


def test_one_that_is_stopped_is_replaced_and_every_row_is_answered_once(
    backend: NativeBackend, tiny_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    while len(backend.workers) < 2:
        answers_once(backend, requests(8))
    stopped, other = backend.workers
    rows = requests(24)
    os.kill(stopped, signal.SIGSTOP)
    with os.fdopen(os.pidfd_open(stopped)) as end:
        answers = answers_once(backend, rows)
        assert select.select([end], [], [], 30)[0]
    alone = load(tiny_model(), processes=1)
    assert [a.text for a in answers] == [a.text for a in answers_once(alone, rows)]
    assert not any(answer.error for answer in answers)
    assert other in backend.workers
    assert f"worker process {stopped} is replaced" in caplog.text
    assert "gave no sign of life for 2 s, which is `worker_timeout_s`" in caplog.text
    alone.close()


def test_one_that_does_not_get_ready_is_given_up(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec tail -f /dev/null\n", encoding="utf-8")
    program.chmod(0o755)
    backend = load(tiny_model(), processes=2)
    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.setattr(pool, "START_S", 0.2)
    (answer,) = answers_once(backend, requests(1))
    assert isinstance(answer.error, BackendUnavailableError)
    assert "it had not loaded its model in 0.2 s" in str(answer.error.got)
    backend.close()


def test_one_that_decodes_says_so_before_it_answers(backend: NativeBackend) -> None:
    process = started(backend)
    (request,) = requests(1)
    heard: list[Up] = []
    splitter = frames.Splitter()
    while not any(isinstance(said, Answer) for said in heard):
        assert select.select([process], [], [], 60)[0]
        for frame in splitter.feed(process._line.recv(1 << 16)):
            heard.append(frames.read_up(frame))
            if isinstance(heard[-1], Ready):
                process.ask(0, Task(request, lambda _: None, model="tiny"))
    assert [type(said) for said in heard[:2]] == [Ready, Beat]
    process.kill()


def test_time_counts_only_while_there_is_something_to_do(backend: NativeBackend) -> None:
    process = started(backend)
    process.wait(3.0)
    process.wait(3.0)
    assert process.silent_s == 6.0
    while not process.is_ready:
        assert select.select([process], [], [], 60)[0]
        process.receive()
    assert process.silent_s == 0.0
    process.wait(3.0)
    assert process.silent_s == 0.0
    process.kill()


def test_a_stopped_one_does_not_keep_close_waiting(backend: NativeBackend) -> None:
    answers = backend.batch(requests(12))
    next(answers)
    for pid in backend.workers:
        os.kill(pid, signal.SIGSTOP)
    closing = threading.Thread(target=backend.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


def test_a_large_model_has_more_time(tiny_model: Callable[..., Path]) -> None:
    folder = inspect(tiny_model())
    assert read_timeout({}, folder) == SILENCE_S
    folder.counts["F32"] = 9_000_000_000  # type: ignore[index] # a Counter
    assert read_timeout({}, folder) > 3600
    assert read_timeout({"worker_timeout_s": 600}, folder) == 600
    assert read_timeout({"worker_timeout_s": float("inf")}, folder) > 1e8


@pytest.mark.parametrize("value", [0, 0.5, -1, True, "1", None, float("nan")], ids=repr)
def test_what_is_no_time_is_refused(tiny_model: Callable[..., Path], value: object) -> None:
    with pytest.raises(InvalidParameterError, match="worker_timeout_s"):
        load(tiny_model(), worker_timeout_s=value)
