"""A model's text read back: JSON, checked, with the place of every copied value.

Owns `parse` and `Parsed`. Knows nothing of decoding: it judges the text of any backend.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from openautoglm.engine.structured.checks import check_schema
from openautoglm.engine.structured.extractive import check_extractive, unit_of
from openautoglm.engine.structured.keywords import EXTRACTIVE
from openautoglm.engine.structured.nodes import (
    IN_PLACE,
    Json,
    Node,
    Place,
    as_list,
    as_mapping,
    escape,
    resolve,
    shown,
)
from openautoglm.engine.structured.patterns import REAL_DATE, portable
from openautoglm.engine.structured.units import Unit, find
from openautoglm.errors import OutputParseError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
FORMAT_PATTERNS = {
    "time": _CLOCK,
    "date-time": rf"{REAL_DATE[1:]}[Tt ]{_CLOCK}",
    "duration": r"P(?:\d+W|(?=.)(?:\d+Y)?(?:\d+M)?(?:\d+D)?"
    r"(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)",
    "hostname": r"(?=.{1,253}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*",
    "uri": r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s<>\"{}|\\^`]*",
}
"""Formats that jsonschema leaves unread, ASCII digits only."""
CHECKED_FORMATS = ("date", "email", "ipv4", "ipv6", "uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a text says.

    Attributes:
        value: the JSON value.
        offsets: JSON pointer of each `x-extractive` value to its (start, end) in code points of
            the source.
    """

    value: Json
    offsets: Mapping[str, tuple[int, int]]


def parse(text: str, schema: Node, source: str | None = None) -> Parsed:
    """Read a model's text as JSON and check it against the schema.

    A value that occurs several times in the source gets the place of its first occurrence (with
    the unit "word": the first that is whole words), which need not be the one the model had in
    mind.

    Raises:
        OutputParseError: the text is not JSON, does not follow the schema, or holds an
            `x-extractive` value that is not in the source; the message names the place.
        SchemaError: as `compile_schema`.

    Example:
        >>> names = {"type": "array", "items": {"type": "string", "x-extractive": True}}
        >>> parse('["Li Wei"]', names, source="Call Li Wei today").offsets["/0"]
        (5, 11)
    """
    from jsonschema.exceptions import best_match

    check_extractive(check_schema(schema), source)
    value = _read(text)
    validator = _validator(schema, source)
    error = best_match(validator.iter_errors(value))  # type: ignore[arg-type] # JSON
    if error is not None:
        raise _mismatch(error)
    spans: dict[str, tuple[int, int]] = {}
    for pointer, copied, unit in _copied(validator, schema, value, ""):
        at = find(copied, source or "", unit)
        if at is not None:
            spans[pointer] = (at, at + len(copied))
    return Parsed(value=value, offsets=MappingProxyType(spans))


def _read(text: str) -> Json:
    try:
        value: Json = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as cause:
        raise OutputParseError(
            f"the output is not JSON: {cause.msg.lower()} at character {cause.pos}",
            got=_around(text, cause.pos),
            fix="raise `max_length` if it was cut off; pass the schema when generating",
        ) from cause
    except (ValueError, RecursionError) as cause:
        raise OutputParseError(
            "the output is JSON that cannot be represented",
            got=f"{cause}: {_around(text, 0)}",
            fix="bound numbers with `minimum` and `maximum`, and how deep the schema nests",
        ) from cause
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 40) : at + 40])


def _validator(schema: Node, source: str | None) -> Validator:
    """Build the validator of a schema; it knows our keyword and reads patterns as we do."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    def copied(_: Validator, rule: Json, value: Json, __: Node) -> Iterator[ValidationError]:
        if rule and isinstance(value, str) and find(value, source or "", unit_of(rule)) is None:
            yield ValidationError(f"{value!r} is not a part of the source")

    def matches(_: Validator, rule: Json, value: Json, __: Node) -> Iterator[ValidationError]:
        if isinstance(value, str) and not re.search(portable(str(rule)), value):
            yield ValidationError(f"{value!r} does not match {rule!r}")

    def divides(_: Validator, rule: Json, value: Json, __: Node) -> Iterator[ValidationError]:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and Decimal(str(value)) % Decimal(str(rule)):
            yield ValidationError(f"{value!r} is not a multiple of {rule!r}")

    ours = {EXTRACTIVE: copied, "pattern": matches, "multipleOf": divides}
    kind: type[Validator] = extend(Draft202012Validator, ours)  # type: ignore[no-untyped-call] # its stubs
    checker = FormatChecker(formats=CHECKED_FORMATS)
    for name, pattern in FORMAT_PATTERNS.items():
        checker.checkers[name] = (_matcher(pattern), ())
    return kind(schema, format_checker=checker)


def _matcher(pattern: str) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or bool(re.fullmatch(pattern, value, re.ASCII))


def _mismatch(error: ValidationError) -> OutputParseError:
    pointer = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
    return OutputParseError(
        f"the output does not follow the schema at {shown(pointer)} (`{error.validator}`)",
        got=error.message[:300],
        fix="allow null for what the source may not say"
        if error.validator == EXTRACTIVE
        else "use a backend that decodes under the schema, or correct the schema",
    )


def _copied(
    validator: Validator, schema: Json, value: Json, pointer: str
) -> Iterator[tuple[str, str, Unit]]:
    """Yield pointer, text and unit of every value that the schema says is copied."""
    if not isinstance(schema, Mapping):
        return
    rule = schema.get(EXTRACTIVE)
    if rule and isinstance(value, str):
        yield pointer, value, unit_of(rule)
    for branch in _applied(validator, schema, value):
        yield from _copied(validator, branch, value, pointer)
    for key, part, subschema in _parts(schema, value):
        yield from _copied(validator, subschema, part, f"{pointer}/{escape(key)}")


def _applied(validator: Validator, schema: Node, value: Json) -> Iterator[Json]:
    """Yield the schemas that apply to the same value: references and branches it satisfies."""
    if "$ref" in schema:
        yield resolve(validator.schema, Place("", schema)).schema
    for key in IN_PLACE:
        for branch in as_list(schema.get(key)):
            if validator.evolve(schema=branch).is_valid(value):  # type: ignore[arg-type] # JSON
                yield branch


def _parts(schema: Node, value: Json) -> Iterator[tuple[str, Json, Json]]:
    """Yield key, value and schema of the members of an object or array."""
    if isinstance(value, dict):
        properties = as_mapping(schema.get("properties"))
        for key, part in value.items():
            if key in properties:
                yield key, part, properties[key]
    if isinstance(value, list):
        firsts = as_list(schema.get("prefixItems"))
        for index, part in enumerate(value):
            subschema = firsts[index] if index < len(firsts) else schema.get("items", True)
            yield str(index), part, subschema
