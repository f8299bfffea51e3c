"""The grammar of a schema with copied strings, in llguidance's dialect of Lark.

Owns `write_lark`. Knows nothing of tokenizers.

Parts without a copied string become `%json`. The rest is spelled out with the same lexemes as
llguidance's own JSON grammar (`{`, `"key"`, `:`, …): the lexer takes the longest match, so a
branch that cut them elsewhere would shut out its siblings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, final

from openautoglm.engine.structured.extractive import copied_places, kind_of, unit_of
from openautoglm.engine.structured.keywords import EXTRACTIVE
from openautoglm.engine.structured.narrow import narrow
from openautoglm.engine.structured.nodes import (
    Json,
    Node,
    Place,
    as_list,
    as_mapping,
    resolve,
    shown,
    types_of,
)
from openautoglm.engine.structured.units import Unit, fits, pieces
from openautoglm.errors import SchemaError

LAYOUT: Final[Mapping[str, object]] = {
    "whitespace_flexible": False,  # spaces without end are the usual way to never finish
    "json_allowed_escapes": 'nrbtf\\"',  # without \\u no key can be written in two ways
}
_BASE: Final = r"""
%llguidance {}
CHAR: /(?s:[^\\]|\\[^u]|\\u[0-9a-f]{4})/
SOLID: /[^\\\x20\x85\xa0\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}]/
 | /\\["\\b]/ | /\\u00(0[0-7ef]|1[0-9ab])/
WORDS: SOLID (CHAR* SOLID)?
FILLED: /(?s:.+)/
"""
# SOLID is a character, as JSON writes it, that is no white space to Python. WORDS is positive on
# purpose: with a complement the decoder explores the whole source before the first token.


def write_lark(root: Json, source: str) -> str:
    """Return the grammar of a checked schema whose copied strings are parts of `source`.

    Raises:
        SchemaError: a copied string is required and the source has none of its length.
    """
    return _Writer(root, source).text()


@final
class _Writer:
    def __init__(self, root: Json, source: str) -> None:
        self._root = root
        self._source = source
        self._copied = copied_places(root)
        self._names: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        self._cuts: dict[Unit, tuple[str, ...]] = {}

    def text(self) -> str:
        start = self._rule(Place("", self._root))
        lines = "\n".join(f"{name}: {body}" for name, body in self._lines.items())
        return f"{_BASE}start: {start}\n{lines}\n"

    def _rule(self, place: Place) -> str:
        """Return the name of the rule of a place, written when first asked for."""
        name = self._names.get(place.pointer)
        if name is None:
            name = self._names[place.pointer] = f"n{len(self._names)}"
            self._lines[name] = ""  # keeps the order in which rules are first named
            self._lines[name] = self._body(place, name)
        return name

    def _body(self, place: Place, name: str) -> str:
        node = place.schema
        if not isinstance(node, Mapping) or place.pointer not in self._copied:
            return self._json(place)
        write: Mapping[str, Callable[[Place, Node, str], str]] = {
            "string": self._string,
            "object": self._object,
            "array": self._array,
            "anyOf": self._any_of,
            "$ref": self._ref,
        }
        body = write[kind_of(node)](place, node, name)
        return f'{body} | "null"' if "null" in types_of(node) else body

    def _json(self, place: Place) -> str:
        return "%json " + json.dumps({**narrow(self._root, place), "x-guidance": LAYOUT})

    def _ref(self, place: Place, node: Node, name: str) -> str:
        del node, name
        return self._rule(resolve(self._root, place))

    def _any_of(self, place: Place, node: Node, name: str) -> str:
        del name
        branches = enumerate(as_list(node["anyOf"]))
        rules = [self._rule(Place(place.at("anyOf", str(i)), branch)) for i, branch in branches]
        return " | ".join(rules)

    def _object(self, place: Place, node: Node, name: str) -> str:
        """Write properties in order; `NAME_i` is what may follow once one was written."""
        named = list(as_mapping(node.get("properties")).items())
        required = as_list(node.get("required"))
        first, rest = '""', '""'
        for index in range(len(named) - 1, -1, -1):
            key, schema = named[index]
            if schema is False:
                continue
            member = f'{_quoted(json.dumps(key, ensure_ascii=False))} ":" ' + self._rule(
                Place(place.at("properties", key), schema)
            )
            is_needed = key in required
            first = f"{member} {rest}" + ("" if is_needed else f" | {first}")
            rest = f'"," {member} {rest}' + ("" if is_needed else f" | {rest}")
            first, rest = (
                self._named(f"{name}_first_{index}", first),
                self._named(f"{name}_rest_{index}", rest),
            )
        return f'"{{" {first} "}}"'

    def _named(self, name: str, body: str) -> str:
        self._lines[name] = body
        return name

    def _array(self, place: Place, node: Node, name: str) -> str:
        del name
        least, most = _count(node.get("minItems"), 0), _count(node.get("maxItems"), None)
        if most == 0:
            return '"[" "]"'
        item = self._rule(Place(place.at("items"), node.get("items", True)))
        more = f"{{{max((least or 0) - 1, 0)},{'' if most is None else most - 1}}}"
        filled = f'"[" {item} ("," {item}){more} "]"'
        return filled if least else f'"[" "]" | {filled}'

    def _string(self, place: Place, node: Node, name: str) -> str:
        unit = unit_of(node[EXTRACTIVE])
        least, most = _count(node.get("minLength"), 0) or 0, _count(node.get("maxLength"), None)
        if not fits(self._cut(unit), unit, least, most):
            if "null" in types_of(node):
                return '"null"'
            raise SchemaError(
                f"the source has nothing that {shown(place.pointer)} could be copied from",
                got=f"{len(self._source)} characters: {self._source[:60]!r}",
                fix='pass a source with text, or allow null: `"type": ["string", "null"]`',
            )
        pattern = f"{self._copy(unit)} & {'WORDS' if unit == 'word' else 'FILLED'}"
        if least > 1 or most is not None:
            pattern += f" & CHAR{{{least},{'' if most is None else most}}}"
        self._lines[f"VALUE_{name}".upper()] = f'"\\"" ({pattern}) "\\""'
        return f"VALUE_{name}".upper()

    def _cut(self, unit: Unit) -> tuple[str, ...]:
        if unit not in self._cuts:
            self._cuts[unit] = pieces(self._source, unit)
        return self._cuts[unit]

    def _copy(self, unit: Unit) -> str:
        name = f"COPY_{unit.upper()}"
        if name not in self._lines:
            chunks = [json.dumps(piece, ensure_ascii=False)[1:-1] for piece in self._cut(unit)]
            listed = json.dumps({"substring_chunks": chunks}, ensure_ascii=False)
            self._lines[name] = f"%regex {listed}"
        return name


def _quoted(text: str) -> str:
    """Write a text as a literal of Lark."""
    return json.dumps(text, ensure_ascii=False)


def _count(value: Json, default: int | None) -> int | None:
    return int(value) if isinstance(value, (int, float)) else default
