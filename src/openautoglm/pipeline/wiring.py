"""Whether the components of a pipeline form a graph that can run, and in what order.

Owns the checks of a `PipelineSpec` and `Node`, a component with its connections resolved. Knows
nothing of YAML and nothing of execution.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final, TypeAlias

from openautoglm.errors import PipelineGraphError
from openautoglm.pipeline.spec import INPUTS, Path, PipelineSpec, Socket
from openautoglm.pipeline.step import BatchStep, VariableInputs
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from openautoglm.pipeline.step import Step

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
MAX_COMPONENTS: Final = 200  # stages pull from one another, a stack frame each
RESERVED: Final = ("engine", "prompts", "platform_io", "source")  # keywords of `Pipeline.run`

Condition: TypeAlias = Mapping[str, frozenset[str]]  # exclusive component → outputs it took
Senders: TypeAlias = list[tuple[Socket, Path]]  # who fills one input, and where it is written
Wires: TypeAlias = dict[str, dict[str, Senders]]  # component → input → its senders


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A component whose connections are known to be right.

    Attributes:
        name: the component's name.
        step: what it does.
        each: inputs that are worked through item by item.
        senders: for each connected input, who may fill it; several are exclusive branches.
        required: inputs without which it is skipped.
        texts: inputs that must be a `str`, by the annotations of `run`.
        wants_context: whether `run` takes a `context`.
        batched: whether the step has `run_batch`.
    """

    name: str
    step: Step
    each: tuple[str, ...]
    senders: Mapping[str, tuple[Socket, ...]]
    required: frozenset[str]
    texts: frozenset[str]
    wants_context: bool
    batched: bool


def resolve(spec: PipelineSpec) -> tuple[Node, ...]:
    """Check the whole graph and return its nodes, senders before receivers.

    Raises:
        PipelineGraphError: the first thing that is wrong; names the place and the fix.
    """
    _check_count(spec)
    _check_names(spec)
    wires = _wires(spec)
    _check_outputs(spec)
    for name in spec.components:
        _check_inputs(spec, name, wires)
    order = _order(spec, wires)
    _check_branches(spec, order, wires)
    return tuple(_node(spec, name, wires) for name in order)


def _node(spec: PipelineSpec, name: str, wires: Wires) -> Node:
    component = spec.components[name]
    parameters = inspect.signature(component.step.run).parameters
    return Node(
        name=name,
        step=component.step,
        each=component.each,
        senders={
            socket: tuple(sender for sender, _ in senders)
            for socket, senders in wires[name].items()
        },
        required=_required(component.step, wires[name]),
        texts=frozenset(n for n, p in parameters.items() if p.annotation in {"str", str}),
        wants_context="context" in parameters,
        batched=isinstance(component.step, BatchStep),
    )


def _check_names(spec: PipelineSpec) -> None:
    for section, names in (("components", spec.components), ("inputs", spec.inputs)):
        for name in names:
            if not NAME.fullmatch(name):
                raise PipelineGraphError(
                    f"{spec.locate((section, name))}: `{name}` cannot be a name",
                    fix="use letters, digits, `_` and `-`, and start with a letter",
                )
    if INPUTS in spec.components:
        raise PipelineGraphError(
            f"{spec.locate(('components', INPUTS))}: no component may be called `{INPUTS}`",
            fix="choose another name",
        )
    for name in RESERVED:
        if name in spec.inputs:
            raise PipelineGraphError(
                f"{spec.locate((INPUTS, name))}: no input may be called `{name}`",
                got="it is a keyword of `Pipeline.run` itself",
                fix="choose another name",
            )


def _check_count(spec: PipelineSpec) -> None:
    place = spec.locate(("components",))
    if not spec.components:
        raise PipelineGraphError(
            f"{place}: the pipeline has no components", fix="add one under `components`"
        )
    if len(spec.components) > MAX_COMPONENTS:
        raise PipelineGraphError(
            f"{place}: more than {MAX_COMPONENTS} components",
            got=len(spec.components),
            fix="split the pipeline, or do more in one step",
        )


