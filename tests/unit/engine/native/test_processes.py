"""Rows in worker processes: the same answers, the weights once, and nothing lost with a process."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, cast

import pytest

from openautoglm import ops
from openautoglm.engine.adapter import Adapter
from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.backends.native import loading
from openautoglm.engine.generation import Generation
from openautoglm.engine.sampling import SamplingParams
from openautoglm.engine.structured import compile_schema
from openautoglm.errors import (
    BackendRequestError,
    BackendUnavailableError,
    EngineClosedError,
    InvalidPromptError,
)
from openautoglm.testing.lora_adapter import save_adapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.engine.backends.native.backend import NativeBackend
    from openautoglm.engine.backends.native.processes.pool import Pool
    from openautoglm.engine.structured import Grammar

WORDS = ("the", "quick", "brown", "fox", "dog", "请根据", "👋🏽", "a")
SCHEMA = {"enum": ["billing", "delivery", "other"]}


def load(folder: Path, **options: object) -> NativeBackend:
    given = {"slots": 4, "processes": 2} | options
    return loading.load(LoadSpec(model=os.fspath(folder), options=given))


def pool_of(backend: NativeBackend) -> Pool:
    assert backend._pool is not None
    return backend._pool


def request(prompt: str = "dog", **params: object) -> Request:
    values: dict[str, object] = {"max_length": 12} | params
    return Request(prompt=prompt, params=SamplingParams(**values))  # type: ignore[arg-type] # a table of names


def varied(count: int) -> list[Request]:
    """Return requests that use all there is to ask for."""
    kinds: list[dict[str, object]] = [
        {},
        {"temperature": 1.3, "seed": 7, "top_p": 0.9, "top_k": 40},
        {"temperature": 0.8, "seed": 8, "min_p": 0.02, "repetition_penalty": 1.2},
        {"stop": ["a", "e"], "min_tokens": 2},
        {"logprobs": 2, "presence_penalty": 0.5, "frequency_penalty": 0.3},
        {"logit_bias": {9: 4.0}, "temperature": 1.0, "seed": 1},
    ]
    rows = [
        request(f"{WORDS[i % 8]} {WORDS[i % 5]} {i}", **kinds[i % 6], max_length=8 + i % 20)
        for i in range(count)
    ]
    grammar = compile_schema(SCHEMA)
    for i in range(0, count, 7):
        rows[i] = Request(
            prompt=rows[i].prompt, params=rows[i].params, schema=SCHEMA, grammar=grammar
        )
    return rows


def told(answer: Generation) -> tuple[object, ...]:
    return (
        *(answer.text, answer.finish_reason, answer.prompt_tokens, answer.completion_tokens),
        *(answer.logprobs, answer.model, str(answer.error)),
    )


def pids_of(backend: NativeBackend) -> list[int]:
    """Return the numbers of both processes, once both are at work."""
    while len(backend.workers) < 2:
        answers_once(backend, varied(8))
    return backend.workers


def answers_once(backend: NativeBackend, rows: list[Request]) -> dict[int, Generation]:
    """Return all answers, each of which came once."""
    given = list(backend.batch(rows))
    assert sorted(position for position, _ in given) == list(range(len(rows)))
    return dict(given)


def ends(pid: int) -> bool:
    """Wait for a process that is nobody's child any more; whether it ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor) as watched:
        return bool(select.select([watched], [], [], 30)[0])


@pytest.fixture(scope="module")
def backend(tiny_model: Callable[..., Path]) -> Iterator[NativeBackend]:
    made = load(tiny_model())
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(tiny_model: Callable[..., Path]) -> Iterator[NativeBackend]:
    made = load(tiny_model(), processes=1)
    yield made
    made.close()


def test_answers_are_those_of_one_process(backend: NativeBackend, alone: NativeBackend) -> None:
    pids_of(backend)
    rows = varied(42)
    ours, theirs = answers_once(backend, rows), answers_once(alone, rows)
    for position in range(len(rows)):
        assert told(ours[position]) == told(theirs[position])
    assert ours[0].text in {'"billing"', '"delivery"', '"other"'}
    assert all(a.timings.total_s > 0 for a in ours.values())


@pytest.mark.parametrize("mode", ["fp32", "int8", "int4"])
def test_the_weights_are_in_memory_once(tiny_model: Callable[..., Path], mode: str) -> None:
    backend = load(tiny_model(), mode=mode)
    pids = pids_of(backend)
    answers_once(backend, varied(16))
    maps = [weights_of(pid) for pid in (os.getpid(), *pids)]
    inode = next(i for i in maps[1] if i in maps[0] and i in maps[2])
    parts = [found[inode] for found in maps]
    assert all(part["Private_Clean"] + part["Private_Dirty"] == 0 for part in parts)
    assert all(part["Rss"] > 0 for part in parts)
    assert sum(part["Pss"] for part in parts) <= parts[0]["Size"] + len(parts)  # kB, rounded
    backend.close()


