"""The rules of a grammar in Lark, as far as it takes to say whether they come to an end.

Owns `rule_without_end`. Knows nothing of what else may be wrong with a grammar.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN: Final = re.compile(
    r"""
    (?P<skip>\s+|//[^\n]*|\#[^\n]*|->\s*\w+)
  | (?P<json>%(?:json|regex|lark)\s*(?=\{))
  | (?P<directive>%[^\n]*)
  | (?P<head>[?!]?(?P<name>\w[\w-]*)(?:\.\d+)?(?:\[[^\]\n]*\])?(?:\s*::\w+)?\s*:(?!:))
  | (?P<literal>"(?:\\.|[^"\\\n])*"i?|/(?:\\.|[^/\\\n])+/\w*|<[^>\n]+>)
  | (?P<rule>\w[\w-]*(?:::\w+)?)
  | (?P<count>\{\s*(?P<least>\d*)\s*,?\s*\d*\s*\}|~\s*(?P<times>\d+)(?:\s*\.\.\s*\d+)?)
  | (?P<mark>[()|?*+~&\[\]])
    """,
    re.VERBOSE,
)
_OPTIONAL: Final = {("mark", "?"), ("mark", "*"), ("count", "*")}
_Token: TypeAlias = tuple[str, str]
_Need: TypeAlias = frozenset[str]
Ways: TypeAlias = list[_Need]


def rule_without_end(lark: str) -> str | None:
    """Return a rule that `start` needs and that contains itself in every alternative.

    A grammar that holds what is not known here passes: llguidance judges it.

    Example:
        >>> rule_without_end('start: "a" start'), rule_without_end('start: "a" start | "b"')
        ('start', None)
    """
    rules = _rules(lark)
    if rules is None or "start" not in rules:
        return None
    ends: set[str] = set()
    while (
        found := {name for name, ways in rules.items() if any(way <= ends for way in ways)} - ends
    ):
        ends |= found
    return None if "start" in ends else next(iter(n for n in rules if n not in ends), None)


def _rules(lark: str) -> dict[str, Ways] | None:
    """Return for each rule which others each of its alternatives needs."""
    tokens = _tokens(lark)
    if tokens is None:
        return None
    bodies: dict[str, list[_Token]] = {}
    name = ""
    for kind, text in tokens:
        if kind == "head":
            name = text
            bodies[name] = []
        elif name:
            bodies[name].append((kind, text))
    rules = {}
    for head, body in bodies.items():
        reader = iter(body)
        rules[head] = [frozenset(n for n in way if n in bodies) for way in _ways(reader)]
    return rules


def _tokens(lark: str) -> list[_Token] | None:
    found: list[_Token] = []
    at = 0
    while at < len(lark):
        match = _TOKEN.match(lark, at)
        if match is None:
            return None
        at, kind = match.end(), str(match.lastgroup)
        if match["json"] is not None:
            at = _closing(lark, at)
            found.append(("literal", "%"))
        elif match["head"] is not None:
            found.append(("head", match["name"]))
        elif match["count"] is not None:
            least = match["least"] or match["times"] or "0"
            found.append(("count", "*" if int(least) == 0 else "+"))
        elif kind not in {"skip", "directive"}:
            found.append((kind, match[0]))
    return found


def _closing(text: str, at: int) -> int:
    """Return where the braces that open at a place end."""
    depth = 0
    for found in re.compile(r'"(?:\\.|[^"\\])*"|[{}]').finditer(text, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return len(text)


def _ways(tokens: Iterator[_Token]) -> Ways:
    """Return the rules that each alternative needs, up to the bracket that ends them."""
    ways: Ways = []
    current: Ways = [frozenset()]
    last: Ways | None = None  # what the item just read may need; it counts when it is not optional
    for kind, text in tokens:
        if (kind, text) in _OPTIONAL:
            last = None
            continue
        if kind == "count" or (kind == "mark" and text in "+~&"):
            continue
        current, last = _joined(current, last), None
        if text in {")", "]"} and kind == "mark":
            break
        if text == "|" and kind == "mark":
            ways += current
            current = [frozenset()]
        elif text in {"(", "["} and kind == "mark":
            inside = _ways(tokens)
            last = inside if text == "(" else [*inside, frozenset()]
        elif kind == "rule":
            last = [frozenset({text.partition("::")[0]})]
    return ways + _joined(current, last)


def _joined(ones: Ways, others: Ways | None) -> Ways:
    if others is None:
        return ones
    together = {one | other for one in ones for other in others}
    return [way for way in together if not any(other < way for other in together)]
