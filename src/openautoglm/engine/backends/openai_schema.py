"""A JSON schema as OpenAI's protocol wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OURS: Final = {"x-extractive"}


def response_format(schema: Mapping[str, object]) -> dict[str, object]:
    """Return the `response_format` that asks for JSON of a schema.

    Our own key `x-extractive` is left out. `strict` is set where OpenAI's rules for it hold: every
    object closed, every property required.

    Example:
        >>> response_format({"type": "string", "x-extractive": True})["json_schema"]
        {'name': 'answer', 'schema': {'type': 'string'}, 'strict': True}
    """
    plain = _without_ours(schema)
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": plain, "strict": _is_strict(plain)},
    }


def _without_ours(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_ours(item) for key, item in value.items() if key not in OURS}
    if isinstance(value, list):
        return [_without_ours(item) for item in value]
    return value


def _is_strict(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_strict(item) for item in value)
    if not isinstance(value, Mapping):
        return True
    if value.get("type") == "object":
        properties, required = value.get("properties", {}), value.get("required", [])
        is_closed = value.get("additionalProperties") is False
        if not is_closed or set(properties) != set(required):
            return False
    return all(_is_strict(item) for item in value.values())
