"""Schemas without applicators, and what two of them allow together.

Owns `Flat`, `own`, `merge` and `are_disjoint`. Knows nothing of references: a flat schema that has
some lists them under `REFS`, for whoever can follow them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import lcm
from typing import Final, TypeAlias

from openautoglm.engine.structured.nodes import (
    KEYWORDS_OF,
    Json,
    Node,
    as_list,
    as_mapping,
    types_of,
)
from openautoglm.engine.structured.patterns import portable

Flat: TypeAlias = dict[str, Json]

REFS: Final = "refs"  # pointers of definitions that hold too
EXCLUDED: Final = "excluded"  # values it may not be
PATTERNS: Final = "patterns"  # each {"pattern": …} or {"format": …}
_LISTED: Final = (REFS, EXCLUDED, PATTERNS, "contains", "propertyNames")
_APART: Final = {"date", "date-time", "duration", "email", "ipv4", "ipv6", "time", "uuid"}
"""Formats of which no text has two."""
_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_OWN: Final = frozenset(
    {"type", "uniqueItems", *(k for ks in KEYWORDS_OF.values() for k in ks)} - {"pattern", "format"}
)


def own(node: Node) -> Flat:
    """Return what a schema says itself, its applicators left out."""
    flat: Flat = {key: value for key, value in node.items() if key in _OWN}
    if "type" in node:
        flat["type"] = list(types_of(node))
    if "enum" in node or "const" in node:
        values = as_list(node["enum"]) if "enum" in node else [node["const"]]
        flat["enum"] = [v for v in values if "const" not in node or same(v, node["const"])]
    written = [{key: node[key]} for key in ("pattern", "format") if key in node]
    if written:
        flat[PATTERNS] = written
    if "contains" in node and node.get("minContains", 1) != 0:
        flat["contains"] = [
            {k: node[k] for k in ("contains", "minContains", "maxContains") if k in node}
        ]
    if "propertyNames" in node:
        flat["propertyNames"] = [node["propertyNames"]]
    if node.get("unevaluatedItems") is False and "items" not in flat:
        flat["items"] = False
    return flat


def same(one: Json, other: Json) -> bool:
    """Say whether two values are equal as JSON, where true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def merge(one: Flat, other: Flat) -> Flat | None:
    """Return what satisfies both; None when it is plain that nothing does.

    Subschemas that meet become an `allOf` of both, to be looked into by whoever comes to them.
    """
    merged: Flat = {**one, **other}
    for key in one.keys() & other.keys():
        together = _TOGETHER.get(key)
        if together is not None:
            merged[key] = together(one[key], other[key])
    merged |= _objects(one, other)
    merged |= _arrays(one, other)
    if merged.get("type") == [] or merged.get("enum") == []:
        return None
    return None if _is_crossed(merged) or _is_of_two_formats(merged) else merged


def are_disjoint(one: Flat, other: Flat, depth: int = 3) -> bool:
    """Say whether it is plain that no value satisfies both."""
    merged = merge(one, other)
    if merged is None:
        return True
    if "type" in merged and merged["type"] != ["object"]:
        return False
    if REFS in merged or not depth:
        return False
    return any(_never(merged, str(name), depth) for name in as_list(merged.get("required")))


def _never(merged: Flat, name: str, depth: int) -> bool:
    """Say whether a required property is forbidden, or an `allOf` of what excludes each other."""
    schema = as_mapping(merged.get("properties")).get(name, True)
    if schema is False or (name not in as_mapping(merged.get("properties")) and is_closed(merged)):
        return True
    parts = [own(p) for p in as_list(as_mapping(schema).get("allOf")) if isinstance(p, Mapping)]
    return any(are_disjoint(a, b, depth - 1) for i, a in enumerate(parts) for b in parts[:i])


def is_closed(flat: Node) -> bool:
    """Say whether an object may have only the properties it names."""
    return flat.get("additionalProperties") is False and not flat.get("patternProperties")


def both(one: Json, other: Json) -> Json:
    """Return a schema that holds where both hold."""
    if one is False or other is False:
        return False
    if one is True or one == {}:
        return other
    if other is True or other in ({}, one):
        return one
    parts: list[Json] = []
    for schema in (one, other):
        is_made = isinstance(schema, Mapping) and set(schema) == {"allOf"}
        parts += as_list(as_mapping(schema)["allOf"]) if is_made else [schema]
    return {"allOf": parts}


