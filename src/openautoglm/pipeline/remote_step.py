"""The host's side of a step that runs in a worker.

Makes a `Step` class with the same parameters and sockets, so that files, checks and messages are
those of a step in this process. Knows nothing of processes: it calls a `RemoteObject`.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

import msgspec

from openautoglm.errors import PluginContributionError
from openautoglm.pipeline.lent_engine import lender
from openautoglm.pipeline.step import Step, StepContext
from openautoglm.pipeline.wire import from_wire, to_wire
from openautoglm.plugins.loans import LOAN, lending
from openautoglm.plugins.points import RemoteObject  # noqa: TC001 - msgspec reads the annotation
from openautoglm.plugins.wire import error_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openautoglm.pipeline.step_servant import Described, Parameter
    from openautoglm.plugins.points import Contribution

_KINDS: Final[dict[str, object]] = {
    "text": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "list": list,
    "object": dict,
    "any": Any,
}


class RemoteStep(Step, frozen=True):
    """What all steps in workers share; `remote_step` makes the class of each."""

    remote: ClassVar[RemoteObject]

    def __post_init__(self) -> None:
        self.remote.call("check", self._params())

    def _params(self) -> Mapping[str, object]:
        return cast("Mapping[str, object]", msgspec.to_builtins(msgspec.structs.asdict(self)))


def remote_step(remote: RemoteObject, contribution: Contribution) -> type[Step]:
    """Return the class of a step whose work is done in a worker.

    Raises:
        PluginContributionError: what the worker says of the step makes no class.
    """
    described = cast("Described", remote.call("describe"))
    namespace: dict[str, object] = {
        "__doc__": described["doc"],
        "remote": remote,
        "outputs": described["outputs"],
        "exclusive": tuple(described["exclusive"]),
        "run": _run(described),
    }
    if described["batched"]:
        namespace["run_batch"] = _run_batch
    if described["variable"]:
        namespace["variable_inputs"] = _variable_inputs
    try:
        made = msgspec.defstruct(
            described["kind"],
            [_field(parameter) for parameter in described["parameters"]],
            bases=(RemoteStep,),
            namespace=namespace,
            module=__name__,
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )
    except (TypeError, ValueError) as cause:
        raise PluginContributionError(
            f"step `{contribution.name}` cannot be used from another process: {cause}",
            got=repr(described["parameters"])[:200],
            fix="give its parameters plain types and names",
        ) from cause
    return cast("type[Step]", made)


def _field(parameter: Parameter) -> tuple[str, Any] | tuple[str, Any, Any]:
    choices = parameter["choices"]
    kind: Any = _KINDS[parameter["kind"]] if choices is None else Literal[tuple(choices)]
    if parameter["nullable"]:
        kind |= None
    if parameter["required"]:
        return parameter["name"], kind
    default = parameter["default"]
    if isinstance(default, (list, dict)):
        return parameter["name"], kind, msgspec.field(default_factory=default.copy)
    return parameter["name"], kind, default


def _run(described: Described) -> Callable[..., Mapping[str, object]]:
    """Return a `run` that has the sockets of the step over there."""

    def run(self: RemoteStep, **inputs: object) -> Mapping[str, object]:
        context = inputs.pop("context", None)
        if context is None:
            answer = self.remote.call("run", self._params(), to_wire(inputs), None)
        else:
            with _lent(cast("StepContext", context)) as about:
                answer = self.remote.call("run", self._params(), to_wire(inputs), about)
        return cast("Mapping[str, object]", from_wire(answer))

    sockets = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    sockets += [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if is_required else None,
            annotation=str if name in described["texts"] else inspect.Parameter.empty,
        )
        for name, is_required in described["inputs"].items()
    ]
    if described["wants_context"]:
        sockets.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY))
    if described["variable"]:
        sockets.append(inspect.Parameter("inputs", inspect.Parameter.VAR_KEYWORD))
    run.__signature__ = inspect.Signature(sockets)  # type: ignore[attr-defined]  # functions take attributes
    return run


def _run_batch(
    self: RemoteStep, calls: Sequence[Mapping[str, object]], *, context: StepContext
) -> Sequence[Mapping[str, object] | Exception]:
    """Do the work for several records in one call of the worker."""
    plain = [to_wire(call) for call in calls]
    with _lent(context) as about:
        answers = self.remote.call("run_batch", self._params(), plain, about)
    return [_answer(answer) for answer in cast("Sequence[Mapping[str, object]]", answers)]


def _variable_inputs(self: RemoteStep) -> tuple[str, ...] | None:
    """Ask the worker which inputs these parameters make."""
    found = self.remote.call("variable_inputs", self._params())
    return None if found is None else tuple(cast("Sequence[str]", found))


def _answer(answer: Mapping[str, object]) -> Mapping[str, object] | Exception:
    if "error" in answer:
        return error_from(answer["error"])
    return cast("Mapping[str, object]", from_wire(answer["outputs"]))


@contextmanager
def _lent(context: StepContext) -> Iterator[dict[str, str]]:
    """Lend the model inside the block; what it gives is what the worker is told of the context."""
    with lending(lender(context)) as loan:
        yield {"source": context.source, LOAN: loan}
