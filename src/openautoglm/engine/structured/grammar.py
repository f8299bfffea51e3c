"""A schema made ready to decode under.

Owns `compile_schema` and `Grammar`. Knows nothing of models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from openautoglm.engine.structured.answer import Parsed, parse
from openautoglm.engine.structured.checks import check_schema
from openautoglm.engine.structured.constraint import TokenConstraint, TokenizerView, limits
from openautoglm.engine.structured.extractive import check_extractive
from openautoglm.engine.structured.lark import LAYOUT, write_lark
from openautoglm.engine.structured.lower import lower
from openautoglm.engine.structured.narrow import narrow
from openautoglm.engine.structured.nodes import IN_PLACE, KEYWORDS_OF, Place, shown, walk
from openautoglm.engine.structured.texts import matches, text_grammar
from openautoglm.errors import OutputParseError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.structured.form import Form
    from openautoglm.engine.structured.nodes import Json


_HARD: Final = frozenset({*KEYWORDS_OF["string"], *KEYWORDS_OF["number"]} - {"x-extractive"})
STAND_IN: Final = "word " * 40
"""Copied from when a schema is checked, once; a source is compiled when decoding starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """A form of answers, the source its values are copied from, and what llguidance reads.

    Immutable; one serves any number of sequences and threads.

    Attributes:
        schema: of JSON; None when the answer is a text.
        source: what copied values are parts of.
        text: in llguidance's dialect of Lark, or as its JSON.
        checked: pointers of keywords that decoding cannot follow; the answer is checked for them.
    """

    schema: Mapping[str, object] | None
    source: str | None
    text: str
    checked: tuple[str, ...] = ()

    def constraint(self, tokenizer: TokenizerView, room: int | None = None) -> TokenConstraint:
        """Start one sequence.

        Args:
            tokenizer: of the model that answers.
            room: most tokens of the answer.

        Raises:
            SchemaError: the schema is too complex for the decoder, or what every answer begins
                with takes all the room.
            MissingExtraError: llguidance is not installed.
        """
        constraint = TokenConstraint(tokenizer, self.text)
        if room is not None:
            constraint.check_room(room)
        return constraint

    def parse(self, text: str) -> Parsed:
        """Read an answer back; see `parse`. A text that is no JSON is its own value.

        Raises:
            OutputParseError: it does not have the form.
        """
        if self.schema is not None:
            return parse(text, self.schema, self.source)
        if matches(text, self.text):
            return Parsed(value=text, offsets=MappingProxyType({}))
        raise OutputParseError(
            "the output does not have the form that was asked for",
            got=repr(text[:200]),
            fix="raise `max_length` if it was cut off; use a backend that decodes under the form",
        )


def compile_form(form: Form, source: str | None = None) -> Grammar:
    """Check the form that an answer is to have and turn it into a grammar.

    Args:
        form: what was asked for.
        source: the text that a schema's `x-extractive` values are copied from.

    Raises:
        SchemaError: as `compile_schema`; or a regular expression or a grammar that cannot be
            read, matches nothing, or never ends.
    """
    if form.schema is not None:
        return compile_schema(form.schema, source)
    return Grammar(schema=None, source=source, text=text_grammar(form))


def compile_schema(schema: Mapping[str, object], source: str | None = None) -> Grammar:
    """Check a schema and turn it into a grammar.

    Decoding under the grammar writes compact JSON, properties in the order of the schema. What is
    narrower than the schema says is listed in `structured/narrow.py`; nothing is wider.

    Args:
        schema: a JSON schema; `x-extractive: true` on a string makes it a copy of a part of
            `source`.
        source: the text to copy from; needed only with `x-extractive`.

    Raises:
        SchemaError: the schema is invalid, impossible, or asks for what cannot be enforced; the
            message names the JSON pointer.

    Example:
        >>> compile_schema({"type": "string", "nullable": True})
        Traceback (most recent call last):
        openautoglm.errors.SchemaError: [OAG312] `/nullable` cannot be enforced
          got: nullable: True
          fix: use `"type": ["string", "null"]`
    """
    frozen = check_schema(schema)
    content: dict[str, Json] = json.loads(frozen)
    copies = check_extractive(frozen, source)
    _try_leaves(frozen)
    if copies and source is not None:
        text = write_lark(content, source)
        _try_copies(frozen)
    else:
        text = _plain_grammar(frozen)
    return Grammar(schema=content, source=source, text=text, checked=_checked(frozen))


@lru_cache(maxsize=64)
def _checked(frozen: str) -> tuple[str, ...]:
    return lower(json.loads(frozen)).checked


@lru_cache(maxsize=64)
def _plain_grammar(frozen: str) -> str:
    schema = {**narrow(json.loads(frozen)), "x-guidance": LAYOUT}
    text = json.dumps({"grammars": [{"json_schema": schema}]})
    _try(text)
    return text


@lru_cache(maxsize=64)
def _try_copies(frozen: str) -> None:
    """Let llguidance read the grammar of a schema once, with a text that stands for any source."""
    try:
        text = write_lark(json.loads(frozen), STAND_IN)
    except SchemaError:  # it is shorter than a value must be
        return
    _try(text)


@lru_cache(maxsize=64)
def _try_leaves(frozen: str) -> None:
    """Let llguidance read every bounded string and number alone, so that a fault has its place."""
    root: Json = json.loads(frozen)
    for place in walk(Place("", root)):
        node = place.schema
        if isinstance(node, dict) and _HARD & set(node) and not {"$ref", *IN_PLACE} & set(node):
            schema = {**narrow(root, place), "x-guidance": LAYOUT}
            _try(json.dumps({"grammars": [{"json_schema": schema}]}), place.pointer)


def _try(text: str, pointer: str = "") -> None:
    """Let llguidance read a grammar, where it is installed."""
    if find_spec("llguidance") is None:
        return
    from llguidance import LLMatcher

    problem = LLMatcher.validate_grammar(text, limits=limits())
    if problem and not problem.startswith("WARNING"):
        raise SchemaError(
            f"{shown(pointer)} cannot be decoded" if pointer else "the schema cannot be decoded",
            got=" ".join(problem.split())[:300],
            fix="simplify the part it names",
        )
