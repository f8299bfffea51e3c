"""Operators as contributions: in this process, from a library, or in a worker.

Owns `OPERATORS`, the view of the operators' registry that the host registers in, and the two sides
of an operator that runs elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, cast, final

from openautoglm.errors import NameTakenError, PluginContributionError
from openautoglm.ops import ArraySpec, OpDef, Operator, RegisteredOperator, catalog
from openautoglm.ops.authoring import read_class
from openautoglm.plugins.kernels import KERNELS
from openautoglm.plugins.operator_gradients import gradients, with_gradient
from openautoglm.registry import current_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.ops.arguments import AttrValue
    from openautoglm.ops.opdef import Amp, Infer, InputSpec
    from openautoglm.plugins.points import Contribution, RemoteObject

OWN: Final = "operator:"
"""Stands before the names of libraries that were contributed as operators."""


class Described(TypedDict):
    """What a worker says of an operator."""

    declaration: str
    doc: str
    amp: Amp
    infers: bool
    saves: list[str] | None  # by its backward; None where it has none


@final
class OperatorEntries:
    """The operators there are, with the verbs of a `Registry`; libraries are loaded by `add`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def add(self, name: str, value: RegisteredOperator | Path) -> None:
        """Register an operator, or load the library that states it; errors as `KERNELS.add`."""
        with self._lock:
            if isinstance(value, Path):
                self._load(name, value)
            elif not _is_registered(name, value):
                catalog.OPERATORS.add(name, value)

    def names(self) -> tuple[str, ...]:
        """Return the names of all operators, sorted."""
        return catalog.names()

    def get(self, name: str) -> RegisteredOperator:
        """Return an operator.

        Raises:
            UnknownNameError: there is none of that name.
        """
        return catalog.get(name)

    def remove(self, name: str) -> RegisteredOperator:
        """Remove an operator and return it; errors as `get`."""
        operator = catalog.get(name)
        if f"{OWN}{name}" in KERNELS.names():
            KERNELS.remove(f"{OWN}{name}")
        else:
            catalog.remove(name)
        return operator

    def revoke(self, owner: str) -> tuple[str, ...]:
        """Remove all operators that an owner added; return the names."""
        before = catalog.names()
        for name in KERNELS.names():
            if name.startswith(OWN) and KERNELS.entry(name).owner == owner:
                KERNELS.remove(name)
        catalog.OPERATORS.revoke(owner)
        return tuple(sorted(set(before) - set(catalog.names())))

    def _load(self, name: str, path: Path) -> None:
        if name in catalog.names():
            raise NameTakenError(
                f"operator `{name}` is taken",
                got=f"{current_owner()} adds what "
                f"{catalog.OPERATORS.entry(name).owner} added before",
                fix="choose another name",
            )
        KERNELS.add(f"{OWN}{name}", path)
        if name not in catalog.names():
            KERNELS.remove(f"{OWN}{name}")
            raise PluginContributionError(
                f"the library of operator `{name}` does not state it",
                got=str(path),
                fix=f'state it: REGISTER_OPERATOR({name}, "{name}(Tensor x) -> Tensor")',
            )


OPERATORS: Final = OperatorEntries()
"""All operators, as a registry that also takes libraries."""


def adopt_operator(value: object, contribution: Contribution) -> RegisteredOperator | Path:
    """Return the operator of a class, of a contract, or as `ops.define` made it; or a path.

    Raises:
        PluginContributionError: the value is none of these, or has another name.
        OperatorDefinitionError: its contract contradicts itself.
    """
    if isinstance(value, Path):
        return value
    operator = _operator(value)
    if operator is None:
        raise PluginContributionError(
            f"operator `{contribution.name}` is a class, a contract or a registered operator",
            got=repr(value)[:200],
            fix="name a subclass of `ops.Operator`, an `ops.OpDef`, or what `ops.define` returned",
        )
    if operator.name != contribution.name:
        raise PluginContributionError(
            f"operator `{contribution.name}` calls itself `{operator.name}`",
            got=operator.opdef.declaration(),
            fix=f'write name = "{operator.name}" in the manifest, or rename the operator',
        )
    return operator


