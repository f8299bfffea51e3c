"""What a schema forbids, written as schemas that allow the rest of it.

Owns `negated`. Knows nothing of references or of how alternatives are combined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from openautoglm.engine.structured.nodes import ALL_TYPES, Json, Node, as_list, as_mapping, types_of

NOT_VALUES: Final = "x-openautoglm-not"
"""Keyword of our own, in what is returned here alone: values that are excluded."""
_TURNED: Final = {
    "minimum": ("number", "exclusiveMaximum", 0),
    "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0),
    "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1),
    "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1),
    "maxItems": ("array", "minItems", 1),
}
_PLAIN: Final = frozenset(
    {"description", "title", "$comment", "examples", "default", "$defs", "definitions"}
)


class Negation(NamedTuple):
    """Schemas of which one holds where another does not.

    Attributes:
        schemas: each excludes the other schema.
        is_whole: whether they say all that is outside it; otherwise a part.
    """

    schemas: list[Json]
    is_whole: bool


def negated(schema: Json) -> Negation:
    """Return what is outside a schema, as far as it can be said.

    Example:
        >>> negated({"required": ["a"]}).schemas
        [{'type': 'object', 'properties': {'a': False}}]
    """
    if not isinstance(schema, Mapping):
        return Negation([True] if schema is False else [], is_whole=True)
    found: list[Json] = []
    is_whole = True
    for key in schema.keys() - _PLAIN:
        part = _KEYWORDS.get(key, _unknown)(schema, key)
        found += part.schemas
        is_whole = is_whole and part.is_whole
    return Negation(found, is_whole)


def _unknown(node: Node, key: str) -> Negation:
    if key in _TURNED:
        return _bound(node, key)
    return Negation([], is_whole=False)


def _bound(node: Node, key: str) -> Negation:
    about, opposite, step = _TURNED[key]
    value = node[key]
    if not isinstance(value, (int, float)) or (step < 0 and value <= 0):
        return Negation([], is_whole=True)
    return Negation([{"type": about, opposite: value + step}], is_whole=True)


def _type(node: Node, _: str) -> Negation:
    """Return the other types; of those that are not whole numbers nothing can be said."""
    names = set(types_of(node))
    taken = names | ({"number"} if "integer" in names else set())
    rest = [name for name in ALL_TYPES if name not in taken]
    return Negation([{"type": rest}] if rest else [], is_whole="integer" not in names)


def _values(node: Node, key: str) -> Negation:
    values = as_list(node["enum"]) if key == "enum" else [node["const"]]
    return Negation([{NOT_VALUES: values}], is_whole=True)


def _required(node: Node, _: str) -> Negation:
    absent: list[Json] = [
        {"type": "object", "properties": {str(name): False}} for name in as_list(node["required"])
    ]
    return Negation(absent, is_whole=True)


def _properties(node: Node, _: str) -> Negation:
    found: list[Json] = []
    is_whole = True
    for name, schema in as_mapping(node["properties"]).items():
        part = negated(schema)
        is_whole = is_whole and part.is_whole
        if part.schemas:
            other: Json = part.schemas[0] if len(part.schemas) == 1 else {"anyOf": part.schemas}
            found.append({"type": "object", "properties": {name: other}, "required": [name]})
    return Negation(found, is_whole)


def _any_of(node: Node, key: str) -> Negation:
    parts = [negated(branch) for branch in as_list(node[key])]
    if not all(part.schemas for part in parts):
        return Negation([], is_whole=all(part.is_whole for part in parts))
    together: list[Json] = [
        part.schemas[0] if len(part.schemas) == 1 else {"anyOf": part.schemas} for part in parts
    ]
    return Negation([{"allOf": together}], is_whole=all(part.is_whole for part in parts))


def _all_of(node: Node, key: str) -> Negation:
    parts = [negated(branch) for branch in as_list(node[key])]
    found = [schema for part in parts for schema in part.schemas]
    return Negation(found, is_whole=all(part.is_whole for part in parts))


def _not(node: Node, _: str) -> Negation:
    return Negation([node["not"]], is_whole=True)


_KEYWORDS: Final = {
    "type": _type,
    "const": _values,
    "enum": _values,
    "required": _required,
    "properties": _properties,
    "anyOf": _any_of,
    "allOf": _all_of,
    "not": _not,
}
