"""Fields of a definition as people fill them, and the words for what a field cannot be.

Whatever was passed is refused here before anything compares or counts it. Knows no operator.
"""

from __future__ import annotations

from collections.abc import Iterable
from keyword import iskeyword
from typing import TYPE_CHECKING, Final, TypeGuard

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

RESERVED: Final = {"out": "kernels take their output under it", "self": "methods take it"}
_LONGEST: Final = 200


def check_field(where: str, field: str, value: object, *, holds: bool, expected: str) -> None:
    """Refuse the value of a field where it is not what is expected.

    Example:
        >>> check_field("operator `o`", "doc", 3, holds=isinstance(3, str), expected="a text")
        Traceback (most recent call last):
        openautoglm.errors.OperatorDefinitionError: [OAG203] operator `o`: doc is a text
          got: 3
          fix: pass a text, or leave doc out
    """
    if not holds:
        raise OperatorDefinitionError(
            f"{where}: {field} is {expected}",
            got=shown(value),
            fix=f"pass {expected}, or leave {field} out",
        )


def check_flag(where: str, field: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    check_field(where, field, value, holds=isinstance(value, bool), expected="True or False")


def check_function(where: str, field: str, value: object) -> None:
    """Refuse what can be neither called nor left out."""
    holds = value is None or callable(value)
    check_field(where, field, value, holds=holds, expected="a function")


def check_whole(where: str, field: str, value: object) -> None:
    """Refuse what is no whole number."""
    holds = isinstance(value, int) and not isinstance(value, bool)
    check_field(where, field, value, holds=holds, expected="a whole number")


def check_reference(where: str, field: str, value: object) -> None:
    """Refuse what is neither the name of another part nor None."""
    holds = value is None or isinstance(value, str)
    check_field(where, field, value, holds=holds, expected="a name")


def check_parts(where: str, field: str, values: tuple[object, ...], kind: type) -> None:
    """Refuse a sequence that holds anything but values of one kind."""
    for value in values:
        if not isinstance(value, kind):
            raise OperatorDefinitionError(
                f"{where}: {field} are made of `{kind.__name__}`",
                got=shown(value),
                fix=f'write {field}=[ops.{kind.__name__}("...")]',
            )


def read_tuple(value: object, where: str, expected: str) -> tuple[object, ...]:
    """Return the parts of a sequence; refuse a text, which would be read letter by letter."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        try:
            return tuple(value)
        except TypeError:  # an array without sizes
            pass
    raise OperatorDefinitionError(f"{where}: {expected}", got=shown(value), fix="write a tuple")


def read_texts(value: object, where: str, expected: str) -> tuple[str, ...]:
    """Return the texts of a sequence of nothing else."""
    parts = read_tuple(value, where, expected)
    if not are_texts(parts):
        raise OperatorDefinitionError(f"{where}: {expected}", got=shown(parts), fix="write names")
    return parts


def are_texts(values: tuple[object, ...]) -> TypeGuard[tuple[str, ...]]:
    """Return whether all values are texts."""
    return all(isinstance(value, str) for value in values)


def check_name(name: object, where: str, *, reserved: Mapping[str, str] = RESERVED) -> None:
    """Refuse a name that is no identifier, is a keyword, a dtype or reserved."""
    if not isinstance(name, str):
        raise OperatorDefinitionError(
            f"{where}: a name is a text", got=shown(name), fix='write it like "x"'
        )
    reason = reserved.get(name)
    if not name.isidentifier() or not name.isascii():
        reason = "it is no identifier"
    elif iskeyword(name):
        reason = "it is a Python keyword"
    elif name in DTYPES:
        reason = "it is a dtype"
    elif name.startswith("__"):
        reason = "two leading underscores are Python's own"
    if reason is not None:
        raise OperatorDefinitionError(
            f"{where}: the name cannot be used: {reason}",
            got=repr(name),
            fix="take letters, digits and underscores, starting with a letter",
        )


def shown(value: object) -> str:
    """Return how a value is written, cut where that is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
