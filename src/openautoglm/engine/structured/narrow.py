"""The schema that is decoded: never wider than the one given, often narrower.

Owns `narrow`. Knows nothing of grammars.

What is narrowed, so that decoding ends and says nothing unasked:

- an object that names properties gets no others, unless `additionalProperties` asks for them
  (not where schemas are intersected: there one side would forbid what the other names);
- a schema without `type` gets the type its keywords are about;
- a number gets bounds of 1e18 and is written without exponent;
- dates are dates that exist, times have no leap seconds and a zone in capitals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openautoglm.engine.structured.keywords import (
    APPLICATORS,
    ENFORCED,
    EXTRACTIVE,
    LARGEST_NUMBER,
    intersects,
)
from openautoglm.engine.structured.lower import lower
from openautoglm.engine.structured.nodes import (
    IN_PLACE,
    Json,
    Node,
    Place,
    as_list,
    as_mapping,
    has_ref,
    types_of,
    walk,
)
from openautoglm.engine.structured.patterns import NARROW_FORMATS, portable

_ANY_NAME: Final = "openautoglm:any"
_ANY_REF: Final = f"#/$defs/{_ANY_NAME}"
_ANY: Final[Node] = {
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number", "minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER},
        {"type": "string"},
        {"type": "array", "items": {"$ref": _ANY_REF}},
        {"type": "object", "additionalProperties": {"$ref": _ANY_REF}},
    ]
}


def narrow(root: Json, place: Place | None = None) -> Mapping[str, Json]:
    """Return the schema to decode for a place of `root`, references included.

    Args:
        root: the whole schema, checked.
        place: the part wanted; default all of it.
    """
    lowered = lower(root if place is None else _alone(root, place))
    is_open = intersects(root) and not lowered.is_done
    narrowed = _narrow(lowered.schema, is_open=is_open)
    if not isinstance(narrowed, Mapping):
        return {"anyOf": [narrowed]}
    definitions = as_mapping(narrowed.get("$defs"))
    if not is_open:
        definitions = {**definitions, _ANY_NAME: _ANY}
    return {**narrowed, "$defs": definitions}


def _alone(root: Json, place: Place) -> Json:
    """Return the schema of a place with all that it refers to."""
    node = place.schema
    if not isinstance(node, Mapping) or not any(has_ref(p.schema) for p in walk(place)):
        return node
    content = as_mapping(_rebased(node))
    return {**content, "$defs": {**as_mapping(content.get("$defs")), "root": _rebased(root)}}


def _narrow(node: Json, *, is_open: bool) -> Json:
    if not isinstance(node, Mapping):
        return {"$ref": _ANY_REF} if node is True and not is_open else node
    kept = {key: value for key, value in node.items() if key in ENFORCED and key != EXTRACTIVE}
    definitions = {key: node[key] for key in ("$defs", "definitions") if key in node}
    if not kept and not is_open:
        return {"$ref": _ANY_REF, **_below(definitions, is_open=is_open)}
    if kept and not ({"type", "const", "enum"} | APPLICATORS) & set(kept):
        kept["type"] = list(types_of(node))
    types = types_of(kept) if "type" in kept else ()
    if "number" in types:
        _bound(kept)
    if not is_open:
        _close(kept, types)
    if "pattern" in kept:
        kept["pattern"] = portable(str(kept["pattern"]))
    if kept.get("format") in NARROW_FORMATS:
        written = {"pattern": NARROW_FORMATS[str(kept["format"])]}
        kept["allOf"] = [*as_list(kept.get("allOf")), written]
    return _below({**kept, **definitions}, is_open=is_open)


def _bound(kept: dict[str, Json]) -> None:
    for key, exclusive, bound in (
        ("minimum", "exclusiveMinimum", -LARGEST_NUMBER),
        ("maximum", "exclusiveMaximum", LARGEST_NUMBER),
    ):
        if key not in kept and exclusive not in kept:
            kept[key] = bound


def _close(kept: dict[str, Json], types: tuple[str, ...]) -> None:
    if "object" in types:
        named = "properties" in kept or "patternProperties" in kept
        kept.setdefault("additionalProperties", not named)
    if "array" in types:
        kept.setdefault("items", True)


def _below(node: dict[str, Json], *, is_open: bool) -> dict[str, Json]:
    """Narrow the subschemas of a node that was narrowed itself."""
    done = dict(node)
    for key in ("items", "additionalProperties"):
        if key in done:
            done[key] = _narrow(done[key], is_open=is_open)
    for key in ("prefixItems", *IN_PLACE):
        if key in done:
            done[key] = [_narrow(child, is_open=is_open) for child in as_list(done[key])]
    for key in ("properties", "patternProperties", "$defs", "definitions"):
        named = done.get(key)
        if isinstance(named, Mapping):
            spelled = portable if key == "patternProperties" else str
            done[key] = {spelled(k): _narrow(v, is_open=is_open) for k, v in named.items()}
    return done


def _rebased(node: Json) -> Json:
    """Point references at the copy of the root that a part carries in `$defs`."""
    if isinstance(node, list):
        return [_rebased(child) for child in node]
    if not isinstance(node, Mapping):
        return node
    done = {}
    for key, value in node.items():
        if key in {"const", "enum"}:
            done[key] = value
        elif key == "$ref" and isinstance(value, str) and value != _ANY_REF:
            done[key] = "#/$defs/root" + value[1:]
        else:
            done[key] = _rebased(value)
    return done
