"""What a step of a pipeline is: parameters, input sockets, output sockets, one call.

Owns `Step`, its two extensions `BatchStep` and `VariableInputs`, and `StepContext`. Knows nothing
of graphs, YAML or execution order.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openautoglm.engine.generation import Generation
    from openautoglm.platform_io import PlatformIO
    from openautoglm.prompts.template import PromptTemplate


class Engine(Protocol):
    """What steps need of a model. `AutoGLM` is one; so is a fake with these three methods."""

    def run(self, *args: Any, **options: Any) -> Generation:  # noqa: ANN401 - the engine checks
        """Answer one prompt."""
        ...

    def batch(self, *args: Any, **options: Any) -> Iterable[Generation]:  # noqa: ANN401 - as above
        """Answer many, in order; one that fails is a generation with "error"."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` takes."""
        ...


class StepContext(Protocol):
    """What the executor lends a step that asks for it by naming a parameter `context`."""

    @property
    def engine(self) -> Engine:
        """The model; raises `PipelineGraphError` when the pipeline was started without one."""
        ...

    def stored_template(self, selector: str) -> PromptTemplate:
        """Return `name`, `name@version` or `name@alias` of the prompt store.

        It is read once: all records of a stream get the same, also when an alias is moved.
        """
        ...

    @property
    def platform_io(self) -> PlatformIO:
        """Files and environment of the platform this runs on."""
        ...

    @property
    def source(self) -> str:
        """Name of the record, for messages; empty in a call for several records."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of the pipeline's model `text` takes."""
        ...


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replaceable stage. Its fields are the parameters a YAML file may set.

    A subclass is final. It declares `outputs` (socket name to what comes out of it) and `run`,
    whose keyword parameters are the input sockets: one with a default is optional. `run` returns
    a value for each output it fills; an output left out ends that branch of the graph.

    Example:
        >>> class Upper(Step, frozen=True):
        ...     outputs: ClassVar[Mapping[str, str]] = {"text": "the text in capitals"}
        ...     def run(self, *, text: str) -> Mapping[str, object]:
        ...         return {"text": text.upper()}
        >>> Upper().run(text="abc")
        {'text': 'ABC'}
        >>> Upper.inputs()
        {'text': True}
    """

    outputs: ClassVar[Mapping[str, str]] = {}
    exclusive: ClassVar[tuple[str, ...]] = ()
    """Outputs of which a run fills exactly one, so that what hangs on them are branches of which
    one is taken. Only such branches may lead into one input again."""

    def run(self, *args: Any, **kwargs: Any) -> Mapping[str, object]:  # noqa: ANN401 - any sockets
        """Do the work for one record."""
        raise NotImplementedError

    @classmethod
    def inputs(cls) -> dict[str, bool]:
        """Return the input sockets: name to whether it is required."""
        return {
            name: parameter.default is inspect.Parameter.empty
            for name, parameter in inspect.signature(cls.run).parameters.items()
            if name not in {"self", "context"} and parameter.kind is not parameter.VAR_KEYWORD
        }


@runtime_checkable
class BatchStep(Protocol):
    """A step that rather works on many records at once. It has `run` as well, for one."""

    def run_batch(
        self, calls: Sequence[Mapping[str, object]], *, context: StepContext
    ) -> Sequence[Mapping[str, object] | Exception]:
        """Do the work for several records.

        Args:
            calls: the inputs of each.
            context: as for `run`.

        Returns:
            What `run` would, for each call in order; an exception fails that call alone.
        """
        ...


@runtime_checkable
class VariableInputs(Protocol):
    """A step whose input sockets depend on its parameters, such as a template's variables."""

    def variable_inputs(self) -> tuple[str, ...] | None:
        """Return the required inputs beside those of `run`; None takes any that are connected."""
        ...
