"""Which keywords of JSON Schema decoding enforces; every other one is refused, none is ignored.

Owns `check_keywords`. Knows nothing of contradictions or grammars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openautoglm.engine.structured.nodes import (
    IN_PLACE,
    KEYWORDS_OF,
    Json,
    Node,
    Place,
    as_list,
    as_mapping,
    resolve,
    shown,
    types_of,
    walk,
)
from openautoglm.engine.structured.patterns import check_pattern
from openautoglm.errors import SchemaError
from openautoglm.registry import suggest

EXTRACTIVE: Final = "x-extractive"
CASES: Final = frozenset({"not", "if", "dependentRequired", "dependentSchemas"})
"""Keywords that say of other schemas when they hold."""
WRITTEN_OUT: Final = CASES | {
    "then",
    "else",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
}
"""Keywords that no grammar follows: `lower` writes them out."""
ENFORCED: Final = WRITTEN_OUT | {
    "type",
    "const",
    "enum",
    "$ref",
    *IN_PLACE,
    *(k for ks in KEYWORDS_OF.values() for k in ks),
}
APPLICATORS: Final = CASES | {"$ref", *IN_PLACE}
ANNOTATIONS: Final = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
FORMATS: Final = (
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
)
DRAFTS: Final = ("2020-12", "2019-09", "draft-07", "draft-06")
LARGEST_INTEGER: Final = 2**53
"""Constants beyond this are not exact in the decoder's arithmetic."""
LARGEST_NUMBER: Final = 10**18
"""Bounds beyond this cannot be decoded; a number without a bound gets this one."""

SMALLEST_NUMBER: Final = 1e-15
"""Constants nearer to zero cannot be decoded."""

_ALONE: Final[Mapping[str, str]] = {
    "then": "if",
    "else": "if",
    "minContains": "contains",
    "maxContains": "contains",
}
"""Keywords that mean nothing without another."""
_INSTEAD: Final[Mapping[str, str]] = {
    "dependencies": "use `dependentRequired` or `dependentSchemas`",
    "additionalItems": "use `prefixItems` and `items`",
    "$dynamicRef": "use `$ref`",
    "$dynamicAnchor": "use `$defs` and `$ref`",
    "$recursiveRef": "use `$ref`",
    "$recursiveAnchor": "use `$defs` and `$ref`",
    "$vocabulary": "remove it",
    "nullable": 'use `"type": ["string", "null"]`',
    "contentEncoding": "use `pattern`",
    "contentMediaType": "remove it; the content of a string cannot be checked",
    "contentSchema": "remove it; the content of a string cannot be checked",
    "x-guidance": "remove it; the layout of the JSON is fixed",
}


def check_keywords(root: Json) -> None:
    """Refuse what decoding cannot enforce.

    Raises:
        SchemaError: naming the keyword's JSON pointer and what to write instead.
    """
    places = list(walk(Place("", root)))
    known = frozenset(place.pointer for place in places)
    is_open = intersects(root)
    for place in places:
        if isinstance(place.schema, Mapping):
            _check_names(place, place.schema)
            _check_values(place, place.schema)
            if not is_open:
                check_required(place, place.schema)
            if "$ref" in place.schema and resolve(root, place).pointer not in known:
                fix = "move the definition into `$defs`"
                raise _refused(place, "$ref", place.schema, fix)


def intersects(root: Json) -> bool:
    """Say whether any part of a schema is an intersection of several."""
    for _, node in walk(Place("", root)):
        if not isinstance(node, Mapping):
            continue
        applied = APPLICATORS & set(node)
        several = len(as_list(node.get("allOf"))) > 1
        if several or (applied and len(ENFORCED & set(node)) > 1):
            return True
    return False


def check_required(place: Place, node: Node) -> None:
    """Refuse a required property that decoding would never write.

    An object that names its properties gets no others, unless `additionalProperties` asks for them.

    Raises:
        SchemaError: naming the property.
    """
    if {"additionalProperties", "patternProperties"} & set(node) or "properties" not in node:
        return
    named = as_mapping(node["properties"])
    for name in map(str, as_list(node.get("required"))):
        if "object" in types_of(node) and name not in named:
            near = suggest(name, tuple(named))
            raise SchemaError(
                f"{shown(place.at('required'))} asks for `{name}`, which `properties` lacks",
                got=f"properties: {', '.join(named) or 'none'}",
                fix=near or f"add `{name}` to `properties`, or remove it from `required`",
            )


