"""Schemas that combine others, written out as the alternatives they come to.

Owns `lower`: `allOf`, `oneOf`, `not`, `if`, `dependentRequired`, `contains`, … become `anyOf` of
plain schemas, which a grammar can follow. Knows nothing of grammars.

What is said is never wider than the schema, but where a keyword cannot be written out at all; those
places are named, and the answer is checked for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, final

from openautoglm.engine.structured.flat import (
    EXCLUDED,
    REFS,
    Flat,
    are_disjoint,
    merge,
    own,
)
from openautoglm.engine.structured.keywords import APPLICATORS, ENFORCED, WRITTEN_OUT
from openautoglm.engine.structured.negation import NOT_VALUES, negated
from openautoglm.engine.structured.nodes import (
    Json,
    Node,
    Place,
    as_list,
    as_mapping,
    resolve,
    shown,
    walk,
)
from openautoglm.engine.structured.plain import Plain, written
from openautoglm.errors import SchemaError

MAX_ALTERNATIVES: Final = 128
"""Most alternatives one schema may come to."""
MAX_WORK: Final = 20_000
"""Most schemas that are merged for one answer."""
MAX_DEPTH: Final = 60
_NAME: Final = "openautoglm:{}"


class Lowered(NamedTuple):
    """A schema written out.

    Attributes:
        schema: says the same, or less.
        checked: pointers of keywords that it does not say, for which an answer is checked.
        is_done: whether anything was written out; if not, it is the schema as it was.
    """

    schema: Json
    checked: tuple[str, ...]
    is_done: bool


def needs_lowering(root: Json) -> bool:
    """Say whether a schema combines others in a way that a grammar cannot follow."""
    for _, node in walk(Place("", root)):
        if not isinstance(node, Mapping):
            continue
        applied = APPLICATORS & node.keys()
        if WRITTEN_OUT & node.keys() or {"allOf", "oneOf"} & applied:
            return True
        if applied and len(ENFORCED & node.keys()) > 1:
            return True
        if _counts_keys(node) or (node.get("properties") and node.get("patternProperties")):
            return True
    return False


def _counts_keys(node: Node) -> bool:
    least = node.get("minProperties", 0)
    return "maxProperties" in node or (isinstance(least, (int, float)) and least > 1)


def lower(root: Json) -> Lowered:
    """Write a schema out.

    Raises:
        SchemaError: no value satisfies a part of it, or it comes to too many alternatives.
    """
    if not needs_lowering(root):
        return Lowered(root, (), is_done=False)
    writer = _Writer(root)
    content = writer.write(root, Place("", root))
    if content is False:
        raise impossible(Place("", root))
    schema = {**as_mapping(content), "$defs": writer.definitions} if content is not True else {}
    return Lowered(schema, tuple(dict.fromkeys(writer.checked)), is_done=True)


def impossible(place: Place) -> SchemaError:
    """Return the refusal of a schema whose parts exclude each other."""
    node = as_mapping(place.schema)
    keys = [key for key in node if key in APPLICATORS] or list(node)
    return SchemaError(
        f"no value satisfies {shown(place.pointer)}",
        got=f"{', '.join(f'`{key}`' for key in keys[:4])}: what they ask for excludes each other",
        fix="correct the schema; it rules out all",
    )


@final
class _Writer:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._places = {id(p.schema): p for p in walk(Place("", root))}
        self._names: dict[str, str] = {}
        self._work = self._depth = 0
        self.definitions: dict[str, Json] = {}
        self.checked: list[str] = []

    def write(self, node: Json, place: Place | None = None) -> Json:
        """Return a schema written out; False when nothing satisfies it.

        Args:
            node: the schema.
            place: where it stands, when it stands in the root as it is.
        """
        if not isinstance(node, Mapping):
            return node
        place = place or self._places.get(id(node))
        refs = node.get("$ref")
        if refs is not None and len((ENFORCED | APPLICATORS) & node.keys()) == 1:
            return self._definition(str(refs), resolve(self._root, Place("", node)))
        if set(node) == {"allOf"} and '"$ref"' in (key := json.dumps(node, sort_keys=True)):
            return self._definition(key, Place("", node))
        return self._alternatives(node, place or Place("", node), is_placed=place is not None)

    def _definition(self, key: str, place: Place) -> Json:
        """Return a reference to what a place is written out as, which is done once."""
        if key not in self._names:
            name = self._names[key] = _NAME.format(len(self._names))
            self.definitions[name] = {}
            self.definitions[name] = self.write(place.schema, place if key[0] == "#" else None)
        name = self._names[key]
        found = self.definitions[name]
        return found if isinstance(found, bool) else {"$ref": f"#/$defs/{name}"}

    def _alternatives(self, node: Node, place: Place, *, is_placed: bool) -> Json:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _too_many(place)
        found: list[Json] = []
        for flat in self._expanded(self.of(node, place), place):
            plain = Plain(flat, place, self._root)
            for schema in plain.each():
                content = written(schema, self.write)
                if content is not False and content not in found:
                    found.append(content)
            self.checked += plain.checked
        self._depth -= 1
        if not found:
            if is_placed and APPLICATORS & node.keys():
                raise impossible(place)
            return False
        return found[0] if len(found) == 1 else {"anyOf": found}

    def of(self, node: Json, place: Place) -> list[Flat]:
        """Return the flat schemas of which a value must satisfy one; references are kept."""
        if not isinstance(node, Mapping):
            return [] if node is False else [{}]
        flat = own(node)
        if NOT_VALUES in node:
            flat[EXCLUDED] = as_list(node[NOT_VALUES])
        if "$ref" in node:
            flat[REFS] = [node["$ref"]]
        flats = [flat]
        for key, clause in _CLAUSES.items():
            if key in node:
                flats = self._product(flats, clause(self, node, place), place)
        if "unevaluatedProperties" in node:
            return _closed(self._opened(self._expanded(flats, place), place), node)
        return flats

    def all_of(self, node: Node, place: Place) -> list[Flat]:
        flats: list[Flat] = [{}]
        for index, branch in enumerate(as_list(node["allOf"])):
            inside = Place(place.at("allOf", str(index)), branch)
            flats = self._product(flats, self.of(branch, inside), place)
        return flats

    def any_of(self, node: Node, place: Place) -> list[Flat]:
        branches = enumerate(as_list(node["anyOf"]))
        return [
            flat for i, b in branches for flat in self.of(b, Place(place.at("anyOf", str(i)), b))
        ]

    def one_of(self, node: Node, place: Place) -> list[Flat]:
        """Return each branch without what the others allow."""
        at = place.at("oneOf")
        branches = [self._seen(b, place) for b in as_list(node["oneOf"])]
        flats = [self._expanded(self.of(b, Place(at, b)), place) for b in branches]
        found: list[Flat] = []
        for index, alternatives in enumerate(flats):
            kept = alternatives
            for other, branch in enumerate(branches):
                if other != index and not _apart(kept, flats[other]):
                    kept = self._without(kept, branch, Place(at, node))
            found += kept
        return found

    def _without(self, flats: list[Flat], branch: Json, place: Place) -> list[Flat]:
        """Return alternatives without what a branch allows; of several ways the first."""
        outside = negated(branch)
        for schema in outside.schemas:
            kept = self._expanded(self._product(flats, self.of(schema, place), place), place)
            if kept:
                return kept
        if outside.is_whole:
            return []
        raise SchemaError(
            f"{shown(place.pointer)} has branches that overlap and cannot be told apart",
            got=f"a branch, {json.dumps(branch)[:160]}, that a value of another may satisfy too",
            fix="give each branch a property with a `const` of its own, or write `anyOf`",
        )

    def nots(self, node: Node, place: Place) -> list[Flat]:
        return self._outside(node["not"], place, place.at("not"))

    def _outside(self, schema: Json, place: Place, pointer: str) -> list[Flat]:
        outside = negated(self._seen(schema, place))
        flats = [flat for s in outside.schemas for flat in self.of(s, place)]
        if not outside.is_whole:
            self.checked.append(pointer)
            flats.append({})
        return flats

    def cases(self, node: Node, place: Place) -> list[Flat]:
        condition = node["if"]
        held = self._product(
            self.of(condition, place), self.of(node.get("then", True), place), place
        )
        outside = self._outside(condition, place, place.at("if"))
        return held + self._product(outside, self.of(node.get("else", True), place), place)

    def dependent_required(self, node: Node, place: Place) -> list[Flat]:
        flats: list[Flat] = [{}]
        for name, needed in as_mapping(node["dependentRequired"]).items():
            cases: list[Flat] = [{"required": [name, *as_list(needed)]}, _lacking(name)]
            flats = self._product(flats, cases, place)
        return flats

    def dependent_schemas(self, node: Node, place: Place) -> list[Flat]:
        flats: list[Flat] = [{}]
        for name, schema in as_mapping(node["dependentSchemas"]).items():
            held = self._product([{"required": [name]}], self.of(schema, place), place)
            flats = self._product(flats, [*held, _lacking(name)], place)
        return flats

    def _seen(self, schema: Json, place: Place) -> Json:
        """Return a schema with a reference that is all of it followed."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                return schema
            if ENFORCED & schema.keys() - {"$ref"}:
                return schema
            schema = resolve(self._root, Place(place.pointer, schema)).schema
        raise _too_many(place)

    def _product(self, ones: list[Flat], others: Iterable[Flat], place: Place) -> list[Flat]:
        listed = list(others)
        self._work += len(ones) * len(listed)
        merged = [merge(one, other) for one in ones for other in listed]
        found = [flat for flat in merged if flat is not None]
        if self._work > MAX_WORK or len(found) > MAX_ALTERNATIVES:
            raise _too_many(place)
        return found

    def _expanded(self, flats: list[Flat], place: Place) -> list[Flat]:
        """Follow references that meet other keywords; one that is alone is kept."""
        found: list[Flat] = []
        for flat in flats:
            refs = as_list(flat.get(REFS))
            if len(set(map(str, refs))) <= 1 and len(flat) == bool(refs):
                found.append(flat)
                continue
            parts: list[Flat] = [{}]
            for ref in dict.fromkeys(map(str, refs)):
                target = resolve(self._root, Place("", {"$ref": ref}))
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise _too_many(place)
                inside = self._expanded(self.of(target.schema, target), place)
                parts = self._product(parts, self._opened(inside, place), place)
                self._depth -= 1
            rest = {key: value for key, value in flat.items() if key != REFS}
            found += self._product(parts, [rest], place)
        return found

    def _opened(self, flats: list[Flat], place: Place) -> list[Flat]:
        """Follow references that stand alone, where they are about to meet something."""
        for _ in range(MAX_DEPTH):
            if not any(REFS in flat for flat in flats):
                return flats
            opened: list[Flat] = []
            for flat in flats:
                refs = as_list(flat.get(REFS))
                if not refs:
                    opened.append(flat)
                    continue
                target = resolve(self._root, Place("", {"$ref": refs[0]}))
                opened += self._expanded(self.of(target.schema, target), place)
            flats = opened
        raise _too_many(place)


def _lacking(name: str) -> Flat:
    return {"properties": {name: False}}


def _apart(ones: list[Flat], others: list[Flat]) -> bool:
    return all(are_disjoint(one, other) for one in ones for other in others)


def _closed(flats: list[Flat], node: Node) -> list[Flat]:
    """Close objects as `unevaluatedProperties` says, when all their parts are known."""
    rest = node["unevaluatedProperties"]
    return [
        flat if "additionalProperties" in flat else {**flat, "additionalProperties": rest}
        for flat in flats
    ]


def _too_many(place: Place) -> SchemaError:
    return SchemaError(
        f"{shown(place.pointer)} combines too many schemas",
        got=f"more than {MAX_ALTERNATIVES} alternatives, or references without end",
        fix="use fewer of `allOf`, `anyOf`, `oneOf`, `if` inside each other",
    )


_CLAUSES: Final = {
    "allOf": _Writer.all_of,
    "anyOf": _Writer.any_of,
    "oneOf": _Writer.one_of,
    "not": _Writer.nots,
    "if": _Writer.cases,
    "dependentRequired": _Writer.dependent_required,
    "dependentSchemas": _Writer.dependent_schemas,
}
