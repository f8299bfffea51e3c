"""The worker's side of a step: it says what it takes and does the work, in plain values.

Each call carries the step's parameters, so a worker that was started again serves on. Knows nothing
of processes. What a step does not get in a worker: stored prompts.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NoReturn, TypedDict, cast, final

import msgspec

from openautoglm.errors import InvalidParameterError, PipelineGraphError, StepError
from openautoglm.pipeline.step import BatchStep, VariableInputs
from openautoglm.pipeline.wire import from_wire, to_wire
from openautoglm.plugins.loans import LOAN
from openautoglm.plugins.wire import plain_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.pipeline.step import Engine, Step
    from openautoglm.platform_io import PlatformIO
    from openautoglm.prompts.template import PromptTemplate

Word = Literal["text", "integer", "number", "boolean", "list", "object", "any"]


class Parameter(TypedDict):
    """What a worker says of one parameter of a step."""

    name: str
    kind: Word
    choices: list[object] | None
    nullable: bool
    required: bool
    default: object


class Described(TypedDict):
    """What a worker says of a step."""

    kind: str
    doc: str
    parameters: list[Parameter]
    inputs: dict[str, bool]
    texts: list[str]
    outputs: dict[str, str]
    exclusive: list[str]
    wants_context: bool
    batched: bool
    variable: bool


@final
class StepServant:
    """Serves one kind of step, with any parameters."""

    def __init__(self, adopted: type[Step]) -> None:
        self._kind = adopted
        self._made: Callable[[bytes], Step] = lru_cache(maxsize=64)(self._make)

    def describe(self) -> Described:
        """Say what the step takes and gives."""
        kind = self._kind
        sockets = inspect.signature(kind.run).parameters
        return Described(
            kind=kind.__name__,
            doc=inspect.getdoc(kind) or "",
            parameters=[_parameter(field) for field in msgspec.structs.fields(kind)],
            inputs=kind.inputs(),
            texts=[name for name, socket in sockets.items() if socket.annotation in {"str", str}],
            outputs=dict(kind.outputs),
            exclusive=list(kind.exclusive),
            wants_context="context" in sockets,
            batched=issubclass(kind, BatchStep),
            variable=issubclass(kind, VariableInputs),
        )

    def check(self, params: Mapping[str, object]) -> None:
        """Refuse parameters the step cannot have.

        Raises:
            InvalidParameterError: says what is wrong, as the step does.
        """
        self._step(params)

    def variable_inputs(self, params: Mapping[str, object]) -> list[str] | None:
        """Return the inputs that depend on the parameters."""
        found = cast("VariableInputs", self._step(params)).variable_inputs()
        return None if found is None else list(found)

    def run(
        self,
        params: Mapping[str, object],
        inputs: Mapping[str, object],
        context: Mapping[str, str] | None,
    ) -> object:
        """Do the work for one record."""
        values = cast("dict[str, object]", from_wire(inputs))
        if context is not None:
            values["context"] = _context(context)
        return to_wire(_outputs(self._step(params).run(**values)))

    def run_batch(
        self,
        params: Mapping[str, object],
        calls: Sequence[Mapping[str, object]],
        context: Mapping[str, str],
    ) -> list[object]:
        """Do the work for several; an answer is a mapping, or the error of that call alone."""
        step = cast("BatchStep", self._step(params))
        values = cast("list[Mapping[str, object]]", from_wire(calls))
        answers = step.run_batch(values, context=_context(context))
        return [
            {"error": plain_error(answer)}
            if isinstance(answer, Exception)
            else {"outputs": to_wire(_outputs(answer))}
            for answer in answers
        ]

    def _step(self, params: Mapping[str, object]) -> Step:
        return self._made(msgspec.msgpack.encode(params))

    def _make(self, params: bytes) -> Step:
        try:
            return msgspec.msgpack.decode(params, type=self._kind)
        except msgspec.ValidationError as cause:
            ours = cause.__cause__
            if isinstance(ours, Exception):
                raise ours from cause
            raise InvalidParameterError(str(cause), fix="change the parameter") from cause


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """The `StepContext` of a worker: the host's model, the record's name, this process's files."""

    source: str = ""
    loan: str = ""

    @property
    def engine(self) -> Engine:
        """The model of the pipeline, which stays in the host and is asked there.

        Raises:
            PipelineGraphError: the host lent none.
        """
        if not self.loan:
            _refuse("the model")
        from openautoglm.pipeline.lent_engine import LentEngine

        return LentEngine(self.loan)

    def stored_template(self, selector: str) -> PromptTemplate:
        """Refuse: the prompt store is the host's."""
        _refuse(f"the stored prompt `{selector}`")

    @property
    def platform_io(self) -> PlatformIO:
        """Files and environment, as far as the sandbox lets them be seen."""
        from openautoglm.platform_io import detect

        return detect()

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of the host's model `text` takes; errors as `engine`."""
        return self.engine.count_tokens(text)


def _context(about: Mapping[str, str]) -> WorkerContext:
    return WorkerContext(source=about["source"], loan=about.get(LOAN, ""))


def _refuse(what: str) -> NoReturn:
    raise PipelineGraphError(
        f"a step in a worker process does not get {what} from its context",
        fix="pass it into the step as a parameter or an input, or run the plugin at L0",
    )


def _outputs(answer: object) -> Mapping[str, object]:
    if isinstance(answer, Mapping):
        return answer
    raise StepError("a step must return a mapping of outputs", got=type(answer).__name__)


def _parameter(field: msgspec.structs.FieldInfo) -> Parameter:
    word, choices, nullable = _word(msgspec.inspect.type_info(field.type))
    default: object = None
    if field.default is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(field.default)
    elif field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(field.default_factory())
    return Parameter(
        name=field.encode_name,
        kind=word,
        choices=choices,
        nullable=nullable,
        required=field.required,
        default=default,
    )


def _word(info: msgspec.inspect.Type) -> tuple[Word, list[object] | None, bool]:
    """Return what a parameter holds in a word, its choices, and whether it may be null."""
    if isinstance(info, msgspec.inspect.UnionType):
        others = [one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)]
        nullable = len(others) < len(info.types)
        if len(others) == 1:
            word, choices, _ = _word(others[0])
            return word, choices, nullable
        return "any", None, nullable
    if isinstance(info, msgspec.inspect.LiteralType):
        return "any", list(info.values), False
    return _WORDS.get(type(info), "any"), None, False


_WORDS: dict[type, Word] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.BoolType: "boolean",
    msgspec.inspect.ListType: "list",
    msgspec.inspect.VarTupleType: "list",
    msgspec.inspect.DictType: "object",
    msgspec.inspect.StructType: "object",
}
