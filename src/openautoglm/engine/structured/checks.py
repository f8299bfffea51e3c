"""Everything that is checked of a schema before it is used.

Owns `check_schema`. Knows nothing of grammars or of llguidance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from openautoglm.engine.structured.contradictions import check_possible
from openautoglm.engine.structured.keywords import check_keywords
from openautoglm.engine.structured.nodes import ALL_TYPES, Json, Place, shown
from openautoglm.errors import SchemaError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from jsonschema.exceptions import SchemaError as MetaError

MAX_SCHEMA_CHARACTERS: Final = 500_000
MAX_SCHEMA_DEPTH: Final = 50


def check_schema(schema: object) -> str:
    """Return a schema as JSON text, keys in their order, once it passed every check.

    Raises:
        SchemaError: it is not valid JSON Schema, cannot be enforced, or has no value.
    """
    text = _frozen(schema)
    _check(text)
    return text


@lru_cache(maxsize=64)
def _check(frozen: str) -> None:
    schema: Json = json.loads(frozen)
    _check_depth(schema)
    _check_meta(schema)
    check_keywords(schema)
    check_possible(schema)


def _frozen(schema: object) -> str:
    if not isinstance(schema, Mapping):
        raise SchemaError(
            "a schema is a mapping", got=type(schema).__name__, fix='pass {"type": "object", …}'
        )
    try:
        text = json.dumps(schema, allow_nan=False, default=_plain)
        json.dumps(schema, default=_plain, ensure_ascii=False).encode()  # no half surrogate
    except (TypeError, ValueError, RecursionError) as cause:
        raise SchemaError(
            "the schema is not JSON", got=str(cause), fix="use dicts, lists, strings and numbers"
        ) from cause
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise SchemaError(
            "the schema is too large",
            got=f"{len(text)} characters, the most is {MAX_SCHEMA_CHARACTERS}",
            fix="split it",
        )
    return text


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _check_depth(schema: Json) -> None:
    level = [schema]
    for _ in range(2 * MAX_SCHEMA_DEPTH):
        level = [
            child
            for node in level
            for child in (
                node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            )
        ]
        if not level:
            return
    raise SchemaError(
        "the schema is nested too deeply",
        got=f"more than {MAX_SCHEMA_DEPTH} levels",
        fix="use `$defs` and `$ref`",
    )


def _check_meta(schema: Json) -> None:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError as MetaError

    try:
        Draft202012Validator.check_schema(
            schema,  # type: ignore[arg-type] # that it is one is being checked
            format_checker=FormatChecker(formats=()),  # patterns are checked by `keywords`
        )
    except MetaError as cause:
        pointer = Place("", None).at(*(str(part) for part in cause.absolute_path))
        raise SchemaError(
            f"{shown(pointer)} is not valid JSON Schema",
            got=cause.message[:300],
            fix=_fix(cause),
        ) from cause


def _fix(fault: MetaError) -> str:
    if fault.absolute_path and fault.absolute_path[-1] == "type":
        types = (*ALL_TYPES, "integer")
        return suggest(str(fault.instance), types) or f"use one of {', '.join(types)}"
    if fault.instance in ALL_TYPES:
        return f'write {{"type": "{fault.instance}"}}'
    return "see json-schema.org, draft 2020-12"
