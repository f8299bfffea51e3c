"""A step in a worker asks the model of its own run, over the bus, if its manifest says so."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest

from openautoglm import AutoGLM
from openautoglm.bus import Bus, Responder
from openautoglm.engine.generation import Generation
from openautoglm.errors import (
    BusDeniedError,
    DeadlineExceededError,
    InvalidParameterError,
    InvalidPromptError,
    MessageError,
    PipelineGraphError,
    PluginCrashedError,
    PluginTimeoutError,
    RespondFailedError,
    StepError,
)
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.lent_engine import ROWS, LentEngine, lender
from openautoglm.plugins import loans
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from openautoglm.engine.backend import Request
    from openautoglm.plugins.host import RunningPlugin

CODE = '''
import os
from collections.abc import Mapping
from typing import ClassVar

from openautoglm import bus
from openautoglm.pipeline.step import Step, StepContext

KEPT = []


class Asks(Step, frozen=True):
    """Ask the model in every way there is."""

    outputs: ClassVar[Mapping[str, str]] = {"said": "what it said"}
    how: str = "run"

    def run(self, *, text: str, context: StepContext) -> Mapping[str, object]:
        return {"said": getattr(self, f"_{self.how}")(text, context)}

    def _run(self, text, context):
        return context.engine.run(text).text

    def _chat(self, text, context):
        return context.engine.run([{"role": "user", "content": text}], max_length=3).text

    def _schema(self, text, context):
        fields = {"name": {"type": "string", "x-extractive": True}}
        schema = {"type": "object", "properties": fields, "required": ["name"]}
        found = context.engine.run("Who?", schema=schema, source=text)
        return [found.parsed, found.offsets["/name"]]

    def _form(self, text, context):
        engine = context.engine
        words = engine.batch([text, text], choice=["no", "yes"])
        return [engine.run(text, regex="[a-c]{2}").parsed, *(word.parsed for word in words)]

    def _batch(self, text, context):
        prompts = ("", *(f"{text} {number}" for number in range(40)))
        return list(context.engine.batch(prompts, on_error="keep", max_length=9))

    def _raising(self, text, context):
        return list(context.engine.batch([*[text] * 20, ""]))

    def _tokens(self, text, context):
        return [context.count_tokens(text), context.engine.count_tokens(text + text)]

    def _wrong(self, text, context):
        return context.engine.run(text, max_tokens=3).text

    def _dies(self, text, context):
        bus.respond("acme.go", lambda _: os._exit(7))
        return context.engine.run(text).text

    def _keeps(self, text, context):
        KEPT.append(context.engine)
        return KEPT[0].run(text).text
'''
MAY = ("call:model.generate", "respond:acme.go")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "acme_ask").mkdir()
    (folder / "acme_ask/__init__.py").write_text(CODE)
    return folder


def started(
    host: PluginHost,
    folder: Path,
    may: tuple[str, ...] = MAY,
    *,
    name: str = "acme.ask",
    timeout_s: float = 30.0,
) -> RunningPlugin:
    provides = Provides(point="step", contract=1, name="acme.ask", object="acme_ask:Asks")
    manifest = Manifest(
        id=name,
        name="acme-ask",
        version="1.0",
        package="acme_ask",
        host_api=">=1.0,<2",
        isolation="L2" if supported().sandbox else "L1",
        limits=Limits(memory_mb=2048, call_timeout_s=timeout_s),
        permissions=may,
        provides=(provides,),
    )
    return host.start(manifest, path=[folder], channels=4, register=False)


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    with Bus() as made:
        yield made


@pytest.fixture(scope="module")
def running(folder: Path, bus: Bus) -> Iterator[RunningPlugin]:
    with PluginHost(bus=bus) as host:
        yield started(host, folder)


def asking(running: RunningPlugin, how: str = "run") -> Pipeline:
    kind: Any = running.entry(running.manifest.provides[0])
    return Pipeline(
        name="ask",
        components={"ask": kind(how=how)},
        inputs={"text": "ask.text"},
        outputs={"said": "ask.said"},
    )


def said(running: RunningPlugin, how: str, text: str = "hello") -> object:
    with AutoGLM(backend=EchoBackend()) as engine:
        return asking(running, how).run(text=text, engine=engine).outputs["said"]


def cause_of(running: RunningPlugin, how: str, engine: AutoGLM | None = None) -> BaseException:
    with pytest.raises(StepError) as caught:
        asking(running, how).run(text="hello", engine=engine or AutoGLM(backend=EchoBackend()))
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ("run", "hello"),
        ("chat", "hel"),
        ("schema", [{"name": "hello"}, [0, 5]]),
        ("form", ["aa", "no", "no"]),
        ("tokens", [5, 10]),
    ],
)
def test_a_step_in_a_worker_asks_the_model_as_one_in_this_process_does(
    running: RunningPlugin, how: str, answer: object
) -> None:
    assert said(running, how) == answer


def test_many_prompts_are_asked_in_order_and_a_bad_one_fails_alone(running: RunningPlugin) -> None:
    first, *others = cast("list[Generation]", said(running, "batch"))
    assert isinstance(first.error, InvalidPromptError)
    assert [answer.text for answer in others] == [f"hello {n}" for n in range(40)]


def test_the_errors_of_the_model_are_those_of_the_host(running: RunningPlugin) -> None:
    wrong = cause_of(running, "wrong")
    assert isinstance(wrong, InvalidParameterError)
    assert wrong.fix == "did you mean `max_length`?"
    raising = cause_of(running, "raising")
    assert isinstance(raising, InvalidPromptError)
    assert "prompts[20]" in str(raising)
    long = cause_of(running, "run", AutoGLM(backend=EchoBackend(context_length=3)))
    assert isinstance(long, InvalidPromptError)
    assert "longer than the model's context" in long.problem


def test_a_run_without_a_model_says_so_in_the_worker_too(running: RunningPlugin) -> None:
    with pytest.raises(StepError) as caught:
        asking(running).run(text="hello")
    assert isinstance(caught.value.__cause__, PipelineGraphError)


def test_a_model_that_breaks_breaks_that_call(running: RunningPlugin) -> None:
    class Broken:
        def run(self, *_: object, **__: object) -> Generation:
            raise KeyError("weights")

        def batch(self, *_: object, **__: object) -> Iterable[Generation]:
            return ()

        def count_tokens(self, text: str) -> int:
            return len(text)

    with pytest.raises(StepError) as caught:
        asking(running).run(text="hello", engine=Broken())
    assert isinstance(caught.value.__cause__, RespondFailedError)
    assert "KeyError: 'weights'" in str(caught.value.__cause__)
    assert said(running, "run") == "hello"


@pytest.mark.parametrize("may", [(), ("emit:acme.*",)])
def test_without_the_permission_the_error_names_it(
    folder: Path, bus: Bus, may: tuple[str, ...]
) -> None:
    with PluginHost(bus=bus) as host:
        cause = cause_of(started(host, folder, may, name="acme.mute"), "run")
    assert isinstance(cause, BusDeniedError)
    assert "`call:model.generate`" in cause.problem
    assert 'permissions = ["call:model.generate"]' in str(cause.fix)


def test_every_run_has_its_own_model_also_at_the_same_time(running: RunningPlugin) -> None:
    def ask(number: int) -> list[object]:
        with AutoGLM(backend=EchoBackend([f"model {number}"])) as engine:
            results = asking(running).stream(["a", "b", "c"], engine=engine)
            return [result.outputs["said"] for result in results]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))) == [[f"model {n}"] * 3 for n in range(8)]


class Endless(EchoBackend):  # type: ignore[misc]  # a fake of a fake: it ends when cancelled
    """Answers until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.ended = threading.Event(), threading.Event()

    def stream(self, request: Request) -> Iterator[str | Generation]:
        self.began.set()
        while not request.cancel.is_set():
            yield "."
        self.ended.set()
        yield Generation(text="", finish_reason="cancelled")


