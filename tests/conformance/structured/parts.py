"""The parts that the schemas of the corpus are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

Schema: TypeAlias = dict[str, object]
Family: TypeAlias = Callable[[], Iterator[Schema]]


def text(most: int = 12, **more: object) -> Schema:
    return {"type": "string", "maxLength": most, **more}


def whole(least: int = 0, most: int = 999, **more: object) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, **more}


def listed(*values: object) -> Schema:
    return {"enum": list(values)}


def of(items: object, most: int = 3, **more: object) -> Schema:
    return {"type": "array", "items": items, "maxItems": most, **more}


def record(properties: Schema, required: object = None, **more: object) -> Schema:
    """Return an object; all properties are required where nothing else is said."""
    needed = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": needed, **more}


def closed(properties: Schema, required: object = None, **more: object) -> Schema:
    return record(properties, required, additionalProperties=False, **more)


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}
