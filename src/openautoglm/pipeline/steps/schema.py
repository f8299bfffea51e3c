"""Whether a value follows a JSON schema, said with the place.

The one module about `jsonschema`. Knows nothing of pipelines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from openautoglm.errors import OutputParseError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema.protocols import Validator

MOST_KEPT: Final = 64
_VALIDATORS: Final[dict[int, tuple[Mapping[str, object], Validator]]] = {}


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


def check_value(value: object, schema: Mapping[str, object]) -> None:
    """Raise `OutputParseError` when `value` does not follow a schema that `check_schema` passed."""
    error = next(_validator(schema).iter_errors(cast("Any", value)), None)
    if error is not None:
        raise OutputParseError(
            f"the answer does not follow the schema at `{error.json_path}`: {error.message}",
            got=repr(value)[:200],
            fix="set `schema` on the `model.generate` step too, so that the model cannot leave it",
        )


def _validator(schema: Mapping[str, object]) -> Validator:
    """Return the validator of this very mapping; making one takes longer than using it."""
    kept = _VALIDATORS.get(id(schema))
    if kept is not None:
        return kept[1]
    from jsonschema import Draft202012Validator

    if len(_VALIDATORS) >= MOST_KEPT:
        _VALIDATORS.clear()
    validator = Draft202012Validator(schema)
    _VALIDATORS[id(schema)] = (schema, validator)  # holding the schema keeps its id its own
    return validator