def _operator(value: object) -> RegisteredOperator | None:
    if isinstance(value, RegisteredOperator):
        return value
    if isinstance(value, OpDef):
        return RegisteredOperator(value)
    if isinstance(value, type) and issubclass(value, Operator):
        return RegisteredOperator(read_class(value))
    return None


def _is_registered(name: str, value: RegisteredOperator) -> bool:
    """Whether this very operator is there for this owner, as `ops.define` leaves it.

    What a plugin registers while it is imported has the owner `id#number`.
    """
    if name not in catalog.OPERATORS.names():  # `entry` would start an installed plugin that has it
        return False
    entry = catalog.OPERATORS.entry(name)
    return entry.value is value and entry.owner.partition("#")[0] == current_owner()


@final
class OperatorServant:
    """Serves one operator in a worker: what it promises, and its outputs."""

    def __init__(self, adopted: RegisteredOperator) -> None:
        self._operator = adopted

    def describe(self) -> Described:
        """Say what the operator promises."""
        opdef = self._operator.opdef
        return Described(
            declaration=opdef.declaration(),
            doc=opdef.doc,
            amp=dict(opdef.amp) if isinstance(opdef.amp, Mapping) else opdef.amp,
            infers=opdef.infer is not None,
            saves=None if opdef.backward is None else list(opdef.backward.save),
        )

    def infer(self, specs: Sequence[object], attrs: Mapping[str, AttrValue]) -> list[object]:
        """Return shape, dtype and device of each output for those of the inputs."""
        infer = self._operator.opdef.infer
        if infer is None:
            raise PluginContributionError(
                f"operator `{self._operator.name}` infers nothing: its outputs follow from rules"
            )
        found = infer(tuple(map(_spec, specs)), attrs)
        outputs = (found,) if isinstance(found, ArraySpec) else found
        return [[list(one.shape), one.dtype, one.device] for one in outputs]

    def run(self, *arguments: object) -> list[object]:
        """Return the outputs for inputs and attributes in order."""
        result = self._operator(*arguments)
        return list(result) if isinstance(result, tuple) else [result]

    def backward(self, *arguments: object) -> list[object]:
        """Return a gradient for each input, None where there is none; see `with_gradient`."""
        return gradients(self._operator.opdef, arguments)


def remote_operator(remote: RemoteObject, contribution: Contribution) -> RegisteredOperator:
    """Return an operator whose reference, and backward where it has one, run in a worker.

    Raises:
        PluginContributionError: the worker serves another operator than the manifest says.
    """
    described = cast("Described", remote.call("describe"))
    opdef = OpDef.from_schema(
        described["declaration"],
        doc=described["doc"],
        amp=described["amp"],
        infer=_remote_infer(remote) if described["infers"] else None,
        reference=_remote_reference(remote),
    )
    if opdef.name != contribution.name:
        raise PluginContributionError(
            f"operator `{contribution.name}` calls itself `{opdef.name}`",
            got=described["declaration"],
            fix="give it the same name in the manifest and in the code",
        )
    if described["saves"] is not None:
        opdef = with_gradient(opdef, described["saves"], remote)
    return RegisteredOperator(opdef)


def _remote_reference(remote: RemoteObject) -> Callable[..., object]:
    def reference(*arguments: object) -> object:
        outputs = cast("Sequence[object]", remote.call("run", *arguments))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return reference


def _remote_infer(remote: RemoteObject) -> Infer:
    def infer(specs: tuple[InputSpec, ...], attrs: Mapping[str, AttrValue]) -> list[ArraySpec]:
        plain = [_plain(spec) for spec in specs]
        found = cast("Sequence[object]", remote.call("infer", plain, dict(attrs)))
        return [cast("ArraySpec", _spec(one)) for one in found]

    return infer


def _plain(spec: InputSpec) -> object:
    if spec is None:
        return None
    if isinstance(spec, ArraySpec):
        return [[int(size) for size in spec.shape], spec.dtype, spec.device]
    return {"many": [_plain(one) for one in spec]}


def _spec(plain: object) -> InputSpec:
    if plain is None:
        return None
    if isinstance(plain, dict):
        return tuple(cast("ArraySpec", _spec(one)) for one in plain["many"])
    shape, dtype, device = cast("tuple[Sequence[int], str, str]", plain)
    return ArraySpec(tuple(shape), dtype, device)