def test_a_worker_that_dies_ends_what_it_had_asked_and_the_next_one_is_served(
    running: RunningPlugin, bus: Bus
) -> None:
    backend = Endless()

    def kill() -> None:
        backend.began.wait(20)
        with pytest.raises(Exception, match=r"connection|closed"):
            bus.request("acme.go")

    with ThreadPoolExecutor(1) as pool, AutoGLM(backend=backend) as engine:
        killed = pool.submit(kill)
        assert isinstance(cause_of(running, "dies", engine), PluginCrashedError)
        assert backend.ended.wait(20)
        killed.result(20)
    assert said(running, "run") == "hello"


def test_a_model_that_takes_longer_than_the_call_may_is_ended_with_it(
    folder: Path, bus: Bus
) -> None:
    backend = Endless()
    with PluginHost(bus=bus) as host, AutoGLM(backend=backend) as engine:
        running = started(host, folder, name="acme.slow", timeout_s=0.5)
        late = cause_of(running, "run", engine)
        assert isinstance(late, (PluginTimeoutError, DeadlineExceededError))
        assert backend.ended.wait(20)
        assert said(running, "run") == "hello"


def test_a_model_is_lent_for_one_call_only(running: RunningPlugin) -> None:
    assert said(running, "keeps") == "hello"
    late = cause_of(running, "keeps")
    assert isinstance(late, RespondFailedError)
    assert "is over" in late.problem


