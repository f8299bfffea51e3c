"""The operators there are, by name.

Owns the registry and its verbs. The built-in operators are added at the first look.
"""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Unpack

from openautoglm.errors import NameTakenError, OperatorDefinitionError, UnknownNameError
from openautoglm.ops.arguments import Out
from openautoglm.ops.authoring import Operator, read_class
from openautoglm.ops.fields import shown
from openautoglm.ops.opdef import OpDef, OpDefOptions, check_options
from openautoglm.ops.registered import RegisteredOperator
from openautoglm.registry import Registry, current_owner, owned_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from openautoglm.ops.arguments import Attr, In


_first_look: list[Callable[[Registry[RegisteredOperator]], None]] = []


def on_first_look(add_operators: Callable[[Registry[RegisteredOperator]], None]) -> None:
    """Have operators added at the first look at the registry, as the package adds its own."""
    _first_look.append(add_operators)


def _add_builtins(registry: Registry[RegisteredOperator]) -> None:
    for add_operators in _first_look:
        add_operators(registry)


OPERATORS: Registry[RegisteredOperator] = Registry(
    "operator", builtins=_add_builtins, point="operator"
)
"""Every operator by name; `OPERATORS.revoke(owner)` takes back what an owner added."""

_earlier: dict[str, list[tuple[RegisteredOperator, RegisteredOperator]]] = {}
"""By name: what was put aside, and what came in its place; the last pair last."""
_changing = threading.RLock()


def define(
    name: str,
    *,
    inputs: Sequence[In],
    attrs: Sequence[Attr] = (),
    outputs: Sequence[Out] = (Out("out"),),
    **options: Unpack[OpDefOptions],
) -> RegisteredOperator:
    """Define an operator and register it under the owner in force, or under the calling module.

    Args:
        name: an identifier no operator has.
        inputs: arrays in order.
        attrs: plain values in order.
        outputs: one broadcast of all inputs where none is given.
        **options: `infer`, `reference`, `amp`, `backward`, `doc`, `version`; see `OpDef`.

    Raises:
        OperatorDefinitionError: the definition contradicts itself.
        NameTakenError: the name has an operator.

    Example:
        >>> from openautoglm import ops
        >>> halve = ops.define("halve", inputs=[ops.In("x")], reference=lambda x: x / 2)
        >>> import numpy
        >>> float(halve(numpy.float32([3.0]))[0])
        1.5
        >>> ops.remove("halve")
    """
    check_options(name, options)
    opdef = OpDef(name, inputs=inputs, attrs=attrs, outputs=outputs, **options)
    with _owner_of_caller():
        return add(opdef)


def register(written: type[Operator]) -> RegisteredOperator:
    """Register an operator in class form; usable as a decorator. Errors as `define`."""
    opdef = read_class(written)
    with _owner_of_caller():
        return add(opdef)


def add(opdef: OpDef) -> RegisteredOperator:
    """Register a contract under the owner in force.

    Raises:
        NameTakenError: the name has an operator.
    """
    operator = RegisteredOperator(opdef)
    try:
        OPERATORS.add(opdef.name, operator)
    except NameTakenError as cause:
        if OPERATORS.entry(opdef.name).owner != current_owner():
            raise
        raise NameTakenError(
            f"operator `{opdef.name}` is taken",
            got=f"{current_owner()} defined it before",
            fix=f"`ops.remove({opdef.name!r})` first, or `ops.replace` it",
        ) from cause
    return operator


def get(name: str) -> RegisteredOperator:
    """Return a registered operator.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    return OPERATORS.get(name)


def names() -> tuple[str, ...]:
    """Return the names of all operators, sorted."""
    return OPERATORS.names()


def replace(opdef: OpDef) -> RegisteredOperator:
    """Put a new version of an operator in the place of the one of this name.

    The old object goes on working, graphs that were compiled with it keep it, and `rollback`
    brings it back.

    Raises:
        OperatorDefinitionError: it is no contract.
        UnknownNameError: no operator has this name.
    """
    from dataclasses import replace as with_changes

    given: object = opdef
    if not isinstance(given, OpDef):
        raise OperatorDefinitionError(
            "an operator is replaced by a contract",
            got=shown(given),
            fix="pass an `ops.OpDef`, as in `dataclasses.replace(op.opdef, amp=...)`",
        )
    with _changing:
        old = OPERATORS.get(opdef.name)
        pairs = _pairs(opdef.name)
        version = max([old.opdef.version, *(new.opdef.version for _, new in pairs)]) + 1
        new = RegisteredOperator(with_changes(opdef, version=version))
        _earlier[opdef.name] = [*pairs, (old, new)]
        OPERATORS.exchange(opdef.name, new)
        return new


def rollback(name: str) -> RegisteredOperator:
    """Bring back the version of an operator that `replace` put aside last.

    Raises:
        UnknownNameError: there is no such version.
    """
    with _changing:
        OPERATORS.get(name)
        pairs = _pairs(name)
        if not pairs:
            raise UnknownNameError(
                f"operator `{name}` has no earlier version", fix="nothing has to be rolled back"
            )
        old, _ = pairs[-1]
        _earlier[name] = pairs[:-1]
        OPERATORS.exchange(name, old)
        return old


def remove(name: str) -> None:
    """Remove an operator by name; objects that are held go on working.

    Raises:
        UnknownNameError: there is none.
    """
    with _changing:
        OPERATORS.remove(name)
        _earlier.pop(name, None)


def _pairs(name: str) -> list[tuple[RegisteredOperator, RegisteredOperator]]:
    """Return the versions put aside, none where the operator in force is another one since."""
    pairs = _earlier.get(name, [])
    return pairs if pairs and pairs[-1][1] is OPERATORS.get(name) else []


def _owner_of_caller() -> AbstractContextManager[None]:
    """Own what is added by the owner in force, else by the module that calls `define`."""
    if current_owner() is not None:
        return nullcontext()
    caller = sys._getframe(2)  # noqa: SLF001 - the documented way to the caller, as logging uses it
    return owned_by(str(caller.f_globals.get("__name__", "__main__")))
