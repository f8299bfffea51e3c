"""What a step of a pipeline is: parameters, input sockets, output sockets, one call.

Owns `Step` and `StepContext`. Knows nothing of graphs, YAML or execution order.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class StepContext(Protocol):
    """What the executor lends a step that asks for it by naming a parameter `context`."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of the pipeline's model `text` takes."""
        ...


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replaceable stage. Its fields are the parameters a YAML file may set.

    A subclass is final. It declares `outputs` (socket name to what comes out of it) and `run`,
    whose keyword parameters are the input sockets: one with a default is optional. `run` returns
    a value for each output it fills; an output left out ends that branch of the graph.

    Example:
        >>> class Upper(Step):
        ...     outputs: ClassVar[Mapping[str, str]] = {"text": "the text in capitals"}
        ...     def run(self, *, text: str) -> Mapping[str, object]:
        ...         return {"text": text.upper()}
        >>> Upper().run(text="abc")
        {'text': 'ABC'}
        >>> Upper.inputs()
        {'text': True}
    """

    outputs: ClassVar[Mapping[str, str]] = {}

    def run(self, *args: Any, **kwargs: Any) -> Mapping[str, object]:  # noqa: ANN401 - any sockets
        """Do the work for one record."""
        raise NotImplementedError

    @classmethod
    def inputs(cls) -> dict[str, bool]:
        """Return the input sockets: name to whether it is required."""
        return {
            name: parameter.default is inspect.Parameter.empty
            for name, parameter in inspect.signature(cls.run).parameters.items()
            if name not in {"self", "context"}
        }
