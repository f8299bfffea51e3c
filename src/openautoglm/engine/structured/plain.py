"""A flat schema made into schemas that a grammar can follow.

Owns `Plain`: what becomes of `uniqueItems`, `contains`, `propertyNames`, counts of properties and
excluded values. Knows nothing of how flat schemas come about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, permutations
from math import comb
from typing import Final, final

from openautoglm.engine.structured.flat import (
    EXCLUDED,
    PATTERNS,
    REFS,
    Flat,
    both,
    same,
)
from openautoglm.engine.structured.nodes import Json, Node, Place, as_list, as_mapping, resolve
from openautoglm.engine.structured.patterns import all_but, portable

MAX_ORDERS: Final = 400
"""Most arrays of different values that are listed."""
MAX_CHOICES: Final = 64
"""Most sets of properties that are listed."""


@final
class Plain:
    """The schemas that a flat one comes to.

    Attributes:
        checked: pointers of keywords that could not be written out.
    """

    def __init__(self, flat: Flat, place: Place, root: Json) -> None:
        self._flat, self._place, self._root = dict(flat), place, root
        self.checked: list[str] = []

    def each(self) -> Iterator[Node]:
        """Yield them; none when nothing satisfies it."""
        flat = self._flat
        refs = as_list(flat.pop(REFS, None))
        if refs:
            yield {"$ref": refs[0]}
            return
        if "enum" in flat:
            yield from self._listed()
            return
        self._exclude()
        self._patterns()
        self._name_properties()
        if not self._place_contained():
            return
        for schema in self._counted():
            yield from self._unique(schema)

    def _listed(self) -> Iterator[Node]:
        """Keep the listed values that the rest allows."""
        from jsonschema import Draft202012Validator

        flat = self._flat
        values, excluded = as_list(flat.pop("enum")), as_list(flat.pop(EXCLUDED, None))
        rules = [*as_list(flat.pop(PATTERNS, None))]
        contained = as_list(flat.pop("contains", None))
        named = as_list(flat.pop("propertyNames", None))
        rules += [*contained, *({"propertyNames": schema} for schema in named), flat]
        validator = Draft202012Validator(as_mapping(self._root)).evolve(schema={"allOf": rules})
        kept = [
            value
            for value in values
            if not any(same(value, other) for other in excluded) and validator.is_valid(value)
        ]
        if kept:
            yield {"enum": kept}

    def _exclude(self) -> None:
        excluded = as_list(self._flat.pop(EXCLUDED, None))
        types = as_list(self._flat.get("type"))
        texts = [value for value in excluded if isinstance(value, str)]
        if texts and (not types or "string" in types):
            more = [{"pattern": all_but(texts)}]
            self._flat[PATTERNS] = [*as_list(self._flat.get(PATTERNS)), *more]
        if None in excluded and "null" in types:
            self._flat["type"] = types = [name for name in types if name != "null"]
        booleans = [value for value in excluded if isinstance(value, bool)]
        if booleans and types == ["boolean"]:
            left = [value for value in (True, False) if value not in booleans]
            self._flat["enum"] = left
        others = [v for v in excluded if not isinstance(v, (str, bool)) and v is not None]
        if others or (booleans and types != ["boolean"]):
            self.checked.append(self._place.pointer)

    def _patterns(self) -> None:
        rules = [dict(as_mapping(rule)) for rule in as_list(self._flat.pop(PATTERNS, None))]
        distinct = [rule for i, rule in enumerate(rules) if rule not in rules[:i]]
        if len(distinct) == 1:
            self._flat |= distinct[0]
        elif distinct:
            self._flat["allOf"] = distinct

    def _name_properties(self) -> None:
        """Apply `propertyNames`, and the patterns that a named property matches."""
        flat = self._flat
        patterns = as_mapping(flat.get("patternProperties"))
        named = dict(as_mapping(flat.get("properties")))
        for name, schema in named.items():
            named[name] = both(schema, _of_name(name, patterns, rest=True))
        for rule in as_list(flat.pop("propertyNames", None)):
            named = {k: v if self._is_name(k, rule) else False for k, v in named.items()}
            self._restrict(rule, named)
        if named:
            flat["properties"] = named
        if "additionalProperties" in flat or patterns:
            rest = flat.get("additionalProperties", True)
            missing = [str(n) for n in as_list(flat.get("required")) if n not in named]
            more = {n: _of_name(n, patterns, rest=rest) for n in missing}
            flat["properties"] = {**named, **more}
        elif flat.get("required") and named:
            missing = [str(n) for n in as_list(flat["required"]) if n not in named]
            flat["properties"] = {**named, **dict.fromkeys(missing, True)}

    def _is_name(self, name: str, rule: Json) -> bool:
        from jsonschema import Draft202012Validator

        validator = Draft202012Validator(as_mapping(self._root))
        schema = rule if isinstance(rule, (bool, Mapping)) else True
        return validator.evolve(schema=schema).is_valid(name)

    def _restrict(self, rule: Json, named: dict[str, Json]) -> None:
        """Let properties that are not named have only names that a rule allows."""
        flat = self._flat
        rest = flat.get("additionalProperties", not named)
        if rest is False:
            if flat.get("patternProperties"):
                self.checked.append(self._place.at("propertyNames"))
            return
        node = as_mapping(rule)
        values = as_list(node["enum"]) if "enum" in node else as_list([node.get("const")])
        pattern = _name_pattern(node)
        if "enum" in node or "const" in node:
            named |= {str(value): rest for value in values if value not in named}
        elif pattern is not None and not flat.get("patternProperties"):
            flat["patternProperties"] = {pattern: rest}
        else:
            self.checked.append(self._place.at("propertyNames"))
            return
        flat["additionalProperties"] = False

    def _place_contained(self) -> bool:
        """Put what an array must contain first; False when there is no room for it."""
        flat = self._flat
        rules = [as_mapping(rule) for rule in as_list(flat.pop("contains", None))]
        firsts, rest = as_list(flat.get("prefixItems")), flat.get("items", True)
        for rule in rules:
            least = _whole(rule.get("minContains"), 1)
            firsts += [both(rest, rule["contains"])] * least
            if "maxContains" in rule:
                rest = both(rest, {"not": rule["contains"]})
                self.checked.append(self._place.at("maxContains"))
        if rules:
            flat["prefixItems"], flat["items"] = firsts, rest
            flat["minItems"] = max(_whole(flat.get("minItems"), 0), len(firsts))
            return len(firsts) <= _whole(flat.get("maxItems"), len(firsts))
        return True

    def _counted(self) -> Iterator[Flat]:
        """Say how many properties there are by naming them."""
        flat = self._flat
        named = [k for k, v in as_mapping(flat.get("properties")).items() if v is not False]
        needed = [str(name) for name in as_list(flat.get("required"))]
        free = [name for name in named if name not in needed]
        least = _whole(flat.get("minProperties"), 0) - len(needed)
        most = _whole(flat.get("maxProperties"), len(named)) - len(needed)
        is_open = flat.get("additionalProperties", not named) is not False
        is_open = is_open or bool(flat.get("patternProperties"))
        if not named or (is_open and least <= 0 and "maxProperties" not in flat):
            yield flat
            return
        rest = {k: v for k, v in flat.items() if k not in {"minProperties", "maxProperties"}}
        if most < 0 or (least > len(free) and not is_open):
            return
        if is_open and "maxProperties" in flat:
            rest = {k: v for k, v in rest.items() if k != "patternProperties"}
            rest["additionalProperties"] = False
        yield from self._chosen(rest, needed, free, (least, most))

    def _chosen(
        self, rest: Flat, needed: list[str], free: list[str], bounds: tuple[int, int]
    ) -> Iterator[Flat]:
        least, most = max(bounds[0], 0), bounds[1]
        if least > len(free):
            self.checked.append(self._place.at("minProperties"))
            yield rest
            return
        size = least if most >= len(free) else most
        if comb(len(free), size) > MAX_CHOICES:
            keyword = "minProperties" if most >= len(free) else "maxProperties"
            self.checked.append(self._place.at(keyword))
            yield rest
            return
        if most >= len(free):  # any of these are there, and others may be
            for chosen in combinations(free, size):
                yield {**rest, **({"required": [*needed, *chosen]} if needed or chosen else {})}
            return
        for chosen in combinations(free, size):  # none but these are there
            gone = {name: False for name in free if name not in chosen}
            here: Flat = {**rest, "properties": {**as_mapping(rest["properties"]), **gone}}
            for some in combinations(chosen, least):
                yield {**here, "required": [*needed, *some]}

    def _unique(self, flat: Flat) -> Iterator[Node]:
        if not flat.pop("uniqueItems", False) or _whole(flat.get("maxItems"), 2) <= 1:
            yield flat
            return
        types = as_list(flat.get("type"))
        domain = None if flat.get("prefixItems") else self._domain(flat.get("items", True))
        least, most = _whole(flat.get("minItems"), 0), _whole(flat.get("maxItems"), 0)
        listed = None if domain is None else _arrays(domain, least, most or len(domain))
        if listed is None or types != ["array"]:
            self.checked.append(self._place.at("uniqueItems"))
            yield flat
        elif listed:
            yield {"enum": listed}

    def _domain(self, items: Json) -> list[Json] | None:
        """Return the values an item may have, when they are few and listed."""
        node = as_mapping(items)
        while set(node) == {"$ref"}:
            node = as_mapping(resolve(self._root, Place("", node)).schema)
        if "enum" in node and set(node) <= {"enum", "type", "description", "title"}:
            values = as_list(node["enum"])
            return [v for i, v in enumerate(values) if not any(same(v, w) for w in values[:i])]
        return [True, False] if node.get("type") == "boolean" else None


def written(schema: Node, write: Callable[[Json], Json]) -> Json:
    """Return a schema with the schemas inside it written out; False when nothing satisfies it."""
    done: dict[str, Json] = dict(schema)
    if "$ref" in done:
        return write(done)
    for key in ("properties", "patternProperties"):
        if key in done:
            done[key] = {name: write(child) for name, child in as_mapping(done[key]).items()}
    named = as_mapping(done.get("properties"))
    if any(named.get(str(name), True) is False for name in as_list(done.get("required"))):
        return False
    if "additionalProperties" in done:
        done["additionalProperties"] = write(done["additionalProperties"])
    return _written_array(done, write)


def _written_array(done: dict[str, Json], write: Callable[[Json], Json]) -> Json:
    firsts = [write(child) for child in as_list(done.get("prefixItems"))]
    if "items" in done:
        done["items"] = write(done["items"])
    if firsts:
        done["prefixItems"] = firsts
        room = firsts.index(False) if False in firsts else None
        if room is not None:  # the first place that nothing may take ends the array
            done["prefixItems"], done["items"] = firsts[:room], False
    least = _whole(done.get("minItems"), 0)
    if done.get("items") is False and least > len(as_list(done.get("prefixItems"))):
        return False
    return done


def _of_name(name: str, patterns: Node, *, rest: Json) -> Json:
    found: Json = True
    matching = [s for pattern, s in patterns.items() if re.search(portable(pattern), name)]
    for schema in matching:
        found = both(found, schema)
    return found if matching else rest


def _name_pattern(rule: Node) -> str | None:
    keys = rule.keys() - {"type", "description", "title"}
    if keys == {"pattern"}:
        return str(rule["pattern"])
    if keys and keys <= {"minLength", "maxLength"}:
        least, most = _whole(rule.get("minLength"), 0), rule.get("maxLength")
        return rf"^[\s\S]{{{least},{'' if most is None else _whole(most, 0)}}}$"
    return None


def _arrays(domain: list[Json], least: int, most: int) -> list[Json] | None:
    """List arrays of different values: in every order when they are few, else in one."""
    sizes = range(least, min(most, len(domain)) + 1)
    every = sum(comb(len(domain), n) for n in sizes)
    if every > MAX_ORDERS:
        return None
    orders: list[Json] = []
    for size in sizes:
        for one in permutations(domain, size):
            orders.append(list(one))
            if len(orders) > MAX_ORDERS:
                return [list(some) for n in sizes for some in combinations(domain, n)]
    return orders


def _whole(value: Json, default: int) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number else default  # type: ignore[call-overload] # just checked