def weights_of(pid: int) -> dict[str, dict[str, int]]:
    """Return the mappings of shared weights, by inode, in kB."""
    found: dict[str, dict[str, int]] = {}
    current: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps").read_text("utf-8").splitlines():
        parts = line.split()
        if "-" in parts[0]:
            current = {}
            if "memfd:openautoglm" in line:
                found[parts[4]] = current
        elif len(parts) == 3:
            current[parts[0].rstrip(":")] = int(parts[1])
    return found


def test_a_process_that_is_killed_is_replaced_and_its_rows_run_again(
    tiny_model: Callable[..., Path], alone: NativeBackend
) -> None:
    backend = load(tiny_model())
    rows = [request(f"{WORDS[i % 8]} {i}", max_length=90) for i in range(24)]
    before = pids_of(backend)
    answers = backend.batch(rows)
    given = [next(answers)]
    os.kill(before[0], signal.SIGKILL)
    given += answers
    assert sorted(position for position, _ in given) == list(range(len(rows)))
    theirs = answers_once(alone, rows)
    assert all(told(answer) == told(theirs[position]) for position, answer in given)
    after = pids_of(backend)
    assert before[0] not in after
    assert before[1] in after
    backend.close()
    assert all(ends(pid) for pid in after)


class Bomb:
    """A grammar that ends the process that unpickles it."""

    text = "bomb"

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)


def test_a_row_that_kills_its_process_each_time_is_an_error_and_the_others_go_on(
    backend: NativeBackend, alone: NativeBackend
) -> None:
    rows = varied(20)
    bomb = Request(prompt="dog", grammar=cast("Grammar", Bomb()))
    answers = answers_once(backend, [*rows[:3], bomb, *rows[3:]])
    assert isinstance(answers[3].error, BackendRequestError)
    assert "3 processes" in str(answers[3].error)
    assert "exit code 9" in str(answers[3].error)
    del answers[3]
    theirs = answers_once(alone, rows)
    assert [told(a) for _, a in sorted(answers.items())] == [
        told(a) for _, a in sorted(theirs.items())
    ]


@pytest.mark.parametrize(("names", "shares"), [("aaaaaaaaaa", [0, 10]), ("abcdefghij", [5, 5])])
def test_rows_are_shared_out_and_those_that_are_the_same_go_together(
    backend: NativeBackend, names: str, shares: list[int]
) -> None:
    pids, pool = pids_of(backend), pool_of(backend)
    ended: SimpleQueue[str | Generation] = SimpleQueue()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for name in names:
            pool.begin(request(name), ended.put)
        while sum(given := [len(process.rows) for process in pool._processes]) < len(names):
            continue
        assert sorted(given) == shares
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    answers = [ended.get(timeout=60) for _ in names]
    assert all(isinstance(answer, Generation) and answer.error is None for answer in answers)


def test_a_forked_process_leaves_the_workers_to_its_parent(
    backend: NativeBackend, alone: NativeBackend
) -> None:
    pids, rows = pids_of(backend), varied(12)
    child = os.fork()
    if not child:
        code = 1
        try:
            backend.batch(rows)
        except EngineClosedError:
            backend.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ours, theirs = answers_once(backend, rows), answers_once(alone, rows)
    assert [told(ours[i]) for i in range(12)] == [told(theirs[i]) for i in range(12)]
    assert backend.workers == pids


def test_a_row_has_its_adapter_in_whatever_process(
    tiny_model: Callable[..., Path], tmp_path: Path, backend: NativeBackend, alone: NativeBackend
) -> None:
    folders = [save_adapter(tiny_model(), tmp_path / str(n), seed=n, size=0.5) for n in range(2)]
    adapters = [Adapter(name=f.name, path=str(f), number=2**40 + n) for n, f in enumerate(folders)]
    pids_of(backend)
    rows = [replace(request("dog"), adapter=a) for a in (None, *adapters) for _ in range(2)]
    ours, theirs = answers_once(backend, rows), answers_once(alone, rows)
    assert [told(ours[i]) for i in range(6)] == [told(theirs[i]) for i in range(6)]
    assert len({answer.text for answer in ours.values()}) == 3


