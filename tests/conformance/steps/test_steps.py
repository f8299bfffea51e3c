"""One suite over every built-in step, in this process and in another, and over broken ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
import pytest

from openautoglm import AutoGLM
from openautoglm.engine.generation import Generation
from openautoglm.errors import (
    InvalidParameterError,
    PipelineGraphError,
    PluginContributionError,
    StepError,
)
from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.remote_step import remote_step
from openautoglm.pipeline.step import Step, StepContext
from openautoglm.pipeline.step_servant import WorkerContext
from openautoglm.pipeline.wire import from_wire, to_wire
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing import EchoBackend, prove
from openautoglm.testing.remote import LocalRemote

Outputs = Mapping[str, object]
ANSWER = Generation(text="yes", finish_reason="stop", model="m", prompt_tokens=1)
OPTIONS: dict[str, dict[str, object]] = {
    "model.generate": {"examples": [{"prompt": "Why?"}, {"prompt": ["a", "b"]}]},
    "output.merge": {"examples": [{"values": ["a", "b", "a"]}], "params": {"strategy": "vote"}},
    "output.parse": {"examples": [{"generation": ANSWER}], "params": {"kind": "text"}},
    "prompt.render": {"params": {"template": "Say {text}"}},
}


@pytest.mark.parametrize("name", STEPS.names())
def test_a_built_in_step_keeps_the_contract(name: str) -> None:
    findings = prove("step", STEPS.get(name), name=name, **OPTIONS.get(name, {}))
    assert {finding.contribution for finding in findings} == {f"step:{name}"}


@pytest.mark.parametrize("name", STEPS.names())
def test_a_built_in_step_keeps_the_contract_from_a_worker(name: str) -> None:
    remote = LocalRemote("step", STEPS.get(name))
    prove("step", remote_step(remote, Named(name)), name=name, **OPTIONS.get(name, {}))
    assert {"describe", "check"} <= set(remote.calls)


class Named:
    point = "step"
    contract = 1

    def __init__(self, name: str) -> None:
        self.name = name


class Upper(Step, frozen=True):
    """Capitals."""

    outputs: ClassVar[Mapping[str, str]] = {"text": "in capitals"}
    suffix: str = ""

    def run(self, *, text: str) -> Outputs:
        return {"text": text.upper() + self.suffix}


class Mutable(Step, frozen=False):  # type: ignore[misc]  # the mistake that is tested
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text"}

    def run(self, *, text: str) -> Outputs:
        return {"text": text}


class Lenient(Upper, frozen=True, forbid_unknown_fields=False):
    pass


class PositionalOnly(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text"}

    def run(self, text: str, /) -> Outputs:
        return {"text": text}


class Sourceless(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text"}

    def run(self) -> Outputs:
        return {"text": "always the same"}


class Undeclared(Upper, frozen=True):
    def run(self, *, text: str) -> Outputs:
        return {"text": text, "length": len(text)}


class NoMapping(Upper, frozen=True):
    def run(self, *, text: str) -> Outputs:
        return text  # type: ignore[return-value]  # the mistake that is tested


class NeverFilled(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text", "words": "its words"}

    def run(self, *, text: str) -> Outputs:
        return {"text": text}


class BothBranches(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"clean": "clean", "dirty": "dirty"}
    exclusive: ClassVar[tuple[str, ...]] = ("clean", "dirty")

    def run(self, *, text: str) -> Outputs:
        return {"clean": text, "dirty": text}


class WritesItsInput(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"words": "sorted"}

    def run(self, *, words: list[str]) -> Outputs:
        words.sort()
        return {"words": words}


_shared: list[str] = []


class SharesState(Upper, frozen=True):
    def run(self, *, text: str) -> Outputs:
        _shared[:] = [text]
        time.sleep(0.002)
        return {"text": _shared[0]}


class ShufflesBatch(Upper, frozen=True):
    def run_batch(self, calls: Sequence[Outputs], *, context: StepContext) -> Sequence[Outputs]:
        del context
        return [{"text": str(call["text"]).upper()} for call in reversed(calls)]


class DropsFromBatch(Upper, frozen=True):
    def run_batch(self, calls: Sequence[Outputs], *, context: StepContext) -> Sequence[Outputs]:
        del context
        return [{"text": str(call["text"]).upper()} for call in calls[1:]]


class Raises(Upper, frozen=True):
    def run(self, *, text: str) -> Outputs:
        raise SystemExit(f"cannot bear {text}")


WORDS = {"examples": [{"words": ["b", "a"]}]}


@pytest.mark.parametrize(
    ("step", "row", "options"),
    [
        (Mutable, "step.frozen", {}),
        (Lenient, "step.parameters", {}),
        (PositionalOnly, "step.sockets", {}),
        (Sourceless, "step.graph", {}),
        (Undeclared, "step.outputs", {}),
        (NoMapping, "step.outputs", {}),
        (NeverFilled, "step.outputs", {}),
        (BothBranches, "step.exclusive", {}),
        (WritesItsInput, "step.inputs", WORDS),
        (SharesState, "step.threads", {}),
        (ShufflesBatch, "step.batch", {}),
        (DropsFromBatch, "step.batch", {}),
        (Raises, "step.outputs", {}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_step_is_caught_by_the_row_that_should(
    step: type[Step], row: str, options: dict[str, object]
) -> None:
    findings = POINTS.get("step").findings(lambda: step, options)
    failed = {finding.row: finding for finding in findings if finding.status == "fail"}
    assert row in failed
    assert failed[row].measured
    assert failed[row].consequence
    assert failed[row].fix


def test_a_good_step_fails_nothing_and_a_proof_raises_with_the_table() -> None:
    prove("step", Upper, params={"suffix": "!"})
    with pytest.raises(PluginContributionError, match=r"(?s)does not keep.*step.outputs.*fail"):
        prove("step", Undeclared)


@pytest.mark.parametrize("value", [Step, Upper(), str, "text", None])
def test_what_is_no_step_is_not_adopted(value: object) -> None:
    with pytest.raises(PluginContributionError):
        POINTS.get("step").adopted(value, Named("x"))


class Templated(Step, frozen=True):
    """Inputs that depend on the parameters, and all kinds of parameters."""

    outputs: ClassVar[Mapping[str, str]] = {"text": "the text", "length": "its length"}
    names: list[str]
    times: int = 1
    limit: float | None = None
    mode: str = "plain"

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InvalidParameterError("`times` is at least 1", got=self.times, fix="times: 1")

    def variable_inputs(self) -> tuple[str, ...]:
        return tuple(self.names)

    def run(self, **inputs: object) -> Outputs:
        text = " ".join(str(inputs[name]) for name in self.names) * self.times
        return {"text": text, "length": len(text)}


@pytest.fixture
def remote() -> Iterator[LocalRemote]:
    remote = LocalRemote("step", Templated)
    with owned_by("acme"):
        STEPS.add("acme.join", remote_step(remote, Named("acme.join")))
    yield remote
    STEPS.revoke("acme")


YAML = """
name: join
components:
  join: {type: acme.join, params: {names: [a, b], times: %s}}
