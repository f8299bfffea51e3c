"""The form of an answer as OpenAI's protocol asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from openautoglm.engine.structured import Form

OURS: Final = {"x-extractive"}


def response_format(form: Form) -> dict[str, object]:
    """Return the `response_format` that asks for an answer of a form.

    Our own key `x-extractive` is left out. `strict` is set where OpenAI's rules for it hold: every
    object closed, every property required.

    Raises:
        InvalidParameterError: the protocol has no words for the form.

    Example:
        >>> from openautoglm.engine.structured import Form
        >>> text = {"type": "string", "x-extractive": True}
        >>> response_format(Form(kind="json_schema", schema=text))["json_schema"]
        {'name': 'answer', 'schema': {'type': 'string'}, 'strict': True}
    """
    if form.kind == "json_object":
        return {"type": "json_object"}
    if form.schema is None:
        raise InvalidParameterError(
            f"a server of OpenAI's protocol cannot be asked for a `{form.kind}`",
            got=repr(form.text or form.choices)[:100],
            fix='pass a schema, for example {"enum": ["yes", "no"]}, or use a local model',
        )
    plain = _without_ours(form.schema)
    strict = form.strict or _is_strict(plain)
    return {
        "type": "json_schema",
        "json_schema": {"name": form.name, "schema": plain, "strict": strict},
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
