from __future__ import annotations

import jsonschema
import pytest

from openautoglm.testing.instances import smallest_instance

SCHEMAS: list[dict[str, object]] = [
    {"type": "string", "minLength": 3},
    {"type": ["integer", "null"], "minimum": 4},
    {"type": "number", "exclusiveMinimum": 1.5},
    {"type": "integer", "maximum": -3},
    {"type": "boolean"},
    {"type": "null"},
    {"const": {"a": 1}},
    {"enum": ["x", 2]},
    {"type": "array", "items": {"enum": [1]}, "minItems": 2},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"oneOf": [{"const": 1}]},
    {"allOf": [{"type": "string"}, {"minLength": 2}]},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}},
    {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/b"}, "c": {"type": "string"}},
        "required": ["a"],
        "$defs": {"b": {"type": "object", "properties": {"d": {"const": 1}}, "required": ["d"]}},
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_the_smallest_value_follows_its_schema(schema: dict[str, object]) -> None:
    jsonschema.validate(smallest_instance(schema), schema)


@pytest.mark.parametrize(
    ("rule", "length", "copied"),
    [(True, 0, "Smith"), (True, 6, "Smith paid"), ({"unit": "character"}, 2, "Sm")],
)
def test_a_copied_value_is_whole_pieces_of_the_source(
    rule: object, length: int, copied: str
) -> None:
    schema = {"type": "string", "x-extractive": rule, "minLength": length}
    assert smallest_instance(schema, " Smith paid 5") == copied