def _wires(spec: PipelineSpec) -> Wires:
    wires: Wires = {name: {} for name in spec.components}
    for name, given in spec.inputs.items():
        if not given.to:
            raise PipelineGraphError(
                f"{spec.locate((INPUTS, name))}: the input `{name}` goes nowhere",
                fix="name an input of a component in `to`, or remove it",
            )
        for index, to in enumerate(given.to):
            path: Path = (INPUTS, name, "to", index)
            receiver = _receiver(spec, to, path)
            _add(wires, receiver, (Socket(INPUTS, name), path))
    for index, wire in enumerate(spec.connections):
        path = ("connections", index)
        sender = _sender(spec, wire.sender, (*path, "sender"))
        receiver = _receiver(spec, wire.receiver, (*path, "receiver"))
        _add(wires, receiver, (sender, (*path, "receiver")))
    return wires


def _add(wires: Wires, receiver: Socket, sender: tuple[Socket, Path]) -> None:
    wires[receiver.component].setdefault(receiver.name, []).append(sender)


def _check_outputs(spec: PipelineSpec) -> None:
    if not spec.outputs:
        raise PipelineGraphError(
            f"{spec.locate(('outputs',))}: the pipeline has no outputs",
            fix="add `outputs: {result: component.socket}`",
        )
    for name, sender in spec.outputs.items():
        _sender(spec, sender, ("outputs", name))
    if spec.offsets is not None:
        _sender(spec, spec.offsets.sender, ("offsets", "sender"))
        _receiver(spec, spec.offsets.text, ("offsets", "text"))


def _sender(spec: PipelineSpec, text: str, path: Path) -> Socket:
    socket = _end(spec, text, path)
    known = tuple(spec.components[socket.component].step.outputs)
    if socket.name not in known:
        raise _no_socket(spec, socket, path, known, "use one of its outputs")
    return socket


def _receiver(spec: PipelineSpec, text: str, path: Path) -> Socket:
    socket = _end(spec, text, path)
    step = spec.components[socket.component].step
    known = _known_inputs(step)
    if known is not None and socket.name not in known:
        in_template = f"write `{{{socket.name}}}` in the template, with half-width braces"
        fix = in_template if isinstance(step, VariableInputs) else "use one of its inputs"
        raise _no_socket(spec, socket, path, known, fix)
    return socket


def _end(spec: PipelineSpec, text: str, path: Path) -> Socket:
    socket = Socket.parse(text)
    if not socket.name or not socket.component:
        raise PipelineGraphError(
            f"{spec.locate(path)}: `{text}` names no socket", fix="write `component.socket`"
        )
    if socket.component not in spec.components:
        known = tuple(spec.components)
        raise PipelineGraphError(
            f"{spec.locate(path)}: no component is called `{socket.component}`",
            got=f"known: {', '.join(known)}",
            fix=suggest(socket.component, known) or "check the name, or add the component",
        )
    return socket


def _no_socket(
    spec: PipelineSpec, socket: Socket, path: Path, known: tuple[str, ...], fix: str
) -> PipelineGraphError:
    noun = "output" if path[-1] == "sender" or path[0] == "outputs" else "input"
    return PipelineGraphError(
        f"{spec.locate(path)}: `{socket.component}` has no {noun} `{socket.name}`",
        got=f"its {noun}s: {', '.join(known) or 'none'}",
        fix=suggest(socket.name, known) or fix,
    )


def _known_inputs(step: Step) -> tuple[str, ...] | None:
    if not isinstance(step, VariableInputs):
        return tuple(step.inputs())
    variable = step.variable_inputs()
    return None if variable is None else (*step.inputs(), *variable)


