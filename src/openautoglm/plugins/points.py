"""Where a plugin can extend the host: every extension point, and what a contribution must be.

Owns `ExtensionPoint`, the registry `POINTS` and the protocols of the two sides of a process
boundary: `RemoteObject` in the host, a servant in the worker. Protocols, registries, adapters and
suites live in other rows and are named as "module:attribute"; nothing of them is imported before
`ExtensionPoint.load` asks for it. Knows nothing of processes, of manifests or of any plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypeVar, cast

from openautoglm.errors import PluginContributionError
from openautoglm.registry import Registry

if TYPE_CHECKING:
    from openautoglm.plugins.report import Finding

T_co = TypeVar("T_co", covariant=True)
Level: TypeAlias = Literal["L0", "L1", "L2", "L3"]
Part: TypeAlias = Literal["protocol", "registry", "adopt", "adapter", "servant", "conformance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpec:
    """How a method of a servant may be called.

    Attributes:
        idempotent: calling it again does no harm, so a call lost with its worker is made again. A
            contribution that declares `idempotent = true` makes all its methods so.
        stream: it yields values; `RemoteObject.stream` calls it.
        everywhere: every worker there is answers a call of it, so that each gives back what it
            holds; it returns nothing.
    """

    idempotent: bool = False
    stream: bool = False
    everywhere: bool = False


class Contribution(Protocol):
    """What a manifest says of one contribution; `Provides` of the manifest is one."""

    @property
    def point(self) -> str:
        """The extension point's name."""
        ...

    @property
    def contract(self) -> int:
        """The contract number it was written for."""
        ...

    @property
    def name(self) -> str:
        """What it is called in the point's registry."""
        ...


class RemoteObject(Protocol):
    """One contribution in a worker, called by the host; its methods are those of the servant.

    Values are plain: what msgpack holds, and arrays, which go by reference. Errors come as the
    classes of `openautoglm.errors`; a dead worker is an error as well, never silence.
    """

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method of the servant and return what it returned."""
        ...

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield what a method of the servant yields; closing the iterator ends it over there.

        `timeout_s` bounds the wait for each value.
        """
        ...


class PinnedObject(RemoteObject, Protocol):
    """A contribution in one of its workers: calls that belong together find there what they left.

    When the worker dies every call ends in `PluginCrashedError`, also one that could be made again
    elsewhere.
    """

    def close(self) -> None:
        """Let the worker go; what is under way goes on. Closing twice is fine."""
        ...


class PinnableObject(RemoteObject, Protocol):
    """A contribution that may run in several workers at a time.

    Adapters whose calls belong together, such as those of one sink, ask for one worker where there
    is this method.
    """

    def pinned(self) -> PinnedObject:
        """Return the contribution in one worker, and version, that stays until it is closed."""
        ...


class Entries(Protocol[T_co]):
    """What the host needs of the registry behind a point; `Registry` is one."""

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        ...

    def get(self, name: str) -> T_co:
        """Return the value of an entry."""
        ...

    def revoke(self, owner: str) -> tuple[str, ...]:
        """Remove all that an owner added; return the names."""
        ...


class WritableEntries(Entries[object], Protocol):
    """A point's registry as the host sees it, whatever it holds."""

    def add(self, name: str, value: object) -> None:
        """Add an entry for the owner of the enclosing `owned_by`."""
        ...


Adopt: TypeAlias = Callable[[object, Contribution], object]
"""Turns what `object` of a manifest names into what the registry holds; refuses what it is not."""

Adapter: TypeAlias = Callable[[RemoteObject, Contribution], object]
"""Makes what the registry holds out of a contribution in a worker."""

Servant: TypeAlias = Callable[[object], object]
"""Makes the object whose methods a worker serves out of what the registry would hold. Its `close`,
where it has one, is called without arguments before the worker ends."""

