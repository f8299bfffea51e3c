"""The grammar of a template: text, `{name}`, and `{{` `}}` for braces themselves.

A subset of `str.format` on purpose: no attributes, indexes, conversions or format specs, which are
ways into the process or need Python to be understood. Every template that parses means to
`str.format` what it means here. Reading does not stop at the first fault: up to 20 are found.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from openautoglm.prompts.json_braces import end_of_json, escaped_lines, is_json
from openautoglm.prompts.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_ESCAPES = frozenset({"{{", "}}"})
_MUSTACHE = re.compile(r"\{\{([^{}]*)\}\}")
_WIDE_BRACES = {True: "a full-width brace", False: "full-width braces"}
_MOST_PROBLEMS = 20  # nobody reads more at once, and reading stays linear
_SHOWN = 40  # code points of a faulty field repeated in a message
_WIDE = re.compile(r"([{｛])([^{}｛｝\r\n]*)([}｝])")


@dataclass(frozen=True, slots=True)
class Field:
    """One `{name}` and where it stands."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a template's text holds.

    Attributes:
        fields: the variables, in order, as often as they occur.
        problems: what is wrong with it, in order.
    """

    fields: tuple[Field, ...]
    problems: tuple[Problem, ...]

    def names(self) -> tuple[str, ...]:
        """Return each variable once, in the order of first use."""
        return tuple(dict.fromkeys(field.name for field in self.fields))


def escape(text: str) -> str:
    """Return a template that renders to exactly `text`.

    Example:
        >>> escape('{"a": 1}')
        '{{"a": 1}}'
    """
    return text.replace("{", "{{").replace("}", "}}")


def parse(text: str, variables: Sequence[str] = ()) -> Parsed:
    """Read a template.

    Args:
        text: the template.
        variables: the declared names; full-width braces around one of these are a fault, around
            anything else they are text.

    Example:
        >>> parse("{a} and { b }").names()
        ('a',)
        >>> parse("{a} and { b }").problems[0].fix
        'write `{b}`'
    """
    fields: list[Field] = []
    problems = list(islice(_full_width(text, frozenset(variables)), _MOST_PROBLEMS))
    taken = [(p.start, p.end) for p in problems if p.start is not None and p.end is not None]
    index = 0
    while len(problems) < _MOST_PROBLEMS and (token := _TOKEN.search(text, index)) is not None:
        start, index = token.span()
        covering = next((end for begin, end in taken if begin <= start < end), None)
        if covering is not None:
            index = covering
        elif token.group() not in _ESCAPES:
            found = _read(text, start, index)
            if isinstance(found, Field):
                fields.append(found)
            else:
                problems.append(found)
            index = max(index, found.end or index)
    problems.sort(key=lambda problem: problem.start or 0)
    return Parsed(tuple(fields), tuple(problems))


def undeclared(parsed: Parsed, variables: Sequence[str]) -> Iterator[Problem]:
    """Find variables that are used and not declared, each at its first use."""
    seen = set(variables)
    for field in parsed.fields:
        if field.name not in seen:
            seen.add(field.name)
            yield Problem(
                kind=Kind.UNDECLARED,
                says=f"variable `{field.name}` is not in input_variables",
                fix=_nearest(field.name, variables) or f'add "{field.name}" to input_variables',
                start=field.start,
                end=field.end,
            )


def unused(text: str, parsed: Parsed, variables: Sequence[str]) -> Iterator[Problem]:
    """Find variables that are declared and not used."""
    used = parsed.names()
    for name in dict.fromkeys(variables):
        if name not in used:
            start, end = _mustache(text, name)
            fix = f"write `{{{name}}}` where it belongs, or remove it from input_variables"
            if start is not None:
                fix = f"`{{{{{name}}}}}` is plain text here; write `{{{name}}}` with single braces"
            yield Problem(
                kind=Kind.UNUSED,
                says=f"variable `{name}` is declared and never used",
                fix=fix,
                start=start,
                end=end,
            )


def _full_width(text: str, variables: frozenset[str]) -> Iterator[Problem]:
    for match in _WIDE.finditer(text):
        opening, inner, closing = match.groups()
        name = unicodedata.normalize("NFKC", inner).strip()
        is_mixed = (opening == "{") != (closing == "}")
        if (opening, closing) != ("{", "}") and name in variables:
            yield Problem(
                kind=Kind.FULL_WIDTH,
                says=f"`{match.group()}` has {_WIDE_BRACES[is_mixed]}",
                fix=f"write `{{{name}}}` with half-width braces",
                start=match.start(),
                end=match.end(),
            )


def _read(text: str, start: int, end: int) -> Field | Problem:
    written = text[start:end]
    if written == "}":
        return Problem(
            kind=Kind.LONE_CLOSE,
            says="a lone `}`",
            fix=_wide_partner((text[:start].splitlines() or [""])[-1], "｛")
            or "write `}}` for the character itself",
            start=start,
            end=end,
        )
    if is_json(text, start):
        return _json(text, start)
    if written == "{":
        return Problem(
            kind=Kind.LONE_OPEN,
            says="a lone `{`",
            fix=_wide_partner(text[start:].splitlines()[0], "｝")
            or "close it as `{name}`, or write `{{` for the character itself",
            start=start,
            end=end,
        )
    return _field(written[1:-1], start, end)


def _wide_partner(line: str, wide: str) -> str | None:
    """Return a hint when the partner of a lone half-width brace is a full-width one."""
    hint = f"its partner `{wide}` is full-width; write both half-width"
    return hint if wide in line else None


def _json(text: str, start: int) -> Problem:
    end = end_of_json(text, start)
    return Problem(
        kind=Kind.JSON,
        says="this is JSON, and its braces are not doubled",
        fix=f"double its braces:\n{escaped_lines(text, start, end)}",
        start=start,
        end=end,
    )


def _field(inner: str, start: int, end: int) -> Field | Problem:
    if inner.isidentifier() and unicodedata.is_normalized("NFKC", inner):
        return Field(inner, start, end)
    kind, says, fix = _fault(inner)
    return Problem(kind=kind, says=says, fix=fix, start=start, end=end)


def _fault(inner: str) -> tuple[Kind, str, str]:
    bare = inner.strip()
    if not bare:
        return Kind.EMPTY, "a field without a name", "name it: `{name}`; for text write `{{}}`"
    if bare.isdecimal():
        return Kind.NUMBERED, f"`{{{inner}}}` is a number, not a name", "name it: `{name}`"
    if bare.isidentifier():
        return _spelling(inner)
    name = re.split(r"[.\[!:]", bare, maxsplit=1)[0].rstrip()
    if not name or name.isidentifier():
        return _tail(inner, name or "name", bare[len(name) :].lstrip()[0])
    return _no_name(inner)


def _tail(inner: str, name: str, mark: str) -> tuple[Kind, str, str]:
    """Return the fault of what follows a name: an attribute, a conversion or a format spec."""
    field = f"`{{{_short(inner)}}}`"
    if mark == "!":
        return (
            Kind.CONVERSION,
            f"{field} has a conversion, which a template may not",
            f"write `{{{name}}}` and pass the text",
        )
    if mark == ":":
        return (
            Kind.FORMAT_SPEC,
            f"{field} has a format specification, which a template may not",
            f"write `{{{name}}}` and format the value before you pass it",
        )
    return (
        Kind.ACCESS,
        f"{field} reaches inside a value, which a template may not",
        f"write `{{{name}}}` and pass what it should hold",
    )


def _no_name(inner: str) -> tuple[Kind, str, str]:
    field = _short(inner)
    return (
        Kind.NOT_A_NAME,
        f"`{{{field}}}` is not a variable name",
        f"write a name in the braces, or `{{{{{field}}}}}` for plain text",
    )


def _spelling(inner: str) -> tuple[Kind, str, str]:
    name = unicodedata.normalize("NFKC", inner.strip())
    if inner != inner.strip():
        return Kind.SPACED, f"`{{{inner}}}` has spaces around the name", f"write `{{{name}}}`"
    says = f"`{{{inner}}}` holds look-alike characters"
    return Kind.NOT_NORMAL, says, f"write `{{{name}}}`"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _mustache(text: str, name: str) -> tuple[int, int] | tuple[None, None]:
    for match in _MUSTACHE.finditer(text):
        if match.group(1).strip() == name:
            return match.span()
    return None, None


def _nearest(name: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{{{near[0]}}}`? else add it to input_variables" if near else None