def _check_names(place: Place, node: Node) -> None:
    for key, other in _ALONE.items():
        if key in node and other not in node:
            raise _refused(place, key, node, f"add `{other}`, without which it means nothing")
    for key in node:
        if key in ENFORCED or key in ANNOTATIONS:
            continue
        near = suggest(key, (EXTRACTIVE,) if key.startswith("x-") else tuple(sorted(ENFORCED)))
        if key in _INSTEAD or not key.startswith("x-") or near:
            known = key in _INSTEAD
            raise SchemaError(
                f"{shown(place.at(key))} cannot be enforced"
                if known
                else f"{shown(place.at(key))} is no keyword of JSON Schema",
                got=f"{key}: {node[key]!r}"[:200],
                fix=_INSTEAD.get(key) or near or f"remove it, or call it `x-{key}` to keep a note",
            )


def _check_values(place: Place, node: Node) -> None:
    if place.pointer and "$id" in node:
        raise _refused(place, "$id", node, "remove it; only the root may have an `$id`")
    if "$schema" in node and not any(draft in str(node["$schema"]) for draft in DRAFTS):
        raise _refused(place, "$schema", node, f"use one of: {', '.join(DRAFTS)}")
    if "format" in node and node["format"] not in FORMATS:
        near = suggest(str(node["format"]), FORMATS)
        known = f"use one of {', '.join(FORMATS)}, or a `pattern`"
        raise _refused(place, "format", node, f"{near} {known}" if near else known)
    if "pattern" in node:
        check_pattern(str(node["pattern"]), place.at("pattern"))
    for pattern in as_mapping(node.get("patternProperties")):
        check_pattern(pattern, place.at("patternProperties", pattern))
    for name in as_mapping(node.get("properties")):
        if _odd(name):
            raise SchemaError(
                f"{shown(place.at('properties', name))} has a name that cannot be decoded",
                got=_odd(name),
                fix="rename the property",
            )
    _check_constants(place, node)
    _check_counts(place, node)
    _check_bounds(place, node)


def _refused(place: Place, key: str, node: Node, fix: str) -> SchemaError:
    got = f"{node[key]!r}"[:200]
    return SchemaError(f"{shown(place.at(key))} cannot be enforced", got=got, fix=fix)


def _check_constants(place: Place, node: Node) -> None:
    for key, values in (
        ("const", [node["const"]] if "const" in node else []),
        ("enum", as_list(node.get("enum"))),
    ):
        for value in values:
            odd = _odd(value)
            if odd:
                raise SchemaError(
                    f"{shown(place.at(key))} holds a value that cannot be decoded",
                    got=odd,
                    fix="write it as a string",
                )


def _odd(value: Json) -> str | None:
    """Return the part of a constant that the decoder cannot write exactly."""
    if isinstance(value, list):
        return next(filter(None, map(_odd, value)), None)
    if isinstance(value, Mapping):
        return next(filter(None, map(_odd, [*value, *value.values()])), None)
    if isinstance(value, str):
        control = any(c < " " and c not in "\n\r\t\b\f" for c in value)
        return f"{value!r}, with a control character" if control else None
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return f"{value}, beyond 2**53"
    if isinstance(value, float) and value and not SMALLEST_NUMBER <= abs(value) <= LARGEST_NUMBER:
        return f"{value}, with an exponent"
    return None


def _check_counts(place: Place, node: Node) -> None:
    """Keys beyond `properties` may come twice, so counting them proves nothing."""
    least = node.get("minProperties", 0)
    named = as_mapping(node.get("properties"))
    if isinstance(least, (int, float)) and least > max(1, len(named) + 1):
        fix = "list the properties in `properties` and `required`"
        raise _refused(place, "minProperties", node, fix)


def _check_bounds(place: Place, node: Node) -> None:
    if not {"number", "integer"} & set(types_of(node)):
        return
    for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        bound = node.get(key)
        if isinstance(bound, (int, float)) and abs(bound) > LARGEST_NUMBER:
            raise _refused(place, key, node, "remove it, or use a bound within 1e18")
