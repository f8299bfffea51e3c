"""Schemas that try one part of JSON Schema each: unions, patterns, numbers, arrays, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .parts import closed, listed, maybe, of, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .parts import Schema

FORMATS: Final = (
    "date",
    "time",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
)
COUNTRIES: Final = [a + b for a in "ABCDEFGHIJ" for b in "ADEKLMNRSTUZ"]


def unions() -> Iterator[Schema]:
    scalars: list[Schema] = [
        text(5),
        whole(),
        {"type": "boolean"},
        {"type": "null"},
        {"type": "number", "minimum": -1, "maximum": 1},
    ]
    for size in (2, 3, 4):
        yield {"anyOf": scalars[:size]}
        yield closed(
            {"value": {"oneOf": scalars[:size]}, "values": of({"anyOf": scalars[:size]}, 3)}
        )
    for depth in (1, 2, 3, 4):
        schema: Schema = text(4)
        for _ in range(depth):
            schema = {"anyOf": [whole(0, 9), closed({"in": schema}), of(schema, 2)]}
        yield schema
        nested: Schema = whole(0, 9)
        for level in range(depth):
            nested = {
                "oneOf": [closed({"t": {"const": f"l{level}"}, "v": nested}), {"type": "null"}]
            }
        yield nested
    yield {"type": ["string", "integer", "null"], "maxLength": 3, "minimum": 0, "maximum": 9}
    yield closed({"a": {"type": ["array", "boolean"], "items": whole(0, 9), "maxItems": 2}})
    yield closed(
        {
            "shape": {
                "oneOf": [
                    closed({"r": whole()}),
                    closed({"w": whole(), "h": whole()}),
                    closed({"points": of(whole(), 2)}),
                ]
            }
        }
    )
    yield {"oneOf": [record({"a": text(3)}), record({"b": text(3)})]}
    yield {"oneOf": [record({"id": whole()}), record({"id": text(4)})]}


def patterned() -> Iterator[Schema]:
    for pattern in (
        r"^[a-z]{2}$",
        r"^\+\d{1,3} \d{3,10}$",
        "^#[0-9a-fA-F]{6}$",
        r"^v\d+(\.\d+){0,2}$",
        "^(red|green|blue)-[1-9]$",
        "^[^ ]{3,8}$",
        r"^\d{4}-W[0-5]\d$",
        "^[一-龥]{2,4}$",
        r"^(?:[A-Z][a-z]+ ){1,3}[A-Z][a-z]+$",
    ):
        yield {"type": "string", "pattern": pattern, "maxLength": 24}
        yield closed(
            {"code": {"type": "string", "pattern": pattern, "maxLength": 24}, "note": text(5)},
            ["code"],
        )
    yield {
        "type": "object",
        "patternProperties": {"^x-": text(4), "^[0-9]+$": whole()},
        "additionalProperties": False,
    }
    yield {
        "type": "object",
        "properties": {"x-id": text(6, minLength=1)},
        "patternProperties": {"^x-": {"maxLength": 4}},
        "required": ["x-id"],
        "additionalProperties": False,
    }
    yield {
        "type": "object",
        "patternProperties": {r"^\d{2}$": of(whole(), 2)},
        "minProperties": 1,
        "additionalProperties": False,
    }


def formats() -> Iterator[Schema]:
    for name in FORMATS:
        yield {"type": "string", "format": name}
        yield closed(
            {
                "value": {"type": "string", "format": name},
                "other": maybe({"type": "string", "format": name}),
            }
        )
    yield {"oneOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}
    yield {
        "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]
    }
    yield of({"type": "string", "format": "date"}, 2, minItems=2)
    yield {"type": "string", "format": "uri", "maxLength": 40}


def numbers() -> Iterator[Schema]:
    for bounds in (
        {"minimum": 0},
        {"maximum": 0},
        {"exclusiveMinimum": -1, "exclusiveMaximum": 1},
        {"minimum": 0.5, "maximum": 0.75},
        {"minimum": -1e6, "maximum": 1e6},
        {},
    ):
        yield {"type": "number", **bounds}
        yield closed(
            {"n": {"type": "number", **bounds}, "more": of({"type": "number", **bounds}, 2)}, ["n"]
        )
    for bounds in (
        {"minimum": 1, "maximum": 12},
        {"minimum": -40, "maximum": 60},
        {"exclusiveMinimum": 0, "maximum": 10**9},
        {"minimum": 1900, "maximum": 2100},
    ):
        yield {"type": "integer", **bounds}
    for step in (1, 2, 5, 10, 0.5, 0.25, 0.01, 0.1, 15):
        yield {
            "type": "number" if step < 1 else "integer",
            "multipleOf": step,
            "minimum": 0,
            "maximum": 1000,
        }
    yield {
        "allOf": [
            {"type": "integer", "multipleOf": 4},
            {"multipleOf": 6, "minimum": 0, "maximum": 100},
        ]
    }
    yield {"type": "integer", "not": {"minimum": 10, "maximum": 20}, "minimum": 0, "maximum": 30}


def arrays() -> Iterator[Schema]:
    yield {"type": "array", "prefixItems": [whole(), text(4), {"type": "boolean"}], "items": False}
    yield {
        "type": "array",
        "prefixItems": [{"const": "v1"}],
        "items": whole(0, 9),
        "minItems": 2,
        "maxItems": 4,
    }
    yield of(of(whole(0, 1), 3, minItems=3), 3, minItems=3)
    yield {"type": "array", "prefixItems": [text(3)], "unevaluatedItems": False, "minItems": 1}
    for values in (
        ["a", "b"],
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        [1, 2, 3, 4],
        list("abcdefgh"),
        [True, False],
    ):
        yield of(listed(*values), len(values), uniqueItems=True)
        yield of(listed(*values), 2, uniqueItems=True, minItems=2)
        yield of(listed(*values), 3, contains={"const": values[0]}, minItems=1)
    yield of(text(8, minLength=2), 3, uniqueItems=True)
    yield of(whole(0, 10**6), 3, uniqueItems=True)
    yield of(closed({"k": text(6)}), 3, uniqueItems=True, minItems=1)
    yield of({"type": "boolean"}, 2, uniqueItems=True, minItems=1)
    yield of(whole(), 4, contains={"minimum": 500}, minContains=2)
    yield {"type": "array", "items": whole(0, 9), "minItems": 1, "maxItems": 1, "uniqueItems": True}
    yield {"type": "array", "maxItems": 0}
    yield of(True, 2) | {"items": text(3)}


def recursive() -> Iterator[Schema]:
    for name, leaf in (
        ("folder", text(5)),
        ("expression", whole()),
        ("menu", {"type": "boolean"}),
        ("thread", {"type": "null"}),
    ):
        node = closed({name: leaf, "children": of({"$ref": f"#/$defs/{name}"}, 2)}, [name])
        yield {"$ref": f"#/$defs/{name}", "$defs": {name: node}}
        yield {
            "$defs": {name: node},
            **closed({"root": {"$ref": f"#/$defs/{name}"}, "name": text(5)}),
        }
        yield closed({name: leaf, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}})
        yield {
            "$defs": {
                name: {
                    "anyOf": [
                        leaf,
                        closed(
                            {
                                "op": listed("+", "-"),
                                "left": {"$ref": f"#/$defs/{name}"},
                                "right": {"$ref": f"#/$defs/{name}"},
                            }
                        ),
                    ]
                }
            },
            "$ref": f"#/$defs/{name}",
        }
        yield {
            "$defs": {name: node},
            "allOf": [{"$ref": f"#/$defs/{name}"}, {"required": ["children"]}],
        }
    yield {
        "$defs": {
            "a": closed({"b": maybe({"$ref": "#/$defs/b"})}),
            "b": closed({"a": maybe({"$ref": "#/$defs/a"})}),
        },
        "$ref": "#/$defs/a",
    }


def long_lists() -> Iterator[Schema]:
    for count in (20, 60, 120):
        yield {"type": "string", "enum": COUNTRIES[:count]}
        yield closed({"country": listed(*COUNTRIES[:count]), "number": whole()})
        yield closed(
            {
                f"field_{n}": {"type": ["integer", "null"], "maximum": 9, "minimum": 0}
                for n in range(count // 4)
            }
        )
        yield closed({f"f{n}": whole(0, 9) for n in range(count // 4)}, [])
    yield {"enum": [f"{n}.{m}" for n in range(20) for m in range(20)]}
    yield {"enum": [1, "1", 1.5, None, True, [1, "a"], {"a": {"b": []}}]}
    yield {"const": {"version": 2, "items": [1, 2, {"x": None}], "text": 'fixed "quoted"'}}


def deep() -> Iterator[Schema]:
    for depth in (3, 6, 10, 16, 24):
        schema: Schema = whole(0, 9)
        for level in range(depth):
            schema = closed({f"l{level}": schema})
        yield schema
        rows: Schema = {"type": "boolean"}
        for _ in range(depth):
            rows = of(rows, 1, minItems=1)
        yield rows


def conditions() -> Iterator[Schema]:
    person = {
        "country": listed("US", "CA", "NL"),
        "zip": text(7),
        "age": whole(0, 120),
        "email": {"type": "string", "format": "email"},
        "phone": text(8),
    }
    yield closed(
        person,
        ["country"],
        allOf=[
            {
                "if": {"properties": {"country": {"const": c}}},
                "then": {"properties": {"zip": {"pattern": p}}},
            }
            for c, p in (("US", r"^\d{5}$"), ("CA", "^[A-Z]\\d[A-Z]$"), ("NL", r"^\d{4} [A-Z]{2}$"))
        ],
    )
    yield closed(
        person,
        ["age"],
        **{
            "if": {"properties": {"age": {"minimum": 18}}},
            "then": {"required": ["email"]},
            "else": {"required": ["phone"]},
        },
    )
    yield closed(
        person, ["country"], dependentRequired={"zip": ["phone"], "email": ["age", "phone"]}
    )
    yield closed(
        person,
        [],
        dependentSchemas={
            "zip": {"required": ["country"]},
            "email": {"properties": {"phone": False}},
        },
    )
    yield closed(person, ["country"], **{"not": {"required": ["email", "phone"]}})
    yield closed(person, ["country"], oneOf=[{"required": ["email"]}, {"required": ["phone"]}])
    yield closed(person, ["country"], anyOf=[{"required": ["email"]}, {"required": ["phone"]}])
    for size in (1, 2, 3):
        yield closed(person, [], minProperties=size)
        yield closed(person, [], maxProperties=size)
    yield {"enum": ["on", "off", "auto"], "not": {"const": "auto"}}
    yield text(6, **{"not": {"enum": ["", "none", "n/a"]}})
    yield {
        "type": "object",
        "properties": {"mode": listed("a", "b")},
        "required": ["mode"],
        "if": {"properties": {"mode": {"const": "a"}}},
        "then": record({"x": whole()}),
        "else": record({"y": text(3)}),
    }
    yield {"allOf": [text(20, minLength=2), {"pattern": "^[a-z]+$"}, {"maxLength": 6}]}
    yield {
        "allOf": [
            record({"a": whole()}),
            record({"b": text(3)}),
            {"properties": {"a": {"minimum": 100}}},
        ]
    }
    yield {
        "type": "object",
        "allOf": [
            {"oneOf": [record({"id": whole()}), record({"name": text(3)})]},
            {"properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
        ],
    }


def free() -> Iterator[Schema]:
    """Nothing bounds these: a model may go on until `max_length`."""
    yield {"type": "object"}
    yield {"type": "array"}
    yield {"type": "string"}
    yield {}
    yield {"type": "object", "additionalProperties": {"type": "string"}}
    yield {"type": "array", "items": {"type": "object", "properties": {"a": True}}}
    yield record(
        {"text": {"type": "string"}, "words": {"type": "array", "items": {"type": "string"}}}
    )
    yield {
        "$defs": {
            "j": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"$ref": "#/$defs/j"}},
                    {"type": "object", "additionalProperties": {"$ref": "#/$defs/j"}},
                ]
            }
        },
        "$ref": "#/$defs/j",
    }