inputs: {first: {to: join.a}, second: {to: join.b}}
outputs: {text: join.text}
"""


def test_a_file_names_a_step_in_a_worker_like_any_other(remote: LocalRemote) -> None:
    pipeline = Pipeline.from_yaml(YAML % 2)
    assert pipeline.run(first="x", second="y").outputs["text"] == "x yx y"
    assert Pipeline.from_yaml(pipeline.to_yaml()) == pipeline
    assert remote.calls.count("run") == 1


def test_a_wrong_parameter_of_a_step_in_a_worker_is_refused_at_its_line(
    remote: LocalRemote,
) -> None:
    with pytest.raises(Exception, match=r"<text>:4.*`times` is at least 1"):
        Pipeline.from_yaml(YAML % 0)
    with pytest.raises(Exception, match="Expected `int`"):
        Pipeline.from_yaml(YAML % "many")
    with pytest.raises(Exception, match="no parameter `tims`"):
        Pipeline.from_yaml((YAML % 1).replace("times", "tims"))
    assert "check" in remote.calls


def test_a_step_in_a_worker_serves_on_when_its_worker_was_started_again(
    remote: LocalRemote,
) -> None:
    pipeline = Pipeline.from_yaml(YAML % 1)
    remote.restart()
    assert pipeline.run(first="x", second="y").outputs["text"] == "x y"


class AsksTheModel(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "what it said"}

    def run(self, *, text: str, context: StepContext) -> Outputs:
        return {"text": context.engine.run(text).text}


def test_a_step_in_a_worker_gets_the_model_of_its_run_or_is_told_that_there_is_none() -> None:
    kind = remote_step(LocalRemote("step", AsksTheModel), Named("acme.ask"))
    pipeline = Pipeline(
        name="ask",
        components={"ask": kind()},
        inputs={"text": "ask.text"},
        outputs={"text": "ask.text"},
    )
    with AutoGLM(backend=EchoBackend()) as engine:
        assert pipeline.run(text="hello", engine=engine).outputs["text"] == "hello"
    with pytest.raises(StepError) as caught:
        pipeline.run(text="hello", engine=None)
    assert isinstance(caught.value.__cause__, PipelineGraphError)
    assert "started without one" in str(caught.value.__cause__)


def test_one_call_of_a_batch_fails_alone_also_from_a_worker() -> None:
    class Picky(Upper, frozen=True):
        def run_batch(
            self, calls: Sequence[Outputs], *, context: StepContext
        ) -> Sequence[Outputs | Exception]:
            del context
            return [
                StepError("no text") if not call["text"] else {"text": call["text"]}
                for call in calls
            ]

    kind: Any = remote_step(LocalRemote("step", Picky), Named("acme.picky"))
    pipeline = Pipeline(
        name="picky",
        components={"picky": kind()},
        inputs={"text": "picky.text"},
        outputs={"text": "picky.text"},
    )
    good, bad = pipeline.stream(["a", ""], on_error="return")
    assert good.outputs["text"] == "a"
    assert "no text" in str(bad.error)


def test_values_between_steps_come_back_as_what_they_were() -> None:
    value = {"$oag": "mine", "g": [ANSWER, StepError("bad", got=1)], "n": None, "t": (1, 2.5, b"x")}
    again: Any = from_wire(to_wire(value))
    assert again["$oag"] == "mine"
    assert again["g"][0] == ANSWER
    assert str(again["g"][1]) == str(StepError("bad", got=1))
    assert again["t"] == [1, 2.5, b"x"]
    with pytest.raises(StepError, match="cannot leave"):
        to_wire({"engine": EchoBackend()})


class Everything(Step, frozen=True):
    """Parameters of all kinds."""

    outputs: ClassVar[Mapping[str, str]] = {"said": "the parameters"}
    mode: Literal["a", "b"] = "a"
    size: int | None = None
    either: int | str = 1
    names: tuple[str, ...] = ("x",)
    table: dict[str, int] = msgspec.field(default_factory=dict)
    share: float = 0.5
    is_new: bool = False

    def run(self, *, text: str = "none", context: StepContext) -> Outputs:
        said = {"mode": self.mode, "size": self.size, "names": list(self.names)}
        return {"said": {**said, "text": text, "source": context.source, "table": self.table}}


def test_a_step_in_a_worker_has_the_parameters_and_defaults_it_has_here() -> None:
    far: Any = remote_step(LocalRemote("step", Everything), Named("acme.all"))
    assert far().names == ["x"]
    assert (far().mode, far().size, far().share, far().table) == ("a", None, 0.5, {})
    assert far.inputs() == {"text": False}
    assert far(names=["y"], table={"k": 1}) == far(names=["y"], table={"k": 1})
    for wrong in ({"mode": "c"}, {"size": "many"}, {"is_new": 1}):
        with pytest.raises(Exception, match=r"Expected|Invalid enum"):
            msgspec.convert(wrong, type=far)
    pipeline = Pipeline(
        name="all",
        components={"all": msgspec.convert({"size": 3}, type=far)},
        inputs={"text": "all.text"},
        outputs={"said": "all.said"},
    )
    said: Any = pipeline.run(text="t", source="row 7").outputs["said"]
    assert said == {
        "mode": "a", "size": 3, "names": ["x"], "text": "t", "source": "row 7", "table": {},
    }  # fmt: skip


def test_a_worker_lends_a_step_its_own_files_and_refuses_what_is_the_hosts() -> None:
    context = WorkerContext(source="row 1")
    assert context.platform_io.get_env("NO_SUCH_VARIABLE", "x") == "x"
    for ask in (lambda: context.count_tokens("a"), lambda: context.stored_template("t")):
        with pytest.raises(PipelineGraphError, match="in a worker"):
            ask()
    with pytest.raises(PipelineGraphError, match="the model"):
        _ = context.engine


def test_what_a_step_over_there_returns_is_checked_there() -> None:
    far: Any = remote_step(LocalRemote("step", NoMapping), Named("acme.none"))
    with pytest.raises(StepError, match="must return a mapping"):
        far().run(text="a")