def test_a_list_of_another_length_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(InvalidParameterError, match="`source` has not one entry"):
        LentEngine("nobody").batch(["one", "two"], source=["only"])


@pytest.mark.parametrize("payload", [None, {}, {"loan": "guessed"}, {"loan": 7}, []])
def test_what_is_not_lent_is_not_answered(
    running: RunningPlugin, bus: Bus, payload: object
) -> None:
    assert running.state == "running"
    with pytest.raises(RespondFailedError, match="nothing is lent"):
        bus.request(loans.MODEL, payload)


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "batch", "rows": [{"prompt": "a"}], "overrides": {"progress": True}},
        {"method": "batch", "rows": [{"prompt": "a"}], "overrides": {"on_error": "raise"}},
        {"method": "run", "row": {"prompt": "a"}, "overrides": {"prompt": "b"}},
        {"method": "batch", "rows": [{"prompt": "a"}] * (ROWS + 1), "overrides": {}},
    ],
    ids=["progress", "on_error", "prompt", "too many"],
)
def test_a_worker_that_writes_its_requests_itself_gets_no_more_than_the_model(
    asked: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    context = RunContext(given_engine=AutoGLM(backend=EchoBackend()))
    with (
        loans.lending(lender(context)) as loan,
        pytest.raises((InvalidParameterError, MessageError)),
    ):
        loans.answered({loans.LOAN: loan, **asked})
    assert capsys.readouterr() == ("", "")


def test_hosts_on_one_bus_share_who_answers_and_the_last_one_ends_it(folder: Path) -> None:
    with Bus() as bus, PluginHost(bus=bus) as one:
        kept = started(one, folder)
        with PluginHost(bus=bus) as two:
            assert said(started(two, folder, ("call:model.*",), name="acme.too"), "run") == "hello"
        assert said(kept, "run") == "hello"
    loans.open_on(bus := Bus())
    loans.close_on(bus)
    bus.respond(loans.MODEL, lambda _: "free again").close()
    bus.close()


def test_who_comes_while_the_last_one_leaves_is_answered() -> None:
    leaving, going_on = threading.Event(), threading.Event()
    with Bus() as bus:
        loans.open_on(bus)
        responder, _ = loans._served[bus]
        assert responder is not None
        forget = responder.on_close

        def forget_slowly(one: Responder) -> None:
            leaving.set()
            going_on.wait(0.2)
            forget(one)

        responder.on_close = forget_slowly
        last = threading.Thread(target=loans.close_on, args=(bus,))
        last.start()
        assert leaving.wait(5.0)
        loans.open_on(bus)
        last.join()
        with loans.lending(lambda asked, _: asked["text"]) as loan:
            asked = {"loan": loan, "text": "hello"}
            assert bus.request(loans.MODEL, asked, deadline_s=5.0).payload == "hello"
        loans.close_on(bus)


def test_a_bus_whose_model_another_answers_keeps_that_one(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Bus() as bus:
        bus.respond(loans.MODEL, lambda _: "mine")
        with PluginHost(bus=bus) as host:
            started(host, folder)
        assert bus.request(loans.MODEL).payload == "mine"
    assert "get no model on this bus" in caplog.text


def test_a_loan_is_over_however_its_call_ends() -> None:
    seen: list[str] = []

    def fail() -> None:
        with loans.lending(lambda *_: None) as loan:
            seen.append(loan)
            assert loans.is_here(loan)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert not loans.is_here(seen[0])
