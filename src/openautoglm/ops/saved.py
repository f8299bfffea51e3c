"""How a backward takes its arguments: by their names, where it has names.

Owns the way from a function as people write it to `Backward`, whose contract is positional.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.dtypes import listed
from openautoglm.ops.fields import read_texts, shown
from openautoglm.ops.opdef import SAVE_EXPECTED, Backward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from inspect import Parameter

    from openautoglm.ops.opdef import OpDef


def bound_backward(
    opdef: OpDef, function: Callable[..., object], save: Sequence[str] | None = None
) -> Backward:
    """Return the gradient that a function states.

    The first arguments are the gradients of the outputs, whatever they are called. Those behind
    them are inputs, outputs and attributes by name, in any order, any of them left out. With
    `save`, and in a function of `*arguments`, they are what is saved, then all attributes, by
    position.

    Raises:
        OperatorDefinitionError: the function wants what the operator does not have.
    """
    if not callable(function):
        raise OperatorDefinitionError(
            f"the backward of `{opdef.name}` is a function",
            got=shown(function),
            fix="write `@op.backward()` above a `def`",
        )
    if save is not None:
        save = read_texts(save, f"backward of `{opdef.name}`", SAVE_EXPECTED)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # built in, without a signature
        return Backward(function, save=save or ())
    rest = _behind_gradients(opdef, parameters)
    if save is not None:
        _check_places(opdef, rest, (*save, *opdef.attr_names))
        return Backward(function, save=save)
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return Backward(function, save=_arrays_of(opdef, rest))
    return _named(opdef, function, rest)


def _behind_gradients(opdef: OpDef, parameters: Sequence[Parameter]) -> list[Parameter]:
    """Return the parameters that are not the gradients of the outputs."""
    count = len(opdef.outputs)
    gradients = [
        p for p in parameters[:count] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(gradients) < count and not variadic:
        raise OperatorDefinitionError(
            f"backward of `{opdef.name}`: its first arguments are the gradients of the outputs",
            got=f"{len(gradients)} by position; outputs: {listed(opdef.output_names)}",
            fix="take one gradient for each output, then what it names",
        )
    return list(parameters[count:])


def _arrays_of(opdef: OpDef, parameters: Sequence[Parameter]) -> tuple[str, ...]:
    known = (*opdef.input_names, *opdef.output_names)
    return tuple(p.name for p in parameters if p.name in known)


def _check_places(opdef: OpDef, parameters: Sequence[Parameter], passed: Sequence[str]) -> None:
    """Refuse a parameter that is called like one argument and would be given another."""
    known = (*opdef.input_names, *opdef.output_names, *opdef.attr_names)
    for parameter, name in zip(parameters, passed, strict=False):
        if parameter.name in known and parameter.name != name:
            raise OperatorDefinitionError(
                f"backward of `{opdef.name}`: argument `{parameter.name}` would be given `{name}`",
                got=f"by position: {listed(passed)}",
                fix="leave `save` out, then arguments are given by name",
            )


def _named(opdef: OpDef, function: Callable[..., object], rest: Sequence[Parameter]) -> Backward:
    save = _arrays_of(opdef, rest)
    values = (*save, *opdef.attr_names)
    places: list[int] = []
    keywords: list[tuple[str, int]] = []
    is_by_position = True
    for parameter in rest:
        by_keyword = parameter.kind is parameter.KEYWORD_ONLY
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.name not in values:
            _check_default(opdef, parameter)
            is_by_position = False
        elif is_by_position and not by_keyword:
            places.append(values.index(parameter.name))
        else:
            keywords.append((parameter.name, values.index(parameter.name)))
    if places == list(range(len(values))) and not keywords:
        return Backward(function, save=save)
    # a partial, not a closure: the hash of the contract reads what it is made of
    made = partial(_call_by_name, function, len(opdef.outputs), tuple(places), tuple(keywords))
    return Backward(made, save=save)


def _check_default(opdef: OpDef, parameter: Parameter) -> None:
    if parameter.default is parameter.empty:
        known = (*opdef.input_names, *opdef.output_names, *opdef.attr_names)
        raise OperatorDefinitionError(
            f"backward of `{opdef.name}`: `{parameter.name}` is no input, output or attribute",
            got=f"there is {listed(known)}",
            fix="behind the gradients of the outputs, name only these",
        )


def _call_by_name(
    function: Callable[..., object],
    gradients: int,
    places: Sequence[int],
    keywords: Sequence[tuple[str, int]],
    *arguments: object,
) -> object:
    values = arguments[gradients:]
    named = {name: values[place] for name, place in keywords}
    return function(*arguments[:gradients], *(values[place] for place in places), **named)