def _types(one: Json, other: Json) -> Json:
    names, others = as_list(one), as_list(other)
    found = [n for n in names if n in others or (n == "integer" and "number" in others)]
    if "number" in names and "integer" in others and "integer" not in found:
        found.append("integer")
    return found


def _common(one: Json, other: Json) -> Json:
    others = as_list(other)
    return [value for value in as_list(one) if any(same(value, b) for b in others)]


def _larger(one: Json, other: Json) -> Json:
    return max(one, other)  # type: ignore[call-overload] # numbers, by the meta-schema


def _smaller(one: Json, other: Json) -> Json:
    return min(one, other)  # type: ignore[call-overload] # as above


def _multiple(one: Json, other: Json) -> Json:
    if isinstance(one, int) and isinstance(other, int):
        return lcm(one, other)
    return max(one, other)  # type: ignore[call-overload] # numbers; the answer is checked for the other


def _objects(one: Flat, other: Flat) -> Flat:
    """Merge the properties: what one side names, the other side's remaining rules hold for too."""
    if not any("roperties" in key for key in (*one, *other)):
        return {}
    named: dict[str, Json] = {}
    for key in dict.fromkeys(
        [*as_mapping(one.get("properties")), *as_mapping(other.get("properties"))]
    ):
        named[key] = both(_property(one, key), _property(other, key))
    merged: Flat = {"properties": named} if named else {}
    patterns: dict[str, Json] = dict(as_mapping(one.get("patternProperties")))
    for pattern, schema in as_mapping(other.get("patternProperties")).items():
        patterns[pattern] = both(patterns.get(pattern, True), schema)
    if patterns:
        merged["patternProperties"] = patterns
    if "additionalProperties" in one or "additionalProperties" in other:
        rest = (flat.get("additionalProperties", True) for flat in (one, other))
        merged["additionalProperties"] = both(*rest)
    return merged


def _property(flat: Flat, name: str) -> Json:
    """Return what a schema says of one property, whether it names it or not."""
    found = as_mapping(flat.get("properties")).get(name)
    matching = [
        schema
        for pattern, schema in as_mapping(flat.get("patternProperties")).items()
        if re.search(portable(pattern), name)
    ]
    if found is None and not matching:
        return flat.get("additionalProperties", True)
    schema: Json = True if found is None else found
    for more in matching:
        schema = both(schema, more)
    return schema


def _arrays(one: Flat, other: Flat) -> Flat:
    firsts = [as_list(flat.get("prefixItems")) for flat in (one, other)]
    rest = [flat.get("items", True) for flat in (one, other)]
    merged: Flat = {}
    longest = max(map(len, firsts))
    if longest:
        merged["prefixItems"] = [
            both(*(f[i] if i < len(f) else r for f, r in zip(firsts, rest, strict=True)))
            for i in range(longest)
        ]
    if "items" in one or "items" in other:
        merged["items"] = both(*rest)
    return merged


def _is_crossed(flat: Flat) -> bool:
    """Say whether bounds that met leave nothing; of a type that is not asked for they may."""
    types = as_list(flat.get("type"))
    if len(types) != 1:
        return False
    for low, high in zip(_LEAST, _MOST, strict=True):
        least, most = flat.get(low), flat.get(high)
        about = {"L": "string", "I": "array", "P": "object"}.get(low[3])
        holds = types[0] == about or (about is None and types[0] in {"number", "integer"})
        if not (holds and isinstance(least, (int, float)) and isinstance(most, (int, float))):
            continue
        if least > most or (low == "exclusiveMinimum" and least == most):
            return True
    return False


def _is_of_two_formats(flat: Flat) -> bool:
    formats = {as_mapping(rule).get("format") for rule in as_list(flat.get(PATTERNS))}
    return flat.get("type") == ["string"] and len(formats & _APART) > 1


_TOGETHER: Final[Mapping[str, Callable[[Json, Json], Json]]] = {
    "type": _types,
    "enum": _common,
    "multipleOf": _multiple,
    "required": lambda a, b: list(dict.fromkeys([*as_list(a), *as_list(b)])),
    "uniqueItems": lambda a, b: bool(a or b),
    **dict.fromkeys(_LISTED, lambda a, b: [*as_list(a), *as_list(b)]),
    **dict.fromkeys(_LEAST, _larger),
    **dict.fromkeys(_MOST, _smaller),
}
