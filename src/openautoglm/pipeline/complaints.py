"""What msgspec says of values that were read from YAML: where, what is wrong, what to do.

Owns `Complaint`. Knows nothing of files and lines; a path leads to the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import msgspec.inspect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.pipeline.spec import Path

AT: Final = re.compile(r" - at `\$(?P<path>.*)`$")
PART: Final = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
QUOTED: Final = re.compile(r"`(\w+)`")
EXPECTED: Final = re.compile(r"Expected `(?P<kind>\w+)")
FIXES: Final = {
    "int": "write a whole number",
    "float": "write a number",
    "str": "put it in quotes to make it a text",
    "bool": "write true or false",
    "array": "write a list: [a, b]",
    "object": "write a mapping: {key: value}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong.

    Attributes:
        path: leads to it from the value that was converted; empty where msgspec does not say.
        problem: what is wrong.
        fix: what to write instead.
    """

    path: Path
    problem: str
    fix: str


def read_complaint(error: msgspec.ValidationError, kind: type) -> Complaint:
    """Take the message of a conversion to `kind` apart.

    Example:
        >>> try:
        ...     msgspec.convert({"a": "x"}, dict[str, int])
        ... except msgspec.ValidationError as error:
        ...     read_complaint(error, dict).fix
        'write a whole number'
    """
    message = str(error)
    found = AT.search(message)
    path = read_path(found["path"]) if found else ()
    problem = AT.sub("", message)
    allowed = words_at(kind, path)
    if allowed:
        return Complaint(path=path, problem=problem, fix=f"use one of: {', '.join(allowed)}")
    expected = EXPECTED.search(problem)
    fix = FIXES.get(expected["kind"] if expected else "", "change the value")
    return Complaint(path=path, problem=problem, fix=fix)


def read_path(text: str) -> Path:
    """Read msgspec's `.a[0].b`.

    Example:
        >>> read_path(".a[0].b")
        ('a', 0, 'b')
    """
    parts: list[str | int] = []
    for match in PART.finditer(text):
        key, index = match["key"], match["index"]
        if key is not None:
            parts.append(key)
        elif index.isdigit():
            parts.append(int(index))
        else:
            break  # msgspec does not say which key of a mapping
    return tuple(parts)


def first_named(problem: str, keys: Iterable[str]) -> str | None:
    """Return the first of `keys` that a message has in backticks.

    Example:
        >>> first_named("`every` and `cron` exclude each other", ["cron", "every"])
        'every'
    """
    known = set(keys)
    return next((name for name in QUOTED.findall(problem) if name in known), None)


def words_at(kind: type, path: Path) -> tuple[str, ...]:
    """Return the words a value may be when its type lists them; empty otherwise."""
    found: msgspec.inspect.Type | None = msgspec.inspect.type_info(kind)
    for part in path:
        fields = [f for each in _structs(found) for f in each.fields if f.encode_name == part]
        found = fields[0].type if fields else None
    kinds = _alternatives(found)
    return tuple(
        str(value)
        for each in kinds
        if isinstance(each, msgspec.inspect.LiteralType)
        for value in each.values
    )


def _alternatives(found: msgspec.inspect.Type | None) -> tuple[msgspec.inspect.Type, ...]:
    if isinstance(found, msgspec.inspect.UnionType):
        return tuple(found.types)
    return () if found is None else (found,)


def _structs(found: msgspec.inspect.Type | None) -> list[msgspec.inspect.StructType]:
    return [each for each in _alternatives(found) if isinstance(each, msgspec.inspect.StructType)]
