"""Schemas that no value can satisfy.

Owns `check_possible`. Knows nothing of what decoding can enforce or of grammars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeGuard

from openautoglm.engine.structured.nodes import (
    ALL_TYPES,
    IN_PLACE,
    KEYWORDS_OF,
    Json,
    Node,
    Place,
    as_list,
    as_mapping,
    has_ref,
    resolve,
    shown,
    types_of,
    walk,
)
from openautoglm.errors import SchemaError

_PAIRS: Final = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def check_possible(root: Json) -> None:
    """Refuse a schema, or a part of one, that has no value.

    A property whose schema is `false` is allowed: that says it must not be there.

    Raises:
        SchemaError: naming the JSON pointer of the contradiction.
    """
    for place in walk(Place("", root)):
        if isinstance(place.schema, Mapping):
            for pointer, got in _contradictions(place, place.schema):
                raise _impossible(pointer, got)
    proven: set[str] = set()
    targets = [resolve(root, p) for p in walk(Place("", root)) if has_ref(p.schema)]
    while found := {t.pointer for t in targets if _ends(t, root, proven)} - proven:
        proven |= found
    if not _ends(Place("", root), root, proven):
        raise _impossible("", "a value would have to contain itself without end")


def _impossible(pointer: str, got: str) -> SchemaError:
    return SchemaError(
        f"no value satisfies {shown(pointer)}", got=got, fix="correct the schema; it rules out all"
    )


def _contradictions(place: Place, node: Node) -> Iterator[tuple[str, str]]:
    yield from _bounds(place, node)
    yield from _constants(place, node)
    if "object" in types_of(node):
        yield from _object(place, node)
    least, items = node.get("minItems"), node.get("items")
    room = len(as_list(node.get("prefixItems")))
    if isinstance(least, int) and items is False and least > room:
        yield place.at("minItems"), f"at least {least} items, and there is room for {room}"
    if node.get("type") == []:
        yield place.at("type"), "[]"


def _bounds(place: Place, node: Node) -> Iterator[tuple[str, str]]:
    for low, high in _PAIRS:
        least, most = node.get(low), node.get(high)
        if _is_number(least) and _is_number(most) and least > most:
            yield place.at(low), f"{low} {least} > {high} {most}"
    for low, high in (
        ("exclusiveMinimum", "exclusiveMaximum"),
        ("exclusiveMinimum", "maximum"),
        ("minimum", "exclusiveMaximum"),
    ):
        least, most = node.get(low), node.get(high)
        if _is_number(least) and _is_number(most) and least >= most:
            yield place.at(low), f"{low} {least} >= {high} {most}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _constants(place: Place, node: Node) -> Iterator[tuple[str, str]]:
    from jsonschema import Draft202012Validator

    listed = node.get("enum")
    if listed == []:
        yield place.at("enum"), "[]"
    judged = {"type", *(word for words in KEYWORDS_OF.values() for word in words)}
    judged -= {"properties", "patternProperties", "additionalProperties", "items", "pattern"}
    siblings = {key: value for key, value in node.items() if key in judged}
    validator = Draft202012Validator(siblings)
    for index, value in enumerate(as_list(listed)):
        if not validator.is_valid(value):
            yield place.at("enum", str(index)), f"{value!r} does not fit the keywords beside it"
    if "const" in node and not validator.is_valid(node["const"]):
        yield place.at("const"), f"{node['const']!r} does not fit the keywords beside it"


def _object(place: Place, node: Node) -> Iterator[tuple[str, str]]:
    named, wanted = as_mapping(node.get("properties")), as_list(node.get("required"))
    is_closed = node.get("additionalProperties") is False and "patternProperties" not in node
    for name in map(str, wanted):
        if named.get(name) is False or (is_closed and name not in named):
            yield place.at("required"), f"`{name}` is required and forbidden"
    least, most = node.get("minProperties"), node.get("maxProperties")
    if isinstance(least, int) and is_closed and least > len(named):
        yield place.at("minProperties"), f"at least {least} of {len(named)} properties"
    if isinstance(most, int) and most < len(set(wanted)):
        yield place.at("maxProperties"), f"at most {most}, and {len(set(wanted))} are required"


def _ends(place: Place, root: Json, proven: AbstractSet[str]) -> bool:
    """Say whether some finite value satisfies a place.

    `proven` are the targets of references of which that is known; growing it until nothing is
    added finds all of them.
    """
    node = place.schema
    if not isinstance(node, Mapping):
        return node is not False
    if "const" in node or "enum" in node:
        return True
    if "$ref" in node and resolve(root, place).pointer not in proven:
        return False
    for key in IN_PLACE:
        branches = node.get(key)
        if isinstance(branches, list):
            found = (_ends(Place("", branch), root, proven) for branch in branches)
            if not (all(found) if key == "allOf" else any(found)):
                return False
    return any(_type_ends(t, node, root, proven) for t in types_of(node) or ALL_TYPES)


def _type_ends(name: str, node: Node, root: Json, proven: AbstractSet[str]) -> bool:
    if name == "array":
        least, parts = node.get("minItems", 0), as_list(node.get("prefixItems"))
        count = least if isinstance(least, int) else 0
        if count > len(parts):
            parts.append(node.get("items", True))
        return all(_ends(Place("", part), root, proven) for part in parts[: max(count, 0)])
    if name == "object":
        named, wanted = as_mapping(node.get("properties")), as_list(node.get("required"))
        return all(_ends(Place("", named.get(str(key), True)), root, proven) for key in wanted)
    return True
