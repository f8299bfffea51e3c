"""What every pipeline step must do, as rows that name what is wrong.

Owns `step_suite`. What it does not ask: whether the step does what its author meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec

from openautoglm.engine.autoglm import AutoGLM
from openautoglm.errors import UnknownNameError
from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.contributions import adopt_step
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.step import BatchStep, Step, VariableInputs
from openautoglm.pipeline.wire import to_wire
from openautoglm.pipeline.wiring import NAME
from openautoglm.plugins.wire import plain_error
from openautoglm.testing.echo import EchoBackend
from openautoglm.testing.suite import NotAskedError, Row, contribution_of, expect, findings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.report import Finding

TEXTS: Final = ("Some words. And more.", "", "请总结:人工智能\n👋🏽", "<p>a &amp; b</p>  ")
THREADS: Final = 4
Inputs = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    kind: type[Step]
    params: Mapping[str, object]
    examples: Sequence[Inputs]
    name: str = "the step"

    def step(self) -> Step:
        try:
            return msgspec.convert(dict(self.params), type=self.kind)
        except msgspec.ValidationError as cause:
            if self.params:
                raise
            raise NotAskedError(f"give the option `params`: {cause}") from cause

    def inputs(self) -> Sequence[Inputs]:
        """Return what to run the step with: the examples, or texts for inputs that are texts."""
        if self.examples:
            return self.examples
        step = self.step()
        sockets = inspect.signature(self.kind.run).parameters
        required = [name for name, must in self.kind.inputs().items() if must]
        if isinstance(step, VariableInputs):
            required += step.variable_inputs() or ()
        others = [n for n in required if n in sockets and sockets[n].annotation not in {"str", str}]
        if others:
            raise NotAskedError(
                f"give the option `examples`: `{others[0]}` is not annotated as a text"
            )
        return [dict.fromkeys(required, text) for text in TEXTS]

    def run(self, inputs: Inputs) -> Mapping[str, object]:
        """Run the step as a pipeline does, an engine at hand."""
        given = _copied(inputs)
        if "context" in inspect.signature(self.kind.run).parameters:
            with AutoGLM(backend=EchoBackend()) as engine:
                return _kept(self.step().run(**given, context=RunContext(given_engine=engine)))
        return _kept(self.step().run(**given))


def step_suite(factory: Callable[[], object], options: Mapping[str, object]) -> Iterator[Finding]:
    """Check a step's class, made anew for each row.

    Args:
        factory: returns the class.
        options: `params` for its parameters, `examples`: a list of inputs to run it with, by name;
            without them it runs on texts, where all its inputs are texts.
    """

    def make() -> _Subject:
        kind = cast("type[Step]", factory())
        return _Subject(
            kind=kind,
            params=cast("Mapping[str, object]", options.get("params", {})),
            examples=cast("Sequence[Inputs]", options.get("examples", ())),
            name=str(options.get("name", kind.__name__)),
        )

    return findings_of(ROWS, make, contribution_of("step", options))


def _is_a_step(subject: _Subject) -> str:
    adopt_step(subject.kind, _Named(point="step", contract=1, name=subject.name))
    return subject.kind.__qualname__


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    point: str
    contract: int
    name: str


def _is_frozen(subject: _Subject) -> str:
    step = subject.step()
    expect(type(step).__struct_config__.frozen, "its attributes can be assigned")
    expect(step == subject.step(), "two steps with the same parameters are not equal")
    return "frozen, equal to its like"


def _parameters_are_plain(subject: _Subject) -> str:
    step = subject.step()
    plain = msgspec.to_builtins(step)
    expect(msgspec.convert(plain, type=subject.kind) == step, "written down and read it differs")
    unknown = {**subject.params, "no_such_parameter": 1}
    try:
        msgspec.convert(unknown, type=subject.kind)
    except msgspec.ValidationError:
        msgspec.json.schema(subject.kind)
        return f"{len(plain)} parameters"
    raise AssertionError("an unknown parameter is accepted")


def _sockets_have_names(subject: _Subject) -> str:
    kinds = inspect.Parameter
    sockets = inspect.signature(subject.kind.run).parameters
    for name, socket in list(sockets.items())[1:]:
        expect(
            socket.kind in {kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD, kinds.VAR_KEYWORD},
            f"`{name}` of `run` cannot be passed by name",
        )
    for name in (*subject.kind.inputs(), *subject.kind.outputs):
        expect(NAME.fullmatch(name), f"`{name}` cannot be the name of a socket")
    strange = set(subject.kind.exclusive) - set(subject.kind.outputs)
    expect(not strange, f"`exclusive` names {sorted(strange)}, which are no outputs")
    return f"{len(subject.kind.inputs())} in, {len(subject.kind.outputs)} out"


def _fits_a_graph(subject: _Subject) -> str:
    step = subject.step()
    names = list(step.inputs())
    if isinstance(step, VariableInputs):
        names += step.variable_inputs() or ("text",)
    expect(names, "it has no input, so that no record can reach it")
    pipeline = Pipeline(
        name="check",
        components={"step": step},
        inputs={f"in-{name}": f"step.{name}" for name in names},
        outputs={name: f"step.{name}" for name in step.outputs},
    )
    try:
        text = pipeline.to_yaml() if _is_registered(subject.kind) else None
    except UnknownNameError:
        text = None
    expect(text is None or Pipeline.from_yaml(text) == pipeline, "from YAML it is another pipeline")
    return "a pipeline of it alone is valid"


def _is_registered(kind: type[Step]) -> bool:
    return any(STEPS.get(name) is kind for name in STEPS.names())


def _fills_its_outputs(subject: _Subject) -> str:
    filled: set[str] = set()
    for inputs in subject.inputs():
        answer = subject.run(inputs)
        strange = set(answer) - set(subject.kind.outputs)
        expect(not strange, f"`run` filled {sorted(strange)}, which it does not declare")
        filled |= set(answer)
    never = set(subject.kind.outputs) - filled - set(subject.kind.exclusive)
    expect(not never, f"no example filled {sorted(never)}")
    return f"{len(subject.inputs())} examples"


def _fills_one_of_exclusive(subject: _Subject) -> str:
    if not subject.kind.exclusive:
        raise NotAskedError("it declares no exclusive outputs")
    for inputs in subject.inputs():
        taken = set(subject.run(inputs)) & set(subject.kind.exclusive)
        expect(len(taken) == 1, f"a run filled {sorted(taken) or 'none'} of them")
    return ", ".join(subject.kind.exclusive)


def _keeps_its_inputs(subject: _Subject) -> str:
    for inputs in subject.inputs():
        given = _copied(inputs)
        step = subject.step()
        if "context" in inspect.signature(subject.kind.run).parameters:
            with AutoGLM(backend=EchoBackend()) as engine:
                _kept(step.run(**given, context=RunContext(given_engine=engine)))
        else:
            _kept(step.run(**given))
        expect(given == inputs, "a run changed what was passed to it")
    return f"{len(subject.inputs())} examples"


def _is_repeatable(subject: _Subject) -> str:
    for inputs in subject.inputs():
        first, second = (_shown(subject.run(inputs)) for _ in range(2))
        expect(first == second, f"two runs differ: {first[:80]} and {second[:80]}")
    return f"{len(subject.inputs())} examples, twice"


def _bears_threads(subject: _Subject) -> str:
    inputs = list(subject.inputs()) * THREADS
    alone = [_shown(subject.run(one)) for one in inputs]
    if alone != [_shown(subject.run(one)) for one in inputs]:
        raise NotAskedError("runs differ by themselves")
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda one: _shown(subject.run(one)), inputs))
    expect(alone == together, "runs in several threads differ from runs in one")
    return f"{THREADS} threads"


def _batches_like_single_runs(subject: _Subject) -> str:
    step = subject.step()
    if not isinstance(step, BatchStep):
        raise NotAskedError("it has no `run_batch`")
    calls = list(subject.inputs())
    with AutoGLM(backend=EchoBackend()) as engine:
        context = RunContext(given_engine=engine)
        answers = step.run_batch([_copied(call) for call in calls], context=context)
        none = step.run_batch([], context=context)
    expect(len(answers) == len(calls), f"{len(answers)} answers to {len(calls)} calls")
    expect(len(none) == 0, "no calls gave answers")
    for inputs, answer in zip(calls, answers, strict=True):
        single = _tried(subject, inputs)
        expect(_shown(answer) == _shown(single), "a batch gives what single runs do not")
    return f"{len(calls)} calls"


def _can_leave_its_process(subject: _Subject) -> str:
    for inputs in subject.inputs():
        to_wire(inputs)
        to_wire(subject.run(inputs))
    return f"{len(subject.inputs())} examples"


def _tried(subject: _Subject, inputs: Inputs) -> object:
    try:
        return subject.run(inputs)
    except Exception as cause:  # noqa: BLE001 - a batch returns what a run raises
        return cause


def _copied(inputs: Inputs) -> dict[str, object]:
    return {name: _copy(value) for name, value in inputs.items()}


def _copy(value: object) -> object:
    """Copy what can be changed in place: lists and dicts; all else that flows is frozen."""
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, dict) else value


def _kept(answer: object) -> Mapping[str, object]:
    """Read iterators among the outputs, as the executor does; they cannot be read twice."""
    if not isinstance(answer, Mapping):
        raise TypeError(f"`run` returned {type(answer).__name__}, not a mapping")
    return {k: list(v) if isinstance(v, Iterator) else v for k, v in answer.items()}


def _shown(answer: object) -> str:
    return repr(plain_error(answer) if isinstance(answer, Exception) else _comparable(answer))


def _comparable(answer: object) -> object:
    """Leave out of generations what no two runs share: how long they took."""
    if isinstance(answer, Mapping):
        return {k: _comparable(v) for k, v in answer.items() if k != "timings"}
    if isinstance(answer, list):
        return [_comparable(item) for item in answer]
    try:
        plain = to_wire(answer)
    except Exception:  # noqa: BLE001 - another row asks about this
        return repr(answer)
    return _comparable(plain) if isinstance(plain, (dict, list)) else plain


ROWS: Final[tuple[Row[_Subject], ...]] = (
    Row(
        name="step.class",
        check=_is_a_step,
        threshold="a subclass of Step with run and outputs",
        consequence="no pipeline can name it",
        fix="write `class Name(Step, frozen=True):` with `outputs` and `run`",
    ),
    Row(
        name="step.frozen",
        check=_is_frozen,
        threshold="frozen, and equal to a step with the same parameters",
        consequence="two pipelines that share the step change each other",
        fix="write `class Name(Step, frozen=True):` and keep no state in it",
    ),
    Row(
        name="step.parameters",
        check=_parameters_are_plain,
        threshold="parameters are plain values, unknown ones are refused",
        consequence="a YAML file cannot set them, or a typing error goes unnoticed",
        fix="give parameters types that JSON holds, and keep `forbid_unknown_fields`",
    ),
    Row(
        name="step.sockets",
        check=_sockets_have_names,
        threshold="inputs are passed by name; names are letters, digits, _ and -",
        consequence="the executor cannot call it",
        fix="write `def run(self, *, text: str)`",
    ),
    Row(
        name="step.graph",
        check=_fits_a_graph,
        threshold="a pipeline of this step alone is valid",
        consequence="no pipeline can use it",
        fix="give it an input and declare its outputs",
    ),
    Row(
        name="step.outputs",
        check=_fills_its_outputs,
        threshold="a mapping of declared outputs, each filled by some example",
        consequence="records fail, or branches of the graph silently end",
        fix="return exactly the names of `outputs`",
    ),
    Row(
        name="step.exclusive",
        check=_fills_one_of_exclusive,
        threshold="a run fills exactly one of the exclusive outputs",
        consequence="two branches run for one record, or none does",
        fix="return one of them from each run",
    ),
    Row(
        name="step.inputs",
        check=_keeps_its_inputs,
        threshold="what is passed in stays as it was",
        consequence="other branches of the graph see changed values",
        fix="work on a copy",
    ),
    Row(
        name="step.repeatable",
        check=_is_repeatable,
        threshold="the same inputs give the same outputs",
        consequence="a job that is resumed mixes two answers",
        fix="take the seed as a parameter",
        warns=True,
    ),
    Row(
        name="step.threads",
        check=_bears_threads,
        threshold="runs in several threads give what runs in one give",
        consequence="records of a busy service are mixed up",
        fix="keep no state outside `run`, or guard it with a lock",
    ),
    Row(
        name="step.batch",
        check=_batches_like_single_runs,
        threshold="run_batch gives one answer for each call, in order, the one `run` gives",
        consequence="records get each other's answers",
        fix="return one answer for each call; an exception fails that call alone",
    ),
    Row(
        name="step.wire",
        check=_can_leave_its_process,
        threshold="inputs and outputs are plain values, generations, segments or arrays",
        consequence="the step runs at the level L0 only",
        fix="return texts, numbers, lists and mappings",
        warns=True,
    ),
)
"""In the order in which they are asked."""
