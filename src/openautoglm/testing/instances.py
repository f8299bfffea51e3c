"""The smallest value that follows a JSON schema, for fakes that must answer with valid JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from openautoglm.engine.structured.extractive import unit_of
from openautoglm.engine.structured.units import Unit, pieces

if TYPE_CHECKING:
    from openautoglm.engine.generation import Json


def smallest_instance(schema: Mapping[str, object], source: str = "") -> Json:
    """Return a value that follows `schema`; strings to extract are the start of `source`.

    Knows const, enum, type, properties/required, items/minItems, minLength, minimum,
    exclusiveMinimum, anyOf/oneOf/allOf and `$ref` within the schema. It does not solve `pattern`,
    `multipleOf`, `not` or `if`: such a schema needs scripted answers.

    Example:
        >>> smallest_instance({"type": "object", "properties": {"n": {"type": "integer"}},
        ...                    "required": ["n"]})
        {'n': 0}
    """
    return _instance(schema, schema, source)


def _instance(schema: object, root: Mapping[str, object], source: str) -> Json:
    schema = _resolved(schema, root) if isinstance(schema, Mapping) else {}
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return cast("list[object]", schema["enum"])[0]
    kind = schema.get("type", "object" if "properties" in schema else "null")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        count = cast("int", schema.get("minItems", 0))
        return [_instance(schema.get("items", {}), root, source) for _ in range(count)]
    if kind == "object":
        return _object(schema, root, source)
    return _scalar(str(kind), schema, source)


def _scalar(kind: str, schema: Mapping[str, object], source: str) -> Json:
    if kind == "string":
        return _string(schema, source)
    if kind in {"integer", "number"}:
        return _number(schema)
    return False if kind == "boolean" else None


def _resolved(schema: Mapping[str, object], root: Mapping[str, object]) -> Mapping[str, object]:
    """Follow `$ref` and choose the first of anyOf/oneOf; merge allOf."""
    while isinstance(reference := schema.get("$ref"), str):
        target: object = root
        for key in reference.removeprefix("#").strip("/").split("/"):
            target = cast("Mapping[str, object]", target)[key] if key else target
        schema = cast("Mapping[str, object]", target)
    for key in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(key), list):
            rest = {k: v for k, v in schema.items() if k != key}
            return _resolved({**rest, **options[0]}, root)
    if isinstance(parts := schema.get("allOf"), list):
        merged = {k: v for k, v in schema.items() if k != "allOf"}
        for part in parts:
            merged.update(_resolved(part, root))
        return merged
    return schema


def _object(schema: Mapping[str, object], root: Mapping[str, object], source: str) -> Json:
    properties = cast("Mapping[str, object]", schema.get("properties", {}))
    required = cast("list[str]", schema.get("required", []))
    return {name: _instance(properties.get(name, {}), root, source) for name in required}


def _string(schema: Mapping[str, object], source: str) -> str:
    length = cast("int", schema.get("minLength", 0))
    rule = schema.get("x-extractive")
    return _copied(source, unit_of(rule), length) if rule else "a" * length


def _copied(source: str, unit: Unit, length: int) -> str:
    """Return the first whole pieces of the source that are `length` characters or more."""
    copied = ""
    for piece in pieces(source.lstrip(), unit):
        copied += piece
        if len(copied.rstrip()) >= max(length, 1):
            break
    return copied.rstrip()


def _number(schema: Mapping[str, object]) -> Json:
    low = schema.get("minimum")
    if isinstance(low, (int, float)):
        return low
    above = schema.get("exclusiveMinimum")
    if isinstance(above, (int, float)):
        return above + 1
    high = schema.get("maximum", 0)
    return min(0, high) if isinstance(high, (int, float)) else 0
