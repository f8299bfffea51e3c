"""The form that an answer is asked to have: JSON, a regular expression, a choice, or a grammar.

Owns `Form` and `read_form`, with the rules of OpenAI's `response_format`. Knows nothing of how a
form becomes a grammar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from openautoglm.engine.structured.nodes import Json, Node, Place, as_list, as_mapping, shown, walk
from openautoglm.errors import InvalidParameterError, SchemaError
from openautoglm.registry import suggest

Kind: TypeAlias = Literal["json_schema", "json_object", "regex", "choice", "grammar"]

FORM_KEYWORDS: Final = ("schema", "regex", "choice", "grammar", "response_format")
"""The keywords of a call that ask for a form; only one may be given."""
KINDS: Final = ("text", "json_object", "json_schema", "regex", "choice", "grammar")
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("type",),
    "json_object": ("type",),
    "json_schema": ("type", "json_schema"),
    "regex": ("type", "regex"),
    "choice": ("type", "choice"),
    "grammar": ("type", "grammar"),
}
_SCHEMA_KEYS: Final = ("name", "description", "schema", "strict")
_NOT_STRICT: Final = (
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "oneOf",
)
NAME: Final = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What an answer must look like.

    Attributes:
        kind: which of the rest counts.
        schema: of a JSON answer.
        text: the regular expression or the grammar.
        choices: the texts of which the answer is one.
        name: what OpenAI's protocol calls the schema.
        strict: whether it was asked for by OpenAI's strict rules.
    """

    kind: Kind
    schema: Mapping[str, object] | None = None
    text: str = ""
    choices: tuple[str, ...] = ()
    name: str = NAME
    strict: bool = False

    def plain(self) -> dict[str, object]:
        """Return it as a `response_format`, which `read_form` reads back."""
        match self.kind:
            case "json_schema":
                body = {"name": self.name, "schema": self.schema, "strict": self.strict}
                return {"type": self.kind, "json_schema": body}
            case "choice":
                return {"type": self.kind, "choice": list(self.choices)}
            case "regex" | "grammar":
                return {"type": self.kind, self.kind: self.text}
            case _:
                return {"type": self.kind}


def read_form(given: Mapping[str, object]) -> Form | None:
    """Return the form that keywords of a call ask for; None is any text.

    Args:
        given: keywords by name; those not of `FORM_KEYWORDS` are not looked at.

    Raises:
        InvalidParameterError: several at once, or one of a wrong kind.
        SchemaError: a `response_format` breaks OpenAI's rules.

    Example:
        >>> read_form({"choice": ["yes", "no"]}).choices
        ('yes', 'no')
    """
    asked = [name for name in FORM_KEYWORDS if given.get(name) is not None]
    if len(asked) > 1:
        raise InvalidParameterError(
            "an answer can have one form only",
            got=", ".join(f"`{name}`" for name in asked),
            fix="pass one of them; put a `pattern` or `enum` into the schema to have both",
        )
    if not asked:
        return None
    value = given[asked[0]]
    if asked[0] == "response_format":
        return _response_format(value)
    if asked[0] == "schema":
        return Form(kind="json_schema", schema=cast("Mapping[str, object]", value))
    if asked[0] == "choice":
        return Form(kind="choice", choices=_choices(value))
    kind: Kind = "regex" if asked[0] == "regex" else "grammar"
    return Form(kind=kind, text=_text(asked[0], value))


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and (value or name == "regex"):
        return value
    example = {"regex": r'regex=r"\d{4}"', "grammar": 'grammar=\'start: "yes" | "no"\''}[name]
    raise InvalidParameterError(f"`{name}` must be a text", got=repr(value)[:100], fix=example)


def _choices(value: object) -> tuple[str, ...]:
    is_list = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
    if not is_list or not value or not all(cast("list[str]", value)):
        raise InvalidParameterError(
            "`choice` must be a list of texts, none of them empty",
            got=repr(value)[:100],
            fix='choice=["yes", "no"]',
        )
    return tuple(dict.fromkeys(cast("list[str]", value)))


