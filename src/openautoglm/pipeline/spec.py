"""What a pipeline is made of, as plain frozen values.

Owns the nouns of the graph: `Socket`, `Component`, `Input`, `Connection`, `Offsets`, `PipelineSpec`
and where each was written down. Knows nothing of YAML, of checking or of execution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

if TYPE_CHECKING:
    from openautoglm.pipeline.step import Step

INPUTS: Final = "inputs"  # the sender of what the caller passes in; no component has this name
Path: TypeAlias = tuple[str | int, ...]
Locator: TypeAlias = Callable[[Path], str]


@final
class _Missing:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Missing()


class Socket(NamedTuple):
    """One input or output of one component, written `component.name`.

    Example:
        >>> str(Socket.parse("clean.text"))
        'clean.text'
    """

    component: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Socket:
        """Read `component.name`; what has no dot becomes a component with an empty name."""
        component, _, name = text.partition(".")
        return cls(component, name)

    def __str__(self) -> str:
        return f"{self.component}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A step in its place.

    Attributes:
        step: what is done.
        each: inputs that get a list and are worked through item by item; with several, the lists
            go side by side and must be equally long. Every output is then a list.
    """

    step: Step
    each: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What the caller passes in.

    Attributes:
        to: the inputs of components it goes to.
        description: what it is, for people.
        default: used where the caller passes nothing; `REQUIRED` when the caller must.
    """

    to: tuple[str, ...]
    description: str = ""
    default: object = REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Carry an output to an input; both written `component.socket`."""

    sender: str
    receiver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """Where the character positions of a result come from.

    Attributes:
        sender: the output that holds them, e.g. `merge.offsets`.
        text: the input whose text they count in, e.g. `segment.text`.
    """

    sender: str
    text: str


def nowhere(path: Path) -> str:
    """Name a part of a pipeline that was built in Python."""
    return ".".join(str(part) for part in path) or "pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """The whole graph, unchecked. Two are equal when they do the same."""

    name: str
    components: Mapping[str, Component]
    connections: tuple[Connection, ...]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, str]
    offsets: Offsets | None = None
    description: str = ""
    version: str = "1"
    locate: Locator = field(default=nowhere, compare=False, repr=False)
