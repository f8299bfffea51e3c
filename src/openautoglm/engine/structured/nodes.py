"""The parts of a JSON schema: places, children, references.

Owns `Place`, `children`, `resolve`, `types_of`, and how untyped JSON is looked into. Knows nothing
of what decoding can enforce.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from openautoglm.errors import SchemaError

Json: TypeAlias = object  # null, bool, number, string, list of Json, dict of string to Json
Node: TypeAlias = Mapping[str, object]

IN_PLACE: Final = ("allOf", "anyOf", "oneOf")
_ONE: Final = (
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
)
_LIST: Final = ("prefixItems", *IN_PLACE)
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")

KEYWORDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "object": (
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "minProperties",
        "maxProperties",
    ),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format", "x-extractive"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
ALL_TYPES: Final = ("null", "boolean", "number", "string", "array", "object")


class Place(NamedTuple):
    """A subschema and the JSON pointer that leads to it; "" is the root."""

    pointer: str
    schema: Json

    def at(self, *parts: str) -> str:
        """Return the pointer of something below this place."""
        return self.pointer + "".join(f"/{escape(part)}" for part in parts)


def escape(part: str) -> str:
    """Write a key as one part of a JSON pointer."""
    return part.replace("~", "~0").replace("/", "~1")


def shown(pointer: str) -> str:
    """Write a pointer for a message."""
    return f"`{pointer}`" if pointer else "the root"


def as_mapping(value: Json) -> Mapping[str, Json]:
    """Return an object of JSON; anything else is an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Json) -> list[Json]:
    """Return an array of JSON, copied; anything else is an empty one."""
    return list(value) if isinstance(value, list) else []


def has_ref(node: Json) -> bool:
    """Say whether a schema refers to another."""
    return isinstance(node, Mapping) and "$ref" in node


def children(place: Place) -> Iterator[Place]:
    """Yield the subschemas directly below a place."""
    node = place.schema
    if not isinstance(node, Mapping):
        return
    for key in _ONE:
        if key in node:
            yield Place(place.at(key), node[key])
    for key in _LIST:
        for index, child in enumerate(as_list(node.get(key))):
            yield Place(place.at(key, str(index)), child)
    for key in _NAMED:
        for name, child in as_mapping(node.get(key)).items():
            yield Place(place.at(key, name), child)


def walk(place: Place) -> Iterator[Place]:
    """Yield a place and all below it."""
    yield place
    for child in children(place):
        yield from walk(child)


def resolve(root: Json, place: Place) -> Place:
    """Return what the `$ref` of a place points to.

    Raises:
        SchemaError: it leads out of the schema, or nowhere.
    """
    node = place.schema
    ref = str(node["$ref"]) if isinstance(node, Mapping) else "#"
    if ref != "#" and not ref.startswith("#/"):
        raise SchemaError(
            f"{shown(place.at('$ref'))} refers to something outside the schema",
            got=ref,
            fix="copy the definition into `$defs` and write `#/$defs/NAME`",
        )
    pointer, target = unquote(ref[1:]), root
    for part in pointer.split("/")[1:]:
        target = _step(target, part.replace("~1", "/").replace("~0", "~"), place, ref)
    return Place(pointer, target)


def _step(node: Json, key: str, place: Place, ref: str) -> Json:
    if isinstance(node, Mapping) and key in node:
        return node[key]
    if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
        return node[int(key)]
    raise SchemaError(
        f"{shown(place.at('$ref'))} refers to a definition that is not there",
        got=ref,
        fix="add the definition, or correct the name",
    )


def types_of(node: Node) -> tuple[str, ...]:
    """Return the types a schema allows; a schema that names none gets them from its keywords.

    Example:
        >>> types_of({"type": ["string", "null"]}), types_of({"properties": {}}), types_of({})
        (('string', 'null'), ('object',), ())
    """
    declared = node.get("type")
    if isinstance(declared, str):
        return (declared,)
    if isinstance(declared, list):
        return tuple(str(t) for t in declared)
    return tuple(t for t, words in KEYWORDS_OF.items() if any(word in node for word in words))
