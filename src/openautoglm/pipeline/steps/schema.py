"""Whether a value follows a JSON schema, said with the place.

The one module about `jsonschema`. Knows nothing of pipelines.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from openautoglm.errors import OutputParseError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema.protocols import Validator


def check_schema(schema: Mapping[str, object]) -> None:
    """Raise `SchemaError` when `schema` is no JSON schema (2020-12)."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError as Broken

    try:
        Draft202012Validator.check_schema(schema)
    except Broken as cause:
        raise SchemaError(
            f"the JSON schema is wrong at `{cause.json_path}`: {cause.message}",
            fix="see https://json-schema.org/draft/2020-12",
        ) from cause


def check_value(value: object, schema_json: str) -> None:
    """Raise `OutputParseError` when `value` does not follow a schema, given as JSON text."""
    error = next(_validator(schema_json).iter_errors(cast("Any", value)), None)
    if error is not None:
        raise OutputParseError(
            f"the answer does not follow the schema at `{error.json_path}`: {error.message}",
            got=repr(value)[:200],
            fix="set `schema` on the `model.generate` step too, so that the model cannot leave it",
        )


@lru_cache(maxsize=64)
def _validator(schema_json: str) -> Validator:
    import json

    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema_json))
