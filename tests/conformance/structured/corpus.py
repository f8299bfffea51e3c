"""Schemas in the style of those that programs send: families, each in several variants.

`satisfiable()` are standard JSON Schema 2020-12 that some value follows; `hopeless()` are not
standard, or no value follows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .documents import annotated, geojson, invoices, medicine, resumes, unicode_names
from .parts import closed, listed, of, text, whole
from .services import api_payloads, configuration, events, openapi, packages, tool_calls
from .shapes import (
    arrays,
    conditions,
    deep,
    formats,
    free,
    long_lists,
    numbers,
    patterned,
    recursive,
    unions,
)

if TYPE_CHECKING:
    from .parts import Family, Schema

FAMILIES: Final[tuple[Family, ...]] = (
    api_payloads,
    tool_calls,
    configuration,
    packages,
    openapi,
    geojson,
    invoices,
    resumes,
    medicine,
    events,
    unions,
    patterned,
    formats,
    numbers,
    arrays,
    recursive,
    unicode_names,
    long_lists,
    deep,
    conditions,
    annotated,
    free,
)


def satisfiable() -> dict[str, Schema]:
    """Return the schemas by name: family and number."""
    return {
        f"{family.__name__} {number}": schema
        for family in FAMILIES
        for number, schema in enumerate(family())
    }


def hopeless() -> dict[str, Schema]:
    """Return what must be refused at once, by the reason."""
    return {
        "crossed lengths": text(1, minLength=2),
        "crossed items": {"type": "array", "minItems": 3, "maxItems": 2},
        "crossed bounds": whole(5, 4),
        "crossed counts": {"type": "object", "minProperties": 3, "maxProperties": 2},
        "no integer between": {"type": "integer", "minimum": 0.2, "maximum": 0.8},
        "no multiple between": {"type": "integer", "multipleOf": 100, "minimum": 1, "maximum": 99},
        "empty enum": {"enum": []},
        "const of another type": {"type": "string", "const": 1},
        "required and forbidden": closed({"a": whole()}, ["b"]),
        "required and false": {"type": "object", "properties": {"a": False}, "required": ["a"]},
        "disjoint types": {"allOf": [{"type": "string"}, {"type": "integer"}]},
        "disjoint enums": {"allOf": [listed("a"), listed("b")]},
        "closed on both sides": {"allOf": [closed({"a": whole()}), closed({"b": whole()})]},
        "itself without end": {
            "type": "object",
            "properties": {"a": {"$ref": "#"}},
            "required": ["a"],
        },
        "array of itself": {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
        "not anything": {"not": {}},
        "exactly one of two alike": {"oneOf": [whole(), whole()]},
        "pattern against length": {"type": "string", "pattern": "^abc$", "maxLength": 2},
        "pattern of nothing": {"type": "string", "pattern": r"^[^\s\S]$"},
        "invalid pattern": {"type": "string", "pattern": "("},
        "look-ahead": {"type": "string", "pattern": "^(?=a)b"},
        "back-reference": {"type": "string", "pattern": r"(a)\1"},
        "reference to a server": {"$ref": "https://example.org/schema.json"},
        "reference to nothing": {"$ref": "#/$defs/gone"},
        "no keyword": {"type": "string", "maxLenght": 3},
        "no type": {"type": "text"},
        "then without if": {"then": {}},
        "unknown format": {"type": "string", "format": "phone-number"},
        "of another draft": {"$schema": "http://json-schema.org/draft-04/schema#"},
        "unique of too few": of(listed("a", "b"), 9, uniqueItems=True, minItems=3),
        "more than there are": closed({"a": whole()}, [], minProperties=2),
    }
