"""A pipeline: a frozen graph of named steps that was checked when it was built.

Owns `Pipeline`, the front door. Knows nothing of what any step does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, cast, final

from openautoglm.errors import InvalidParameterError
from openautoglm.pipeline.catalog import STEPS, task_text
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.dump import dump
from openautoglm.pipeline.execute import Execution
from openautoglm.pipeline.job import told
from openautoglm.pipeline.loader import load_spec, read_source
from openautoglm.pipeline.spec import Component, Connection, Input, Offsets, PipelineSpec
from openautoglm.pipeline.stages import Plan, plan
from openautoglm.pipeline.step import Step
from openautoglm.pipeline.wiring import resolve

if TYPE_CHECKING:
    import os

    from openautoglm.pipeline.result import PipelineResult, Record
    from openautoglm.pipeline.step import Engine
    from openautoglm.platform_io import PlatformIO
    from openautoglm.prompts.store import PromptStore

WINDOW: Final = 64  # model calls gathered before they are made together


@final
@dataclass(frozen=True, slots=True, init=False, repr=False)
class Pipeline:
    """Raw text to structured result.

    Frozen, and safe to use from several threads. Two pipelines are equal when they do the same.

    Args:
        name: what it is called in messages.
        components: the steps by name; `Component(step=…, each=("text",))` works through a list.
        connections: pairs ("a.out", "b.in").
        inputs: what the caller passes, each with the component inputs it goes to.
        outputs: what the caller gets, each with the component output it comes from.
        offsets: where the positions of copied values come from.
        description: for people.
        version: of this pipeline; free text.

    Raises:
        PipelineGraphError: the components do not form a graph that can run.
        InvalidParameterError: a section holds something else.

    Example:
        >>> class Upper(Step, frozen=True):
        ...     outputs = {"text": "the text in capitals"}
        ...     def run(self, *, text: str) -> Mapping[str, object]:
        ...         return {"text": text.upper()}
        >>> shout = Pipeline(
        ...     name="shout",
        ...     components={"upper": Upper()},
        ...     connections=[],
        ...     inputs={"text": "upper.text"},
        ...     outputs={"result": "upper.text"},
        ... )
        >>> shout.run(text="hello").outputs["result"]
        'HELLO'
    """

    spec: PipelineSpec
    _plan: Plan = field(compare=False)

    def __init__(  # noqa: PLR0913 - the sections of the file, by keyword
        self,
        *,
        name: str,
        components: Mapping[str, Step | Component],
        connections: Iterable[tuple[str, str] | Connection] = (),
        inputs: Mapping[str, str | Sequence[str] | Input],
        outputs: Mapping[str, str],
        offsets: Offsets | None = None,
        description: str = "",
        version: str = "1",
    ) -> None:
        spec = PipelineSpec(
            name=name,
            components=MappingProxyType({n: _component(c) for n, c in components.items()}),
            connections=tuple(_connection(c) for c in connections),
            inputs=MappingProxyType({n: _input(i) for n, i in inputs.items()}),
            outputs=MappingProxyType(dict(outputs)),
            offsets=offsets,
            description=description,
            version=version,
        )
        self._freeze(spec)

    @classmethod
    def from_spec(cls, spec: PipelineSpec) -> Pipeline:
        """Check a graph and freeze it; errors as the class."""
        pipeline = cls.__new__(cls)
        pipeline._freeze(spec)  # noqa: SLF001 - our own, half built
        return pipeline

    @classmethod
    def from_yaml(cls, source: str | os.PathLike[str]) -> Pipeline:
        """Read a pipeline from YAML.

        Args:
            source: a path, a one-line string that ends in .yaml or .yml (a path as well), or the
                YAML itself.

        Raises:
            InputNotFoundError: there is no such file.
            PipelineSyntaxError: the file cannot be read as a pipeline; names line and fix.
            PipelineGraphError: the components do not form a graph that can run.
        """
        text, name = read_source(source)
        return cls.from_spec(load_spec(text, name=name, steps=STEPS))

    @classmethod
    def load(cls, task: str | os.PathLike[str]) -> Pipeline:
        """Load a shipped task such as "extract", one of a plugin, or a file.

        Raises:
            UnknownNameError: no task of that name; errors otherwise as `from_yaml`.

        Example:
            >>> Pipeline.load("summarize").name
            'summarize'
        """
        text = task_text(task)
        if text is None:
            return cls.from_yaml(task)
        return cls.from_spec(load_spec(text, name=f"{task}.yaml", steps=STEPS))

    @property
    def name(self) -> str:
        """What it is called."""
        return self.spec.name

    def to_yaml(self) -> str:
        """Return the YAML that `from_yaml` reads back as an equal pipeline.

        Raises:
            PipelineGraphError: a step is not in `STEPS`, so a file cannot name it.
        """
        return dump(self.spec, STEPS)

    def run(
        self,
        *,
        engine: Engine | None = None,
        prompts: PromptStore | None = None,
        platform_io: PlatformIO | None = None,
        source: str = "",
        **inputs: object,
    ) -> PipelineResult:
        """Run one record.

        Args:
            engine: the model, for pipelines with a step that generates.
            prompts: the prompt store; default the one of the settings.
            platform_io: files and environment; default this machine's.
            source: name of the record for messages.
            **inputs: a value for each input of the pipeline.

        Raises:
            StepError: a step failed, or an input is missing or unknown.
            InvalidParameterError: `engine` is no engine.
        """
        from openautoglm.pipeline.result import Record

        _check_engine(engine)
        record = Record(inputs=inputs, source=source or "the record")
        context = RunContext(
            given_engine=engine, given_prompts=prompts, given_platform_io=platform_io
        )
        (result,) = Execution(self.spec, self._plan, context, WINDOW).results([record])
        if result.error is not None:
            raise result.error
        return result

    def stream(
        self,
        records: Iterable[Record | Mapping[str, object] | str],
        *,
        engine: Engine | None = None,
        on_error: Literal["raise", "return"] = "raise",
        window: int = WINDOW,
        prompts: PromptStore | None = None,
        platform_io: PlatformIO | None = None,
    ) -> Iterator[PipelineResult]:
        """Run many records: an iterator in, their results in order out.

        Records are read as results are taken, at most a window ahead, so neither side needs to
        fit in memory. The model calls of a window are made together. How far it is goes out on the
        bus as `job.state`, where there is one.

        Args:
            records: inputs by name, a `Record` where it should have a name of its own, or a bare
                text where the pipeline has one input.
            engine: as in `run`.
            on_error: "raise" raises at the first record that fails, after the results before it;
                "return" gives a result with `error` in that record's place and goes on.
            window: model calls that are gathered before they are made together; 1 gives each
                result as soon as its record is there.
            prompts: as in `run`.
            platform_io: as in `run`.

        Raises:
            InvalidParameterError: an option that cannot be, at once.
            StepError: while iterating.
        """
        _check_options(records, on_error, window)
        _check_engine(engine)
        context = RunContext(
            given_engine=engine, given_prompts=prompts, given_platform_io=platform_io
        )
        return told(
            Execution(self.spec, self._plan, context, window).results(records),
            task=self.name,
            raises=on_error == "raise",
            total=len(records) if isinstance(records, Sized) else None,
        )

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, components=[{', '.join(self.spec.components)}])"

    def _freeze(self, spec: PipelineSpec) -> None:
        object.__setattr__(self, "spec", spec)
        object.__setattr__(self, "_plan", plan(spec, resolve(spec)))


def _check_options(records: object, on_error: object, window: object) -> None:
    if on_error not in {"raise", "return"}:
        raise InvalidParameterError(
            '`on_error` must be "raise" or "return"', got=repr(on_error), fix='on_error="return"'
        )
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise InvalidParameterError(
            "`window` must be a whole number of at least 1",
            got=repr(window),
            fix=f"window={WINDOW}",
        )
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Iterable):
        raise InvalidParameterError(
            "`records` must be an iterable of records",
            got=type(records).__name__,
            fix="pass a list, or call `run` for a single record",
        )


def _check_engine(engine: object) -> None:
    names = ("run", "batch", "count_tokens")
    if engine is not None and not all(callable(getattr(engine, name, None)) for name in names):
        raise InvalidParameterError(
            "`engine` must be a loaded model", got=repr(engine)[:80], fix="engine=AutoGLM(…)"
        )


def _component(given: object) -> Component:
    component = given if isinstance(given, Component) else Component(step=cast("Step", given))
    if isinstance(component.step, Step):
        return component
    raise _wrong("components", "a Step or a Component for each name", given, "Clean()")


def _connection(given: object) -> Connection:
    match given:
        case Connection():
            return given
        case (str(sender), str(receiver)):
            return Connection(sender=sender, receiver=receiver)
        case _:
            raise _wrong("connections", "pairs of texts", given, '("a.out", "b.in")')


def _input(given: object) -> Input:
    match given:
        case Input():
            return given
        case str():
            return Input(to=(given,))
        case list() | tuple() if all(isinstance(to, str) for to in given):
            return Input(to=tuple(given))
        case _:
            raise _wrong("inputs", "a text or a list of texts for each name", given, '"a.in"')


def _wrong(section: str, expected: str, given: object, example: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"`{section}` must hold {expected}",
        got=f"{given!r} ({type(given).__name__})"[:120],
        fix=f"for example {example}",
    )
