r"""Regular expressions of a schema, in a form that the decoder and Python read alike.

Owns `check_pattern`, `portable` and the narrow forms of formats. Knows nothing of schemas.

JSON Schema's patterns are ECMA-262: `\\d` and `\\w` are ASCII. Python's are Unicode, the decoder's
cannot look around. `portable` spells the classes out, so that both agree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openautoglm.engine.structured.nodes import shown
from openautoglm.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLASSES: Final = {"d": "0-9", "w": "A-Za-z0-9_"}
_SET_OPERATORS: Final = ("--", "&&", "~~", "||")  # of rust, and reserved by Python
_YEAR: Final = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP: Final = "(?:[0-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
REAL_DATE: Final = (
    f"^(?:{_YEAR}-(?:(?:0[13-9]|1[0-2])-[0-9][0-9]|02-(?:[01][0-9]|2[0-8]))|{_LEAP}-02-29)"
)
"""Dates that exist; the decoder alone lets every February have 29 days."""
_DAYTIME: Final = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)
MAX_LEAST: Final = 100_000
"""Characters; the decoder spells out what must come, for hours where it is a thousand million."""
_PARTS: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d+(?:,\d*)?\}|\((?:\?:)?|.", re.DOTALL
)
NARROW_FORMATS: Final = {
    "date": REAL_DATE,
    "time": f"^{_DAYTIME}",
    "date-time": f"{REAL_DATE}T{_DAYTIME}",
}
"""What is written of formats: the decoder alone knows leap seconds at any time of day, `t`, `z`,
and fractions of a second without end."""


def check_pattern(pattern: str, pointer: str) -> None:
    """Refuse a regular expression that Python and the decoder would not read alike.

    Raises:
        SchemaError: naming the pointer and the offence.
    """
    try:
        compiled(pattern)
    except (re.error, ValueError, OverflowError, RecursionError) as cause:
        raise SchemaError(
            f"{shown(pointer)} is not a regular expression that can be enforced",
            got=f"{pattern[:200]!r}: {cause}",
            fix="use literals, classes, groups, `|`, `*`, `+`, `?`, `{m,n}`, anchors at the ends",
        ) from cause


def compiled(pattern: str) -> str:
    """Return the portable form of a regular expression that Python and the decoder can use.

    Raises:
        ValueError: it holds what has no counterpart, or is too long.
        re.error: it is none.
        OverflowError: a count is too large.
        RecursionError: it is nested too deep.
    """
    plain = portable(pattern)
    re.compile(plain)
    check_least(plain)
    return plain


def check_least(pattern: str) -> None:
    """Refuse an expression all of whose texts are longer than any answer.

    Raises:
        ValueError: they have more than `MAX_LEAST` characters.
    """
    groups: list[list[int]] = [[0]]  # of each open group, the least of each of its alternatives
    last = 0
    for part in _PARTS.findall(pattern):
        if part.startswith("("):
            groups.append([0])
            last = 0
        elif part == ")" and len(groups) > 1:
            last = min(groups.pop())
            groups[-1][-1] += last
        elif part == "|":
            groups[-1].append(0)
        elif part in {"*", "?"} or (part[0] == "{" and len(part) > 1):
            times = int(part[1:-1].split(",")[0]) if part[0] == "{" else 0
            groups[-1][-1] += last * (times - 1)
            last *= times
        elif part not in {"+", "^", "$"}:
            last = 1
            groups[-1][-1] += 1
    if min(groups[0]) > MAX_LEAST:
        raise ValueError(f"every text of it has more than {MAX_LEAST} characters")


def portable(pattern: str) -> str:
    r"""Spell out the classes on which dialects differ.

    Raises:
        ValueError: it holds what has no counterpart.

    Example:
        >>> portable(r"^\d+[\w-]\D$")
        '^[0-9]+[A-Za-z0-9_-][^0-9]$'
    """
    written: list[str] = []
    in_class = False
    for part in re.findall(r"\\.|\(\?:?|--|&&|~~|\|\||.", pattern, re.DOTALL):
        if in_class and part in _SET_OPERATORS:
            raise ValueError(f"{part} inside a class")
        if part == "(?" and not in_class:
            raise ValueError("a group that looks around, has a name or a flag")
        if part.startswith("\\") and len(part) > 1:
            written.append(_escape(part[1], in_class=in_class))
            continue
        if part == "[" and in_class:
            part = r"\["  # noqa: PLW2901 - rust nests classes, nobody else does
        elif part in "[]":
            in_class = part == "["
        written.append(part)
    return "".join(written)


def _escape(letter: str, *, in_class: bool) -> str:
    low = letter.lower()
    if low in _CLASSES:
        if letter.isupper() and in_class:
            raise ValueError(f"\\{letter} inside a class")
        inner = _CLASSES[low]
        return inner if in_class else f"[{'^' if letter.isupper() else ''}{inner}]"
    if (low in "bzagkpx" and letter not in "ax") or letter.isdigit():
        raise ValueError(f"\\{letter} has no counterpart in the decoder")
    if letter == "/":
        return "/"
    return f"\\{letter}"


def all_but(texts: Sequence[str]) -> str:
    """Return a pattern that every text matches but these.

    Example:
        >>> bool(re.search(all_but(["on", "off"]), "on")), bool(re.search(all_but(["on"]), "one"))
        (False, True)
    """
    return f"^{_outside(sorted(set(texts)))}$"


def _outside(texts: Sequence[str]) -> str:
    """Return a pattern of what is none of some different texts, in order."""
    heads = sorted({text[0] for text in texts if text})
    if not heads:
        return r"(?:[^\n]|\n)+" if texts else r"(?:[^\n]|\n)*"
    inside = "".join(map(_in_class, heads))
    ways = [rf"[^{inside}](?:[^\n]|\n)*"]
    for head in heads:
        rest = [text[1:] for text in texts if text[:1] == head]
        ways.append(f"[{_in_class(head)}]{_outside(rest)}")
    return f"(?:{'|'.join(ways)}){'?' if '' not in texts else ''}"


def _in_class(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[" else character
