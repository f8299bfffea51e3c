"""What `x-extractive` asks for: a string copied from a source text.

Owns `unit_of`, `copied_places` and `check_extractive`. Knows nothing of grammars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from openautoglm.engine.structured.keywords import ENFORCED, EXTRACTIVE, check_required
from openautoglm.engine.structured.nodes import (
    Json,
    Node,
    Place,
    children,
    has_ref,
    resolve,
    shown,
    types_of,
    walk,
)
from openautoglm.engine.structured.units import UNITS, Unit
from openautoglm.errors import SchemaError

MAX_SOURCE_CHARACTERS: Final = 100_000
"""Longest source to copy from, in code points; compiling takes about 0.3 s and 60 MB there."""

_BESIDE: Final = {
    "string": frozenset({"type", EXTRACTIVE, "minLength", "maxLength"}),
    "object": frozenset({"type", "properties", "required", "additionalProperties"}),
    "array": frozenset({"type", "items", "minItems", "maxItems"}),
    "anyOf": frozenset({"anyOf"}),
    "$ref": frozenset({"$ref"}),
}


def unit_of(rule: Json) -> Unit:
    """Return the unit that a value of `x-extractive` asks for; `true` is words."""
    if isinstance(rule, Mapping) and rule.get("unit") == "character":
        return "character"
    return "word"


def is_rule(node: Json) -> bool:
    """Say whether a schema itself asks for a copied string."""
    return isinstance(node, Mapping) and bool(node.get(EXTRACTIVE))


def copied_places(root: Json) -> frozenset[str]:
    """Return the pointers of all places that are copied, or contain or refer to such a place."""
    places = [p for p in walk(Place("", root)) if isinstance(p.schema, Mapping)]
    leads = {place.pointer: _leads(root, place) for place in places}
    copied = {p.pointer for p in places if is_rule(p.schema)}
    while more := {at for at, to in leads.items() if not copied.isdisjoint(to)} - copied:
        copied |= more
    return frozenset(copied)


def _leads(root: Json, place: Place) -> tuple[str, ...]:
    """Return the pointers a value of a place may be made of."""
    apart = (place.at("$defs") + "/", place.at("definitions") + "/")
    made_of = [c.pointer for c in children(place) if not c.pointer.startswith(apart)]
    if has_ref(place.schema):
        made_of.append(resolve(root, place).pointer)
    return tuple(made_of)


def kind_of(node: Node) -> str:
    """Return which of the shapes that may hold copied strings a schema has."""
    for key in ("anyOf", "$ref"):
        if key in node:
            return key
    kinds = [t for t in types_of(node) if t != "null"]
    return kinds[0] if len(kinds) == 1 else "mixed"


def check_extractive(frozen: str, source: str | None) -> bool:
    """Refuse what cannot be copied; say whether anything is.

    Args:
        frozen: the schema as `check_schema` returns it; each is looked at once.
        source: the text to copy from.

    Raises:
        SchemaError: no source, a source too long or not Unicode, `x-extractive` on something that
            is not a string, or in a place where it cannot be enforced.
    """
    rule = _first_rule(frozen)
    if rule is not None:
        _check_source(rule, source)
    return rule is not None


@lru_cache(maxsize=64)
def _first_rule(frozen: str) -> Place | None:
    """Check the places that are copied; return the first."""
    root: Json = json.loads(frozen)
    nodes = [(p, p.schema) for p in walk(Place("", root)) if isinstance(p.schema, Mapping)]
    rules = [(place, node) for place, node in nodes if EXTRACTIVE in node]
    for place, node in rules:
        _check_rule(place, node)
    copied = copied_places(root)
    for place, node in nodes:
        if place.pointer in copied:
            _check_shape(place, node)
    return rules[0][0] if copied else None


def _check_rule(place: Place, node: Node) -> None:
    rule = node[EXTRACTIVE]
    units = {"unit": rule.get("unit")} if isinstance(rule, Mapping) else {}
    if not isinstance(rule, bool) and (rule != units or units["unit"] not in UNITS):
        raise SchemaError(
            f"{shown(place.at(EXTRACTIVE))} has a value it cannot have",
            got=repr(rule),
            fix='use true, or {"unit": "word"}, or {"unit": "character"}',
        )
    if rule and ("type" not in node or set(types_of(node)) - {"null"} != {"string"}):
        raise SchemaError(
            f"{shown(place.at(EXTRACTIVE))} is on something that is not a string",
            got=f"type: {node.get('type')!r}",
            fix='use `"type": "string"` or `"type": ["string", "null"]`',
        )


def _check_shape(place: Place, node: Node) -> None:
    allowed = _BESIDE.get(kind_of(node), frozenset())
    for key in node:
        if key in ENFORCED - allowed:
            fix = "write `anyOf`" if key == "oneOf" else f"remove `{key}` here"
            raise _unsupported(place, key, fix)
    if kind_of(node) == "object" and node.get("additionalProperties", False) is not False:
        raise _unsupported(place, "additionalProperties", "set it to false")
    check_required(place, node)


def _unsupported(place: Place, key: str, fix: str) -> SchemaError:
    return SchemaError(
        f"{shown(place.at(key))} cannot be enforced beside or above `{EXTRACTIVE}`",
        got=key,
        fix=f"{fix}; copied strings may stand in properties, items, anyOf and definitions",
    )


def _check_source(place: Place, source: object) -> None:
    where = shown(place.at(EXTRACTIVE))
    if source is None:
        raise SchemaError(f"{where} needs a text to copy from", fix="pass `source=` with the text")
    if not isinstance(source, str):
        raise SchemaError(
            f"{where} copies from a text", got=type(source).__name__, fix="pass `source=` as a str"
        )
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise SchemaError(
            f"the source is too long for {where}",
            got=f"{len(source)} characters, the most is {MAX_SOURCE_CHARACTERS}",
            fix="split it (step `text.segment`) and extract from each part",
        )
    try:
        source.encode()
    except UnicodeEncodeError as cause:
        raise SchemaError(
            "the source is not valid Unicode: it holds half of a surrogate pair",
            got=f"{source[cause.start]!r} at character {cause.start}",
            fix='decode the input as UTF-8 with errors="replace"',
        ) from cause