def _required(step: Step, connected: Mapping[str, Senders]) -> frozenset[str]:
    inputs = step.inputs()
    required = {socket for socket, must in inputs.items() if must}
    if isinstance(step, VariableInputs):
        variable = step.variable_inputs()
        required |= connected.keys() - inputs.keys() if variable is None else set(variable)
    return frozenset(required)


def _check_inputs(spec: PipelineSpec, name: str, wires: Wires) -> None:
    component = spec.components[name]
    connected = wires[name]
    for socket in sorted(_required(component.step, connected) - connected.keys()):
        what = "required input" if socket in component.step.inputs() else "template variable"
        raise PipelineGraphError(
            f"{spec.locate(('components', name))}: nobody fills the {what} `{socket}` of `{name}`",
            fix=f"connect an output to `{name}.{socket}`, or add an input that goes there",
        )
    for index, socket in enumerate(component.each):
        if socket not in connected:
            raise PipelineGraphError(
                f"{spec.locate(('components', name, 'each', index))}: "
                f"`each` names `{socket}`, which is no connected input of `{name}`",
                got=f"connected: {', '.join(sorted(connected)) or 'none'}",
                fix=suggest(socket, tuple(sorted(connected))) or "name an input that gets a list",
            )


def _order(spec: PipelineSpec, wires: Wires) -> tuple[str, ...]:
    before = {
        name: [s.component for senders in wires[name].values() for s, _ in senders]
        for name in spec.components
    }
    try:
        order = TopologicalSorter(before).static_order()
        return tuple(name for name in order if name != INPUTS)
    except CycleError as cause:
        cycle: list[str] = cause.args[1]
        raise PipelineGraphError(
            f"{spec.locate(('components', cycle[0]))}: the components run in a circle",
            got=" → ".join(cycle),
            fix="remove one of these connections",
        ) from cause


def _check_branches(spec: PipelineSpec, order: tuple[str, ...], wires: Wires) -> None:
    """Allow several senders into one input only where at most one of them can send."""
    conditions: dict[str, Condition] = {INPUTS: {}}
    for name in order:
        required = _required(spec.components[name].step, wires[name])
        met: Condition = {}
        for socket, senders in wires[name].items():
            ways = [_taken(spec, sender, conditions) for sender, _ in senders]
            _check_exclusive(spec, Socket(name, socket), senders, ways)
            if socket in required:
                met = _both(met, _either(ways))
        if not all(met.values()):
            raise PipelineGraphError(
                f"{spec.locate(('components', name))}: `{name}` can never run",
                got="its inputs come from branches of which only one is taken",
                fix="connect it to one branch alone",
            )
        conditions[name] = met


def _taken(spec: PipelineSpec, sender: Socket, conditions: Mapping[str, Condition]) -> Condition:
    before = conditions[sender.component]
    if sender.component == INPUTS:
        return before
    if sender.name in spec.components[sender.component].step.exclusive:
        return _both(before, {sender.component: frozenset({sender.name})})
    return before


def _check_exclusive(
    spec: PipelineSpec, receiver: Socket, senders: Senders, ways: list[Condition]
) -> None:
    for first, second in itertools.combinations(range(len(senders)), 2):
        a, b = ways[first], ways[second]
        if not any(a[name].isdisjoint(b[name]) for name in a.keys() & b.keys()):
            raise PipelineGraphError(
                f"{spec.locate(senders[second][1])}: two senders fill `{receiver}`",
                got=f"{senders[first][0]} and {senders[second][0]}",
                fix="remove one; only branches of which one is taken may meet in one input",
            )


def _both(a: Condition, b: Condition) -> Condition:
    shared = {name: a[name] & b[name] for name in a.keys() & b.keys()}
    return {**a, **b, **shared}


def _either(ways: list[Condition]) -> Condition:
    shared = set.intersection(*(set(way) for way in ways))
    return {name: frozenset().union(*(way[name] for way in ways)) for name in shared}
