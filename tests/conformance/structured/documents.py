"""Schemas of what people write down: invoices, résumés, records of patients, maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .parts import closed, listed, maybe, of, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .parts import Schema

LANGUAGES: Final = ["zh", "en", "de", "fr", "ja", "ko", "pt-BR", "zh-Hant"]


def geojson() -> Iterator[Schema]:
    position = {
        "type": "array",
        "prefixItems": [
            {"type": "number", "minimum": -180, "maximum": 180},
            {"type": "number", "minimum": -90, "maximum": 90},
        ],
        "items": False,
        "minItems": 2,
    }
    shapes = {
        "Point": position,
        "MultiPoint": of(position, 2),
        "LineString": of(position, 3, minItems=2),
        "Polygon": of(of(position, 5, minItems=4), 1, minItems=1),
    }
    geometries = [closed({"type": {"const": k}, "coordinates": v}) for k, v in shapes.items()]
    yield from geometries
    for count in (2, 3, 4):
        yield {"oneOf": geometries[:count]}
        feature = closed(
            {
                "type": {"const": "Feature"},
                "geometry": {"$ref": "#/$defs/geometry"},
                "properties": maybe(
                    {"type": "object", "additionalProperties": text(4), "maxProperties": 1}
                ),
            }
        )
        yield {**feature, "$defs": {"geometry": {"oneOf": geometries[:count]}}}
    yield closed(
        {
            "bbox": {
                "type": "array",
                "items": {"type": "number", "minimum": -180, "maximum": 180},
                "minItems": 4,
                "maxItems": 4,
            }
        }
    )


def invoices() -> Iterator[Schema]:
    for currency in (["EUR"], ["USD", "CNY"], ["JPY", "GBP", "CHF"]):
        money = closed(
            {
                "amount": {"type": "number", "minimum": 0, "maximum": 10_000, "multipleOf": 0.01},
                "currency": listed(*currency),
            }
        )
        line = closed(
            {
                "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
                "quantity": whole(1, 99),
                "price": money,
            }
        )
        yield money
        yield closed(
            {
                "number": {"type": "string", "pattern": r"^INV-\d{6}$"},
                "issued": {"type": "string", "format": "date"},
                "lines": of(line, 2, minItems=1),
                "total": money,
            }
        )
        yield {
            "$defs": {"money": money, "line": line},
            **closed(
                {
                    "lines": of({"$ref": "#/$defs/line"}, 2),
                    "tax": {"$ref": "#/$defs/money"},
                    "paid": maybe({"$ref": "#/$defs/money"}),
                }
            ),
        }
        yield closed(
            {
                "method": listed("card", "transfer"),
                "card": {"type": "string", "pattern": r"^\d{4}$"},
                "iban": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{8}$"},
            },
            ["method"],
            **{
                "if": {"properties": {"method": {"const": "card"}}},
                "then": {"required": ["card"], "properties": {"iban": False}},
                "else": {"required": ["iban"]},
            },
        )
        yield closed(
            {"net": money, "gross": money, "vat_percent": listed(0, 7, 19)},
            ["net"],
            anyOf=[{"required": ["gross"]}, {"required": ["vat_percent"]}],
        )


def resumes() -> Iterator[Schema]:
    span = closed(
        {
            "from": {"type": "string", "pattern": r"^(19|20)\d\d-(0[1-9]|1[0-2])$"},
            "to": maybe({"type": "string", "pattern": r"^(19|20)\d\d-(0[1-9]|1[0-2])$"}),
        }
    )
    job = closed(
        {
            "company": text(14),
            "title": text(10),
            "when": span,
            "skills": of(text(6, minLength=1), 3, uniqueItems=True),
        },
        ["company", "when"],
    )
    for levels in (["A1", "B2", "C2"], ["basic", "fluent", "native", "none"]):
        yield closed(
            {
                "name": text(16, minLength=2),
                "email": {"type": "string", "format": "email"},
                "work": of(job, 2),
            }
        )
        yield closed(
            {"languages": of(closed({"code": listed(*LANGUAGES), "level": listed(*levels)}), 2)}
        )
        yield closed(
            {
                "skills": {
                    "type": "object",
                    "additionalProperties": listed(*levels),
                    "propertyNames": {"pattern": "^[a-z+#]{1,8}$"},
                }
            }
        )
        yield closed({"levels": of(listed(*levels), 3, uniqueItems=True, minItems=1)})
    yield job
    yield span


def medicine() -> Iterator[Schema]:
    coded = closed(
        {
            "system": listed("icd-10", "loinc", "snomed"),
            "code": {"type": "string", "pattern": r"^[A-Z]\d{2}(\.\d)?$"},
            "display": text(12),
        },
        ["system", "code"],
    )
    quantity = closed(
        {
            "value": {"type": "number", "minimum": 0, "maximum": 500, "multipleOf": 0.1},
            "unit": listed("mg", "ml", "mmHg", "°C"),
        }
    )
    for field in ("diagnosis", "allergy", "procedure", "finding"):
        yield closed(
            {
                "patient": {"type": "string", "pattern": "^P[0-9]{6}$"},
                field: of(coded, 2, minItems=1),
                "recorded": {"type": "string", "format": "date-time"},
            }
        )
        yield closed(
            {
                field: coded,
                "severity": whole(1, 5),
                "negated": {"type": "boolean"},
                "note": maybe(text(20)),
            }
        )
        yield closed(
            {
                "resourceType": {"const": field.title()},
                "value": {"oneOf": [quantity, {"type": "boolean"}, text(8)]},
            }
        )
    yield closed(
        {
            "drug": text(10),
            "dose": quantity,
            "times": of(
                listed("morning", "noon", "evening", "night"), 4, uniqueItems=True, minItems=1
            ),
        }
    )
    yield closed(
        {
            "blood_pressure": {
                "type": "array",
                "prefixItems": [whole(60, 250), whole(30, 150)],
                "items": False,
                "minItems": 2,
            }
        }
    )
    yield closed(
        {"pregnant": {"type": "boolean"}, "sex": listed("f", "m", "x")},
        ["sex"],
        **{
            "if": {"properties": {"sex": {"const": "m"}}},
            "then": {"properties": {"pregnant": False}},
        },
    )


def annotated() -> Iterator[Schema]:
    for draft in (
        "https://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/draft-07/schema#",
    ):
        yield {
            "$schema": draft,
            "$id": "https://example.org/a.json",
            "title": "A",
            "description": "d",
            **closed({"a": text(5, title="A", description="…", examples=["x"], default="y")}),
        }
    for model in ("Recipe", "Movie", "Contract", "Meeting", "Paper", "Flight"):
        yield {
            "title": model,
            "type": "object",
            "properties": {
                "title": text(16, title="Title"),
                "summary": {
                    "anyOf": [text(20), {"type": "null"}],
                    "default": None,
                    "title": "Summary",
                },
                "parts": of({"$ref": f"#/$defs/{model}Part"}, 2, title="Parts"),
                "rating": {"type": "number", "minimum": 0, "maximum": 5, "title": "Rating"},
            },
            "required": ["title", "parts"],
            "$defs": {
                f"{model}Part": {
                    "title": f"{model}Part",
                    **record({"name": text(8), "amount": whole()}),
                }
            },
        }
        yield closed(
            {
                "answer": listed("yes", "no", "unsure"),
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                model.lower(): text(8),
            }
        )


def unicode_names() -> Iterator[Schema]:
    for names in (
        ["姓名", "年龄", "城市"],
        ["имя", "возраст"],
        ["größe", "straße"],
        ["名前", "メール"],
        ["naïve key", "a.b", "x/y", "~t"],
        ["😀", "e\u0301"],
        ['quo"te', "back\\slash"],
    ):
        yield closed({name: text(4) for name in names})
        yield closed({name: whole() for name in names}, names[:1])
        yield {"enum": names}
    yield closed(
        {
            "标签": listed("账单", "物流", "质量", "其他"),
            "理由": text(12),
            "紧急": {"type": "boolean"},
        }
    )
    yield {"type": "string", "enum": ["\t tab", "line\nbreak", "null", "", " "]}
