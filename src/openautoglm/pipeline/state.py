"""A record on its way through a pipeline: its values, its times, its failure.

Owns `State`, `Item` and reading a caller's record. Knows nothing of stages or of order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from openautoglm.errors import OpenAutoGLMError, StepError
from openautoglm.pipeline.result import PipelineResult, Record
from openautoglm.pipeline.spec import INPUTS, REQUIRED, Socket
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from openautoglm.pipeline.context import RunContext
    from openautoglm.pipeline.spec import PipelineSpec
    from openautoglm.pipeline.stages import Feed


@dataclass(slots=True, kw_only=True)
class State:
    """A record between two stages; changed by the stage it is in and by nobody else."""

    pipeline: str
    index: int
    context: RunContext
    values: dict[Socket, object] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    error: OpenAutoGLMError | None = None

    @property
    def chars(self) -> int:
        """How long its texts are together."""
        return sum(len(value) for value in self.values.values() if isinstance(value, str))

    def spend(self, node: str, seconds: float) -> None:
        """Add to the time of a node."""
        self.timings_s[node] = self.timings_s.get(node, 0.0) + seconds

    def release(self, sockets: tuple[Socket, ...]) -> None:
        """Forget what nobody needs any more."""
        for socket in sockets:
            self.values.pop(socket, None)

    def fail(self, node: str, cause: Exception) -> None:
        """End this record because a step raised; the first failure is the one that counts."""
        if self.error is not None:
            return
        where = f"pipeline `{self.pipeline}`, step `{node}`, {self.context.source}"
        if isinstance(cause, OpenAutoGLMError):
            self.error = StepError(f"{where}: {cause.problem}", got=cause.got, fix=cause.fix)
        else:
            self.error = StepError(
                f"{where}: {type(cause).__name__}: {cause}",
                fix="look at the cause: the step is wrong, or what it was given",
            )
        self.error.__cause__ = cause

    def result(self, spec: PipelineSpec, offsets_text: Feed) -> PipelineResult:
        """Return what came of it."""
        if self.error is not None:
            return PipelineResult(
                outputs={},
                timings_s=self.timings_s,
                source=self.context.source,
                index=self.index,
                error=self.error,
            )
        text_from = next((sender for sender in offsets_text if sender in self.values), None)
        return PipelineResult(
            outputs=_outputs(self.values, spec),
            timings_s=self.timings_s,
            source=self.context.source,
            index=self.index,
            offsets=_offsets(self.values, spec),
            text=None if text_from is None else str(self.values[text_from]),
            text_from=None if text_from is None else str(text_from),
        )


@dataclass(slots=True, kw_only=True)
class Item:
    """What the nodes of a windowed stage work on: a record, or an item of one of its lists."""

    state: State
    values: dict[Socket, object]


def open_state(spec: PipelineSpec, index: int, record: object, context: RunContext) -> State:
    """Read what the caller passed as a record; a bad one becomes a state that has failed."""
    given = record.inputs if isinstance(record, Record) else record
    name = record.source if isinstance(record, Record) else ""
    state = State(
        pipeline=spec.name,
        index=index,
        context=replace(context, source=name or f"record {index}"),
        error=record.error if isinstance(record, Record) else None,
    )
    if state.error is not None:
        return state
    try:
        for socket, value in _read(spec, given).items():
            state.values[Socket(INPUTS, socket)] = value
    except StepError as error:
        state.error = StepError(
            f"pipeline `{spec.name}`, {state.context.source}: {error.problem}",
            got=error.got,
            fix=error.fix,
        )
    return state


def _read(spec: PipelineSpec, given: object) -> dict[str, object]:
    must = [name for name, wanted in spec.inputs.items() if wanted.default is REQUIRED]
    if isinstance(given, str) and len(must) == 1:
        given = {must[0]: given}
    if not isinstance(given, Mapping):
        raise StepError(
            "a record is a mapping of inputs, or a text where one input is required",
            got=type(given).__name__,
            fix=f"pass {{{', '.join(f'{name!r}: …' for name in must)}}}",
        )
    known = tuple(spec.inputs)
    for name in given:
        if name not in spec.inputs:
            raise StepError(
                f"the pipeline has no input `{name}`",
                got=f"inputs: {', '.join(known) or 'none'}",
                fix=suggest(str(name), known) or "leave it out",
            )
    for name in must:
        if name not in given:
            raise StepError(
                f"the input `{name}` is missing",
                got=f"given: {', '.join(map(str, given)) or 'nothing'}",
                fix=f"pass {name}=…",
            )
    return {name: given.get(name, wanted.default) for name, wanted in spec.inputs.items()}


def _outputs(values: Mapping[Socket, object], spec: PipelineSpec) -> dict[str, object]:
    senders = {name: Socket.parse(sender) for name, sender in spec.outputs.items()}
    return {name: values[sender] for name, sender in senders.items() if sender in values}


def _offsets(values: Mapping[Socket, object], spec: PipelineSpec) -> Mapping[str, tuple[int, int]]:
    found = values.get(Socket.parse(spec.offsets.sender)) if spec.offsets is not None else None
    return dict(found) if isinstance(found, Mapping) else {}