def _response_format(value: object) -> Form | None:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or kind not in KINDS:
        near = suggest(kind, KINDS) if isinstance(kind, str) else None
        raise InvalidParameterError(
            "`response_format` must say which `type` of answer it asks for",
            got=repr(value)[:200],
            fix=f"{near or 'pass'} {{'type': …}}, one of {', '.join(KINDS)}",
        )
    _check_keys("response_format", value, _KEYS[str(kind)])
    if kind == "text":
        return None
    if kind == "json_object":
        return Form(kind="json_object", schema={"type": "object"})
    if kind == "json_schema":
        return _json_schema(value.get("json_schema"))
    if value.get(str(kind)) is None:
        raise InvalidParameterError(
            f"`response_format` of type {kind} needs its `{kind}`",
            got=repr(value)[:100],
            fix=f'{{"type": "{kind}", "{kind}": …}}',
        )
    return read_form({str(kind): value[str(kind)]})


def _check_keys(name: str, value: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in value:
        if key not in known:
            raise InvalidParameterError(
                f"`{name}` has no key `{key}`",
                got=f"known: {', '.join(known)}",
                fix=suggest(str(key), known) or "remove it",
            )


def _json_schema(body: object) -> Form:
    if not isinstance(body, Mapping):
        raise InvalidParameterError(
            "`response_format` of type json_schema needs its `json_schema`",
            got=repr(body)[:100],
            fix='{"type": "json_schema", "json_schema": {"name": "answer", "schema": {…}}}',
        )
    _check_keys("response_format.json_schema", body, _SCHEMA_KEYS)
    name, strict, schema = body.get("name"), body.get("strict"), body.get("schema")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise InvalidParameterError(
            "`response_format.json_schema.name` must be 1 to 64 letters, digits, `_` or `-`",
            got=repr(name),
            fix='for example "name": "answer"',
        )
    if not (strict is None or isinstance(strict, bool)):
        raise InvalidParameterError(
            "`response_format.json_schema.strict` must be true or false",
            got=repr(strict),
            fix='"strict": true',
        )
    if schema is None and not strict:
        schema = {"type": "object"}
    if not isinstance(schema, Mapping):
        raise SchemaError(
            "`response_format.json_schema.schema` must be a JSON schema",
            got=repr(schema)[:100],
            fix='{"type": "object", …}',
        )
    if strict:
        _check_strict(schema)
    return Form(kind="json_schema", schema=schema, name=name, strict=bool(strict))


def _check_strict(schema: Node) -> None:
    """Refuse what OpenAI's strict mode refuses.

    Raises:
        SchemaError: naming the place.
    """
    if schema.get("type") != "object":
        raise _not_strict(
            Place("", schema), "type", repr(schema.get("type")), 'make the root `"type": "object"`'
        )
    for place in walk(Place("", schema)):
        node = as_mapping(place.schema)
        for key in _NOT_STRICT:
            if key in node:
                raise _not_strict(place, key, key, "use `anyOf`, or `strict: false`")
        if "object" in as_list(node.get("type")) or node.get("type") == "object":
            _check_strict_object(place, node)


def _check_strict_object(place: Place, node: Node) -> None:
    if node.get("additionalProperties") is not False:
        raise _not_strict(
            place, "additionalProperties", "open", 'add `"additionalProperties": false`'
        )
    named = list(as_mapping(node.get("properties")))
    missing = [name for name in named if name not in as_list(node.get("required"))]
    if missing:
        raise _not_strict(
            place,
            "required",
            f"without {', '.join(missing[:5])}",
            'name every property; one that may be missing gets `"type": ["…", "null"]`',
        )


def _not_strict(place: Place, key: str, got: Json, fix: str) -> SchemaError:
    return SchemaError(
        f"{shown(place.at(key))} is not as `strict` asks for",
        got=str(got),
        fix=f"{fix}; or set `strict` to false",
    )
