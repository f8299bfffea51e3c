"""The rules the parts of an operator must keep together.

Owns what is refused when an operator is defined. Knows the parts, not the operator made of them;
whether the functions compute what they say is found out by checking, not here.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import REQUIRED, Attr, In, Out
from openautoglm.ops.dtypes import DTYPES, FLOATS, listed
from openautoglm.ops.fields import check_name, check_parts, check_whole, read_tuple, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from openautoglm.ops.arguments import Shape

MAX_INPUTS: Final = 15
MAX_OUTPUTS: Final = 6


def check_operator_name(name: object, version: int) -> None:
    """Refuse a name that is no identifier and a version that is no positive number."""
    where = f"operator `{name}`" if isinstance(name, str) else "an operator"
    check_name(name, where, reserved={})
    check_whole(where, "version", version)
    if version < 1:
        raise OperatorDefinitionError(
            f"operator `{name}`: versions are counted from 1", got=repr(version), fix="version=1"
        )


def read_parts(name: str, field: str, value: object) -> tuple[object, ...]:
    """Return inputs, attributes or outputs as a tuple of what they are made of."""
    kind = {"inputs": In, "attrs": Attr, "outputs": Out}[field]
    where = f"operator `{name}`"
    expected = f'{field} are a sequence: [ops.{kind.__name__}("...")]'
    parts = read_tuple(value, where, expected)
    check_parts(where, field, parts, kind)
    return parts


def check_counts(name: str, inputs: Sequence[In], outputs: Sequence[Out]) -> None:
    """Refuse more inputs or outputs than a kernel table can tell apart."""
    if len(inputs) > MAX_INPUTS:
        raise OperatorDefinitionError(
            f"operator `{name}`: an operator has at most {MAX_INPUTS} inputs",
            got=len(inputs),
            fix="pass arrays of one kind as a list: In(..., many=True)",
        )
    if not 1 <= len(outputs) <= MAX_OUTPUTS:
        raise OperatorDefinitionError(
            f"operator `{name}`: an operator has 1 to {MAX_OUTPUTS} outputs",
            got=len(outputs),
            fix="split the operator",
        )


def check_distinct(name: str, names: Iterable[str]) -> None:
    """Refuse two parts of one name."""
    seen: set[str] = set()
    for part in names:
        if part in seen:
            raise OperatorDefinitionError(
                f"operator `{name}`: inputs, attributes and outputs have distinct names",
                got=f"`{part}` twice",
                fix="rename one of them",
            )
        seen.add(part)


def resolve_inputs(name: str, inputs: Sequence[In]) -> tuple[In, ...]:
    """Return the inputs with the dtypes and the `like` that their defaults stand for."""
    resolved: list[In] = []
    for given in inputs:
        like = given.like
        if like is None and not given.dtypes and resolved:
            like = resolved[0].name
        if like is None:
            resolved.append(replace(given, dtypes=given.dtypes or FLOATS))
            continue
        other = _leader(name, given, like, resolved)
        _check_subset(name, given, other)
        resolved.append(replace(given, dtypes=given.dtypes or other.dtypes, like=like))
    return tuple(resolved)


def _leader(name: str, given: In, like: str, earlier: Sequence[In]) -> In:
    for other in earlier:
        if other.name == like and not other.optional:
            return other
    required = [other.name for other in earlier if not other.optional]
    raise OperatorDefinitionError(
        f"operator `{name}`: input `{given.name}` takes its dtype from an earlier input that is "
        "always there",
        got=f"like={like!r}; there is {listed(required)}",
        fix="name one of those, or give the input dtypes of its own",
    )


def _check_subset(name: str, given: In, other: In) -> None:
    extra = [dtype for dtype in given.dtypes if dtype not in other.dtypes]
    if extra:
        raise OperatorDefinitionError(
            f"operator `{name}`: input `{given.name}` is like `{other.name}`, which is never "
            f"{listed(extra, last='or')}",
            got=listed(given.dtypes),
            fix=f"keep to {listed(other.dtypes)}",
        )


def check_attributes(name: str, attrs: Sequence[Attr]) -> None:
    """Refuse an attribute without default behind one that has a default."""
    defaulted: str | None = None
    for attr in attrs:
        if attr.default is not REQUIRED:
            defaulted = attr.name
        elif defaulted is not None:
            raise OperatorDefinitionError(
                f"operator `{name}`: attributes without default come first",
                got=f"`{attr.name}` behind `{defaulted}`",
                fix=f"give `{attr.name}` a default, or put it before `{defaulted}`",
            )


def check_outputs(name: str, inputs: Sequence[In], outputs: Sequence[Out]) -> None:
    """Refuse an output whose shape or dtype a call could not tell."""
    known = {part.name: part for part in inputs}
    symbols = {s for part in inputs if not part.optional for s in _symbols(part.shape)}
    for out in outputs:
        where = f"operator `{name}`: output `{out.name}`"
        _check_shape_source(where, out, known)
        _check_dtype_source(where, out, inputs)
        unknown = [symbol for symbol in _symbols(out.shape) if symbol not in symbols]
        if unknown:
            raise OperatorDefinitionError(
                f"{where}: no input that is always there says what {listed(unknown)} is",
                got=f"known: {listed(sorted(symbols))}",
                fix="use the symbol in an input's shape, or give the operator infer=",
            )


def check_no_rules(name: str, outputs: Sequence[Out]) -> None:
    """Refuse outputs with a rule in an operator whose `infer` says everything."""
    for out in outputs:
        if (out.like, out.shape, out.dtype, out.broadcast) != (None, None, None, None):
            raise OperatorDefinitionError(
                f"operator `{name}`: output `{out.name}` has a rule, and infer= is given too",
                got=repr(out),
                fix="keep the rule or infer=, not both",
            )


def _check_shape_source(where: str, out: Out, known: dict[str, In]) -> None:
    if out.like is not None:
        _present(where, out.like, known)
        if known[out.like].many:
            raise OperatorDefinitionError(
                f"{where}: a list of arrays has no one shape",
                got=f"like={out.like!r}",
                fix="give the output a shape",
            )
    for source in out.broadcast or ():
        if source not in known:
            _present(where, source, known)
    if out.broadcast == () or (out.like is None and out.shape is None and not known):
        raise OperatorDefinitionError(
            f"{where}: there is no input to take a shape from",
            got="no inputs",
            fix="give the output a shape and a dtype",
        )


def _check_dtype_source(where: str, out: Out, inputs: Sequence[In]) -> None:
    source = out.dtype or out.like or (inputs[0].name if inputs else "none")
    if source not in DTYPES:
        _present(where, source, {part.name: part for part in inputs})


def _present(where: str, source: str, known: dict[str, In]) -> None:
    if source not in known:
        raise OperatorDefinitionError(
            f"{where}: no input or dtype is called `{source}`",
            got=f"inputs: {listed(known)}",
            fix="name an input, or a dtype where a dtype is meant",
        )
    if known[source].optional:
        raise OperatorDefinitionError(
            f"{where}: input `{source}` may be absent",
            got=f"In({source!r}, optional=True)",
            fix="take shape and dtype from an input that is always there",
        )


def _symbols(shape: Shape | None) -> tuple[str, ...]:
    return tuple(size for size in shape or () if isinstance(size, str))


def check_callable(
    where: str,
    function: Callable[..., object],
    arguments: Sequence[str],
    keywords: Sequence[str] = (),
) -> None:
    """Refuse a function that cannot be called with these arguments by position and by name."""
    if not callable(function):
        raise OperatorDefinitionError(
            f"{where} is a function", got=shown(function), fix="pass what is called"
        )
    try:
        inspect.signature(function).bind(*arguments, **dict.fromkeys(keywords))
    except ValueError:  # built in, without a signature
        return
    except TypeError as cause:
        call = ", ".join((*arguments, *(f"{name}=..." for name in keywords)))
        how = "" if keywords else " by position"
        raise OperatorDefinitionError(
            f"{where}: it is called with ({call}){how}",
            got=f"{getattr(function, '__qualname__', repr(function))}: {cause}",
            fix="take these parameters in this order",
        ) from cause