Suite: TypeAlias = "Callable[[Callable[[], object], Mapping[str, object]], Iterable[Finding]]"
"""Checks what a factory returns, each time anew, with options of the point; never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionPoint:
    """One place where a plugin can put something of its own.

    Attributes:
        name: what manifests call it.
        contract: raised by one whenever the protocol changes so that old contributions break.
        summary: what it is for, one line.
        protocol: what a contribution is, as "module:attribute"; so are the next five.
        registry: where contributions are found; see `WritableEntries`.
        conformance: proves a contribution; see `Suite`.
        adopt: see `Adopt`.
        adapter: see `Adapter`; None where a contribution never runs in a worker.
        servant: see `Servant`; None like `adapter`.
        methods: what a servant offers, by name.
        levels: isolation levels a contribution may ask for.
    """

    name: str
    contract: int
    summary: str
    protocol: str
    registry: str
    conformance: str
    adopt: str
    adapter: str | None = None
    servant: str | None = None
    methods: Mapping[str, MethodSpec] = field(default_factory=lambda: MappingProxyType({}))
    levels: tuple[Level, ...] = ("L0",)

    def load(self, part: Part) -> object:
        """Import and return one of the parts.

        Raises:
            PluginContributionError: the point has no such part.

        Example:
            >>> POINTS.get("step").load("protocol").__name__
            'Step'
        """
        where: str | None = getattr(self, part)
        if where is None:
            raise PluginContributionError(
                f"a contribution to `{self.name}` cannot run outside the host's process",
                got=f"the point has no {part}; its levels are {', '.join(self.levels)}",
                fix=f'ask for isolation = "{self.levels[0]}"',
            )
        module, _, attribute = where.partition(":")
        return getattr(import_module(module), attribute)

    def entries(self) -> WritableEntries:
        """Return the registry that holds the contributions."""
        return cast("WritableEntries", self.load("registry"))

    def adopted(self, value: object, contribution: Contribution) -> object:
        """Return what the registry holds for a value that was loaded in this process.

        Raises:
            PluginContributionError: the value is not what the point takes.
        """
        return cast("Adopt", self.load("adopt"))(value, contribution)

    def adapted(self, remote: RemoteObject, contribution: Contribution) -> object:
        """Return what the registry holds for a contribution that runs in a worker.

        Raises:
            PluginContributionError: contributions to this point never run in a worker.
        """
        return cast("Adapter", self.load("adapter"))(remote, contribution)

    def served(self, adopted: object) -> object:
        """Return, in the worker, the object whose methods answer the adapter; errors as `load`."""
        return cast("Servant", self.load("servant"))(adopted)

    def findings(
        self, factory: Callable[[], object], options: Mapping[str, object] | None = None
    ) -> Iterable[Finding]:
        """Prove what `factory` makes: one finding for each row of the point's suite."""
        return cast("Suite", self.load("conformance"))(factory, options or {})


STATE_METHODS: Final[Mapping[str, MethodSpec]] = MappingProxyType(
    {
        "export_state": MethodSpec(idempotent=True),
        "import_state": MethodSpec(),
    }
)
"""What a contribution with `state = true` offers beside the methods of its point: `export_state()`
returns a plain value, `import_state(state, from_version)` takes it into the next version. A worker
calls them on the contribution itself, not on the servant."""


def _once() -> MethodSpec:
    return MethodSpec()


def _again() -> MethodSpec:
    return MethodSpec(idempotent=True)


def _many() -> MethodSpec:
    return MethodSpec(idempotent=True, stream=True)