def test_errors_of_a_row_are_those_of_one_process(
    backend: NativeBackend, alone: NativeBackend
) -> None:
    rows = [request("dog"), request("dog " * 300), request("fox")]
    ours, theirs = answers_once(backend, rows), answers_once(alone, rows)
    assert isinstance(ours[1].error, InvalidPromptError)
    assert str(ours[1].error) == str(theirs[1].error)
    assert ours[2].text == theirs[2].text


def test_no_more_is_read_than_a_window_ahead_and_what_is_left_is_ended(
    backend: NativeBackend,
) -> None:
    read = 0

    def endless() -> Iterator[Request]:
        nonlocal read
        for one in repeat(request(max_length=20)):
            read += 1
            yield one

    answers = backend.batch(endless())
    assert len(list(islice(answers, 60))) == 60
    assert read <= 60 + 2 * 4 * 4 + 1
    answers.close()  # type: ignore[attr-defined] # a generator
    assert len(answers_once(backend, [request()])) == 1


def test_a_cancel_reaches_rows_that_wait_and_rows_under_way(backend: NativeBackend) -> None:
    cancel = threading.Event()
    params = SamplingParams(max_length=100)
    rows = [Request(prompt=str(i), params=params, cancel=cancel) for i in range(64)]
    answers = backend.batch(rows)
    first = next(answers)
    cancel.set()
    given = [first, *answers]
    assert sorted(position for position, _ in given) == list(range(len(rows)))
    assert {a.finish_reason for _, a in given} <= {"length", "stop", "cancelled"}
    assert sum(a.finish_reason == "cancelled" for _, a in given) >= 64 - 2 * 4 * 4


def test_closing_ends_the_processes_and_what_they_do(tiny_model: Callable[..., Path]) -> None:
    backend = load(tiny_model())
    pids = pids_of(backend)
    answers = backend.batch(repeat(request(max_length=100)))
    next(answers)
    backend.close()
    assert all(ends(pid) for pid in pids)
    assert any(isinstance(a.error, EngineClosedError) for _, a in islice(answers, 64))
    answers.close()  # type: ignore[attr-defined] # a generator
    with pytest.raises(EngineClosedError):
        backend.batch([request()])


@pytest.mark.parametrize(("program", "reason"), [("/nowhere/python", "No such"), ("", "exit code")])
def test_where_no_process_can_start_the_rows_say_so(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    from shutil import which

    backend = load(tiny_model())
    monkeypatch.setattr(sys, "executable", program or which("false"))
    answers = answers_once(backend, [request(), request("fox")])
    for answer in answers.values():
        assert isinstance(answer.error, BackendUnavailableError)
        assert reason in str(answer.error)
        assert "processes=1" in str(answer.error)
    monkeypatch.undo()
    assert answers_once(backend, [request()])[0].error is None
    backend.close()


def unasked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, patience_s: float = 0.0
) -> NativeBackend:
    """Return a backend that was not told how many processes to use, on a machine of two cores."""
    from openautoglm.engine.backends.native.processes import spread

    monkeypatch.setattr(loading, "usable_cores", lambda: 2)
    monkeypatch.setattr(spread, "PATIENCE_S", patience_s)
    return loading.load(LoadSpec(model=os.fspath(folder), options={"slots": 4}))


def test_unasked_a_long_batch_goes_to_processes_and_a_short_one_does_not(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, alone: NativeBackend
) -> None:
    backend = unasked(tiny_model(), monkeypatch)
    rows = varied(60)
    answers_once(backend, rows[:16])
    assert not backend.workers
    ours, theirs = answers_once(backend, rows), answers_once(alone, rows)
    assert backend.workers
    assert [told(ours[i]) for i in range(60)] == [told(theirs[i]) for i in range(60)]
    backend.close()


def test_unasked_rows_stay_here_where_no_process_can_start(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = unasked(tiny_model(), monkeypatch)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    answers = answers_once(backend, varied(60))
    assert all(answer.error is None for answer in answers.values())
    assert not pool_of(backend).serves()
    backend.close()


def test_unasked_rows_stay_where_a_kernel_was_chosen(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = unasked(tiny_model(), monkeypatch)
    ops.get("linear").stand("reference")
    try:
        answers = answers_once(backend, varied(60))
        assert all(answer.error is None for answer in answers.values())
        assert not pool_of(backend).serves()
    finally:
        ops.get("linear").stand()
        backend.close()


def test_processes_that_have_other_kernels_are_told_of_in_the_log(
    tiny_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    backend = load(tiny_model())
    ops.get("linear").stand("reference")
    try:
        answers_once(backend, [request()])
    finally:
        ops.get("linear").stand()
        backend.close()
    assert "other kernels" in caplog.text
    assert "reference" not in caplog.text.partition("linear")[0]
