"""The suite over a backend here and in a worker, and over broken ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backend import (
    BACKENDS,
    BackendEntry,
    LoadSpec,
    ModelInfo,
    Request,
    one_by_one,
)
from openautoglm.engine.remote_backend import RemoteBackend, adopt_backend, remote_backend
from openautoglm.engine.wire import plain_spec
from openautoglm.errors import InvalidPromptError, PluginContributionError, PluginCrashedError
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing import EchoBackend, LocalRemote, prove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

from openautoglm.engine.backend_servant import BackendServant
from openautoglm.engine.generation import Generation


class Named:
    point = "backend"
    contract = 1

    def __init__(self, name: str = "acme.echo") -> None:
        self.name = name


class Good:
    """Says back what it was asked; the broken ones below change one thing each."""

    def __init__(self, spec: LoadSpec) -> None:
        del spec
        self.inner = EchoBackend()

    def describe(self) -> ModelInfo:
        return self.inner.describe()

    def count_tokens(self, text: str) -> int:
        return self.inner.count_tokens(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        return self.inner.stream(request)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        return self.inner.batch(requests)

    def close(self) -> None:
        self.inner.close()


class NoTokens(Good):
    def count_tokens(self, text: str) -> int:
        return -len(text)


class LosesPieces(Good):
    def stream(self, request: Request) -> Iterator[str | Generation]:
        pieces = list(super().stream(request))
        yield from pieces[1:]


class ReadsAllRequests(Good):
    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        for count, _ in enumerate(requests):
            if count > 1000:
                raise MemoryError("too many requests")
        return super().batch([])


class BatchMixesRows(Good):
    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        first: Generation | None = None
        for number, generation in super().batch(requests):
            first = first or generation
            yield number, first


class NeverCloses(Good):
    def close(self) -> None:
        pass


class WakesAnother(Good):
    """Says more each time it is woken."""

    def __init__(self, spec: LoadSpec) -> None:
        super().__init__(spec)
        self.woken = 0

    def sleep(self) -> None:
        pass

    def wake(self) -> None:
        self.woken += 1

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        for number, generation in super().batch(requests):
            yield number, replace(generation, text=generation.text + "!" * self.woken)


class DoesNotLoad(Good):
    def __init__(self, spec: LoadSpec) -> None:
        super().__init__(spec)
        raise MemoryError("no room")


def test_a_good_backend_passes_here_and_from_a_worker() -> None:
    findings = prove("backend", Good)
    assert {finding.status for finding in findings} == {"pass"}
    entry = remote_backend(LocalRemote("backend", adopt_backend(Good, Named())), Named())
    assert entry.summary.startswith("Says back what it was asked")
    findings = prove("backend", entry, name="acme.echo")
    assert {finding.status for finding in findings} == {"pass"}


@pytest.mark.parametrize(
    ("backend", "row"),
    [
        (NoTokens, "backend.loads"),
        (DoesNotLoad, "backend.loads"),
        (LosesPieces, "backend.pieces_join_to_the_text"),
        (ReadsAllRequests, "backend.a_batch_reads_its_prompts_as_it_goes"),
        (BatchMixesRows, "backend.a_batch_equals_single_runs_in_order"),
        (WakesAnother, "backend.a_model_that_slept_answers_as_before"),
        (NeverCloses, "backend.closing_is_final_and_may_be_repeated"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_backend_is_caught_by_the_row_that_should(backend: type, row: str) -> None:
    entry = adopt_backend(backend, Named())
    failed = {f.row: f for f in POINTS.get("backend").findings(lambda: entry) if f.status == "fail"}
    assert row in failed
    assert failed[row].consequence
    assert failed[row].fix


@pytest.mark.parametrize("value", [None, "text", 3, EchoBackend(), lambda: None])
def test_what_loads_no_backend_is_not_adopted(value: object) -> None:
    with pytest.raises(PluginContributionError):
        adopt_backend(value, Named())


def test_an_engine_uses_a_backend_in_a_worker_by_its_name() -> None:
    remote = LocalRemote("backend", adopt_backend(Good, Named()))
    with owned_by("acme"):
        BACKENDS.add("far", remote_backend(remote, Named()))
    try:
        with AutoGLM(backend="far") as engine, AutoGLM(backend="far") as other:
            other.close()
            assert engine.run("hello").text == "hello"
            remote.restart()
            assert engine.run("again").text == "again"
            chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "你好"}]
            assert engine.run(chat).text == "你好"
            with pytest.raises(InvalidPromptError):
                engine.run("x" * 1_000_001)
    finally:
        BACKENDS.revoke("acme")


def test_the_requests_of_a_window_whose_worker_died_fail_and_say_why() -> None:
    class Dies(LocalRemote):
        def stream(
            self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
        ) -> Iterator[object]:
            for count, value in enumerate(
                super().stream(method, *args, timeout_s=timeout_s, **kwargs)
            ):
                if count == 2:
                    raise PluginCrashedError("the worker died")
                yield value

    backend = RemoteBackend(Dies("backend", adopt_backend(Good, Named())), LoadSpec())
    answers = dict(backend.batch([Request(prompt=f"p{n}") for n in range(4)]))
    assert [answers[n].finish_reason for n in range(4)] == ["stop", "stop", "error", "error"]
    assert isinstance(answers[3].error, PluginCrashedError)


def test_a_stream_without_its_generation_is_the_backends_mistake() -> None:
    class Silent(Good):
        def stream(self, request: Request) -> Iterator[str | Generation]:
            del request
            yield "half a sentence"

    backend = RemoteBackend(LocalRemote("backend", adopt_backend(Silent, Named())), LoadSpec())
    with pytest.raises(PluginContributionError, match="ended without its generation"):
        list(backend.stream(Request(prompt="p")))


def test_an_entry_keeps_its_options_over_the_wire() -> None:
    entry = BackendEntry(load=Good, summary="x", options=("region",), extra="acme")
    far = remote_backend(LocalRemote("backend", entry), Named())
    assert (far.options, far.extra) == (("region",), "acme")


def far_backend(kind: type = Good) -> tuple[LocalRemote, RemoteBackend]:
    remote = LocalRemote("backend", adopt_backend(kind, Named()))
    return remote, RemoteBackend(remote, LoadSpec())


def test_a_cancel_ends_a_stream_in_a_worker_at_the_next_piece() -> None:
    _, backend = far_backend()
    request = Request(prompt="a long answer")
    stream = backend.stream(request)
    assert next(stream) == "a"
    request.cancel.set()
    last = next(stream)
    assert isinstance(last, Generation)
    assert (last.text, last.finish_reason, last.completion_tokens) == ("a", "cancelled", 1)
    assert list(stream) == []


def test_a_cancel_in_a_batch_is_told_to_the_worker_while_it_has_no_answer() -> None:
    class Waits(Good):
        def stream(self, request: Request) -> Iterator[str | Generation]:
            if request.prompt == "prompt 3":
                assert request.cancel.wait(20)
            yield from super().stream(request)

        def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
            return one_by_one(self, requests)

    remote, backend = far_backend(Waits)
    requests = [Request(prompt=f"prompt {number}") for number in range(4)]
    requests[1].cancel.set()
    answers = {}
    for position, generation in backend.batch(requests):
        answers[position] = generation.finish_reason
        if position == 0:
            requests[3].cancel.set()
    assert answers == {0: "stop", 1: "cancelled", 2: "stop", 3: "cancelled"}
    assert remote.calls.count("cancel") == 1


def test_a_request_that_a_batch_forgets_fails_and_says_so() -> None:
    class Forgets(Good):
        def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
            return ((n, g) for n, g in super().batch(requests) if n != 1)

    _, backend = far_backend(Forgets)
    answers = dict(backend.batch([Request(prompt=f"p{n}") for n in range(3)]))
    assert [answers[n].finish_reason for n in range(3)] == ["stop", "error", "stop"]
    assert "unanswered" in str(answers[1].error)


def test_a_servant_gives_back_all_it_loaded_when_its_worker_ends() -> None:
    closed = []

    class Notes(Good):
        def close(self) -> None:
            closed.append(self)
            super().close()

    servant = BackendServant(adopt_backend(Notes, Named()))
    for instance in ("a", "b"):
        servant.describe({**plain_spec(LoadSpec()), "instance": instance})
    servant.cancel(["nobody"])
    servant.close()
    servant.close()
    assert len(closed) == 2