_BUILTIN: Final = (
    ExtensionPoint(
        name="operator",
        contract=1,
        summary="a tensor operator: contract, reference and kernels of its own",
        protocol="openautoglm.ops.authoring:Operator",
        registry="openautoglm.plugins.operators:OPERATORS",
        conformance="openautoglm.testing.operator_suite:operator_suite",
        adopt="openautoglm.plugins.operators:adopt_operator",
        adapter="openautoglm.plugins.operators:remote_operator",
        servant="openautoglm.plugins.operators:OperatorServant",
        methods={
            "describe": _again(),
            "infer": _again(),
            "run": _again(),
            "backward": _again(),
        },
        levels=("L0", "L1", "L2"),
    ),
    ExtensionPoint(
        name="kernel",
        contract=1,
        summary="a kernel for an operator there is: Python, or a folder of C++ and CUDA sources",
        protocol="openautoglm.ops.kernel:Kernel",
        registry="openautoglm.plugins.kernels:KERNELS",
        conformance="openautoglm.testing.operator_suite:kernel_suite",
        adopt="openautoglm.plugins.kernels:adopt_kernel",
    ),
    ExtensionPoint(
        name="backend",
        contract=1,
        summary="loads a model and generates",
        protocol="openautoglm.engine.backend:Backend",
        registry="openautoglm.engine.backend:BACKENDS",
        conformance="openautoglm.testing.backend_suite:backend_suite",
        adopt="openautoglm.engine.remote_backend:adopt_backend",
        adapter="openautoglm.engine.remote_backend:remote_backend",
        servant="openautoglm.engine.backend_servant:BackendServant",
        methods={
            "about": _again(),
            "describe": _again(),
            "count_tokens": _again(),
            "stream": MethodSpec(stream=True),
            "batch": MethodSpec(stream=True),
            "cancel": _again(),
            "release": MethodSpec(idempotent=True, everywhere=True),
        },
        levels=("L0", "L1", "L2"),
    ),
    ExtensionPoint(
        name="source",
        contract=1,
        summary="reads rows from what a URL names",
        protocol="openautoglm.data.source:Source",
        registry="openautoglm.data.catalog:SOURCES",
        conformance="openautoglm.testing.source_suite:source_suite",
        adopt="openautoglm.data.remote:adopt_opener",
        adapter="openautoglm.data.remote:remote_source",
        servant="openautoglm.data.servant:SourceServant",
        methods={
            "open": _again(),
            "describe": _again(),
            "shards": _many(),
            "read": _many(),
            "release": _again(),
        },
        levels=("L0", "L1", "L2"),
    ),
    ExtensionPoint(
        name="sink",
        contract=1,
        summary="writes rows to what a URL names, all of a part or nothing of it",
        protocol="openautoglm.data.sink:Sink",
        registry="openautoglm.data.catalog:SINKS",
        conformance="openautoglm.testing.sink_suite:sink_suite",
        adopt="openautoglm.data.remote:adopt_opener",
        adapter="openautoglm.data.remote:remote_sink",
        servant="openautoglm.data.servant:SinkServant",
        methods={
            "open": _once(),
            "committed": _again(),
            "write": _once(),
            "commit": _once(),
            "abort": _again(),
        },
        levels=("L0", "L1", "L2"),
    ),
    ExtensionPoint(
        name="step",
        contract=1,
        summary="one stage of a pipeline",
        protocol="openautoglm.pipeline.step:Step",
        registry="openautoglm.pipeline.catalog:STEPS",
        conformance="openautoglm.testing.step_suite:step_suite",
        adopt="openautoglm.pipeline.contributions:adopt_step",
        adapter="openautoglm.pipeline.remote_step:remote_step",
        servant="openautoglm.pipeline.step_servant:StepServant",
        methods={
            "describe": _again(),
            "check": _again(),
            "variable_inputs": _again(),
            "run": _once(),
            "run_batch": _once(),
        },
        levels=("L0", "L1", "L2", "L3"),
    ),
    ExtensionPoint(
        name="task",
        contract=1,
        summary="a pipeline by name: a YAML file, no code",
        protocol="importlib.resources.abc:Traversable",
        registry="openautoglm.pipeline.catalog:TASKS",
        conformance="openautoglm.testing.task_suite:task_suite",
        adopt="openautoglm.pipeline.contributions:adopt_task",
        levels=("L0", "L1", "L2", "L3"),
    ),
    ExtensionPoint(
        name="driver",
        contract=1,
        summary="files and environment of one more platform",
        protocol="openautoglm.platform_io.interface:PlatformIO",
        registry="openautoglm.plugins.drivers:DRIVERS",
        conformance="openautoglm.testing.driver_suite:driver_suite",
        adopt="openautoglm.plugins.drivers:adopt_driver",
    ),
)


def _add_builtins(registry: Registry[ExtensionPoint]) -> None:
    for point in _BUILTIN:
        registry.add(point.name, point)


POINTS: Final[Registry[ExtensionPoint]] = Registry("extension point", builtins=_add_builtins)
"""Every extension point by name."""
