"""Answers that are no JSON: regular expressions, choices and grammars, ready to decode under.

Owns `text_grammar` and `matches`. Knows nothing of JSON schemas.
"""

from __future__ import annotations

import json
import re
from collections import deque
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from openautoglm.engine.structured.constraint import limits
from openautoglm.engine.structured.patterns import check_least, compiled
from openautoglm.engine.structured.rules import rule_without_end
from openautoglm.errors import SchemaError
from openautoglm.settings import need

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from openautoglm.engine.structured.form import Form

MAX_CHARACTERS: Final = 500_000
MAX_LOOKED_AT: Final = 3_000
_ESCAPE: Final = re.compile(r"\\(\\|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")
_LITERALS: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/(?:\\.|[^/\\\n])+')
"""Of Lark: texts, comments, and regular expressions without their last slash."""
_GBNF: Final = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)


def text_grammar(form: Form) -> str:
    """Return what llguidance reads for a form that is no JSON.

    Raises:
        SchemaError: it cannot be read, nothing matches it, or it can never end.
    """
    for text in (form.text, *form.choices):
        _check_unicode(text, form.kind)
    if form.kind == "choice":
        return _of_choices(form.choices)
    return _of_regex(form.text) if form.kind == "regex" else _of_grammar(form.text)


def _check_unicode(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise SchemaError(
            f"`{name}` is not valid Unicode: it holds half of a surrogate pair",
            got=f"{text[cause.start]!r} at character {cause.start}",
            fix='decode it as UTF-8 with errors="replace"',
        ) from cause


@lru_cache(maxsize=64)
def _of_choices(choices: tuple[str, ...]) -> str:
    listed = " | ".join(_quoted(choice) for choice in choices)
    return _checked(f"start: CHOICE\nCHOICE: {listed}\n", "choice")


@lru_cache(maxsize=64)
def _of_regex(pattern: str) -> str:
    try:
        plain = compiled(_unanchored(pattern))
    except (re.error, ValueError, OverflowError, RecursionError) as cause:
        raise SchemaError(
            "`regex` is not a regular expression that can be decoded under",
            got=f"{pattern[:200]!r}: {cause}",
            fix="use literals, classes, groups, `|`, `*`, `+`, `?`, `{m,n}`; the whole answer is "
            "matched, so anchors are not needed",
        ) from cause
    written = json.dumps({"grammars": [{"lark_grammar": f"start: /{_slashed(plain)}/"}]})
    return _checked(written, "regex")


@lru_cache(maxsize=64)
def _of_grammar(text: str) -> str:
    lark = _lark(text) if _GBNF.search(text) else text
    endless = rule_without_end(lark)
    if endless is not None:
        raise SchemaError(
            "`grammar` can never end: a rule contains itself in every alternative",
            got=f"rule `{endless}`",
            fix="give it an alternative without itself",
        )
    for written in _LITERALS.findall(lark):
        try:
            check_least("" if written.startswith(('"', "//")) else written[1:])
        except ValueError as cause:
            raise SchemaError(
                "`grammar` has a regular expression that no answer is long enough for",
                got=f"{written[:100]!r}: {cause}",
                fix="lower its counts",
            ) from cause
    return _checked(lark, "grammar")


def _lark(gbnf: str) -> str:
    """Rewrite a grammar of llama.cpp, vLLM or XGrammar, whose rules are written with `::=`."""
    need("llguidance", extra="local", why="structured output on this machine")
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        return str(any_to_lark(_ESCAPE.sub(_spelled, gbnf)))
    except Exception as cause:  # the converter raises what it likes
        raise SchemaError(
            "`grammar` cannot be read as GBNF",
            got=" ".join(str(cause).split())[:300],
            fix="write rules as `name ::= …`, the first called `root`; or pass Lark, whose rules "
            "are `name: …`, the first called `start`",
        ) from cause


def _spelled(found: re.Match[str]) -> str:
    """Write an escaped character as itself where that is plain; the converter garbles the rest."""
    if found[1] == "\\":
        return found[0]
    character = chr(int(found[1][1:], 16))
    if character in '"\\[]^-/' or not character.isprintable():
        return f"\\x{ord(character):02x}" if character.isascii() else found[0]
    return character


def _unanchored(pattern: str) -> str:
    """Drop anchors at the ends of alternatives, where matching all of a text makes them idle."""
    written: list[str] = []
    depth, in_class = 0, False
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    for index, part in enumerate(parts):
        is_first = index == 0 or (depth == 0 and parts[index - 1] == "|")
        is_last = index == len(parts) - 1 or (depth == 0 and parts[index + 1] == "|")
        if part in "^$" and not in_class:
            if depth == 0 and (is_first if part == "^" else is_last):
                continue
            raise ValueError(f"{part} in the middle")
        if part in "()" and not in_class:
            depth += 1 if part == "(" else -1
        elif part in "[]":
            in_class = part == "["
        written.append(part)
    return "".join(written)


def _slashed(pattern: str) -> str:
    return re.sub(r"\\.|/|\n", lambda m: {"/": r"\/", "\n": r"\n"}.get(m[0], m[0]), pattern)


def _checked(text: str, name: str) -> str:
    """Return a grammar that llguidance reads and that something matches."""
    if len(text) > MAX_CHARACTERS:
        raise SchemaError(
            f"`{name}` is too large",
            got=f"{len(text)} characters, the most is {MAX_CHARACTERS}",
            fix="split it",
        )
    if find_spec("llguidance") is None:
        return text
    matcher = _matcher(text)
    problem = matcher.get_error() if matcher.is_error() else ""
    if not problem and not matcher.is_accepting():
        mask = matcher.compute_bitmask()
        problem = matcher.get_error() or ("" if any(mask) else "nothing matches it")
    if "NoExtension" in problem:
        problem = "nothing matches it"
    if problem:
        raise SchemaError(
            f"`{name}` cannot be decoded under",
            got=" ".join(problem.split())[:300],
            fix="correct the part it names",
        )
    return text


def matches(text: str, grammar: str) -> bool:
    """Say whether a whole text follows a grammar."""
    matcher = _matcher(grammar)
    tokens = list(text.encode())
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def _matcher(grammar: str) -> LLMatcher:
    llguidance = need("llguidance", extra="local", why="structured output on this machine")
    return llguidance.LLMatcher(_bytes(), grammar, log_level=0, limits=limits())


@lru_cache(maxsize=1)
def _bytes() -> LLTokenizer:
    """Return a tokenizer of which every token is a byte."""
    llguidance = need("llguidance", extra="local", why="structured output on this machine")
    return llguidance.LLTokenizer("byte")


def _quoted(text: str) -> str:
    """Write a text as a literal of Lark."""
    return json.dumps(text, ensure_ascii=False)


def shortest(grammar: str) -> str:
    """Return a short text that follows a grammar, for what has no model to ask.

    Raises:
        SchemaError: no text of it is found among the shortest.
    """
    waiting = deque([(_matcher(grammar), b"")])
    for _ in range(MAX_LOOKED_AT):
        if not waiting:
            break
        matcher, text = waiting.popleft()
        if matcher.is_accepting():
            return text.decode(errors="replace")
        mask = int.from_bytes(matcher.compute_bitmask(), "little")
        for byte in (b for b in range(256) if mask >> b & 1):
            following = matcher.deep_copy()
            if following.consume_token(byte):
                waiting.append((following, text + bytes([byte])))
    raise SchemaError(
        "no short text follows the grammar",
        got=f"{MAX_LOOKED_AT} beginnings of one",
        fix="give it a shorter alternative",
    )
