"""Which `<` begins real HTML. Owns the grammar and the names; changes nothing.

A parser answers "what does this mean as HTML?" and takes `x<y>z`, `vector<int>` and `<a@b.c>` for
tags. The question here is "was this meant as HTML?", so a tag must have a name that HTML has, in
one case, and attributes that look like attributes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_NAMES = """
    address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li
    main menu nav ol optgroup option p pre search section select summary table tbody textarea tfoot
    thead title tr ul
"""
_INLINE_NAMES = """
    a abbr acronym applet area audio b base basefont bdi bdo big blink button canvas cite code col
    colgroup data datalist del dfn em embed font frame i iframe img input ins kbd label link map
    mark marquee meta meter nobr noframes noscript object output param picture progress q rb rp rt
    rtc ruby s samp slot small source span strike strong sub sup svg template time track tt u var
    video wbr circle defs ellipse g line math path polygon polyline rect symbol use o:p st1:place
    v:imagedata v:shape
"""
BLOCKS = frozenset(_BLOCK_NAMES.split())
CELLS = frozenset({"td", "th"})
VERBATIM = frozenset({"pre", "textarea"})
DROPPED = frozenset({"script", "style"})
_INLINE = frozenset(_INLINE_NAMES.split())
_NAMES = BLOCKS | CELLS | DROPPED | _INLINE
_NEVER_TYPES = BLOCKS | CELLS | DROPPED | {"hr", "img", "wbr"}

_BOOLEANS = (
    "allowfullscreen|async|autofocus|autoplay|checked|compact|controls|default|defer|disabled|"
    "download|formnovalidate|hidden|inert|ismap|itemscope|loop|multiple|muted|nohref|nomodule|"
    "noshade|novalidate|nowrap|open|playsinline|readonly|required|reversed|selected|"
    "[a-z]++(?:-[a-z0-9]++)++"
)
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\s"'<>]++)"""
_ATTRIBUTE = rf"""(?:[^\s"'<>/=]++\s*+=\s*+{_VALUE}|(?i:{_BOOLEANS})(?=[\s/>]))"""
_MARKUP = re.compile(
    rf"""<(?:
        (?P<comment>!--)
      | (?P<cdata>!\[CDATA\[)
      | (?P<declaration>(?i:!doctype\s|\?xml[\s-]|!\[(?:if\s|endif\]))[^<>]*+>)
      | /(?P<end>[A-Za-z][A-Za-z0-9]*+(?::[a-z0-9]++)?+)(?:[\s/][^<>]*+)?+>
      | (?P<name>[A-Za-z][A-Za-z0-9]*+(?::[a-z0-9]++)?+)
        (?P<rest>(?:(?:[\s/]++|(?<=["'])){_ATTRIBUTE})*+[\s/]*+>)
    )""",
    re.VERBOSE,
)
_NEAR = 2_000  # characters in which the end tag of a doubtful start tag is looked for


class Markup(NamedTuple):
    """One piece of HTML: where it is and the name of the element ("" for none)."""

    start: int
    end: int
    name: str
    closes: bool


def iter_markup(text: str) -> Iterator[Markup]:
    """Yield the pieces of real HTML in `text`, in order and apart.

    A comment, a script and a style sheet are one piece each. Where their end is missing only the
    opening counts, so nothing is lost to a page that was cut off. Takes linear time.
    """
    ends = _Ends(text)
    at = 0
    while found := _MARKUP.search(text, at):
        piece = _judge(found, ends)
        if piece is None:
            at = found.start() + 1
            continue
        yield piece
        at = piece.end
        if found["cdata"] and (close := ends.of("cdata", at)):
            yield Markup(close.start(), close.end(), "", closes=True)
            at = close.end()


def _judge(found: re.Match[str], ends: _Ends) -> Markup | None:
    start, end = found.span()
    name = (found["name"] or found["end"] or "").lower()
    if found["comment"]:
        close = ends.of("comment", start + 2)
        return Markup(start, close.end() if close else end, "", closes=False)
    if not name:
        return Markup(start, end, "", closes=False)
    if name not in _NAMES or not _has_one_case(found["name"] or found["end"]):
        return None
    if found["end"]:
        return Markup(start, end, name, closes=True)
    if found["rest"] == ">" and _is_generic(found, name):
        return None
    if name in DROPPED and (close := ends.of(name, end)):
        end = close.end()
    return Markup(start, end, name, closes=False)


def _has_one_case(name: str) -> bool:
    return name.islower() or name.isupper()


def _is_generic(found: re.Match[str], name: str) -> bool:
    """Say whether a bare tag is rather a type parameter: `List<object>`, and no `</object>`."""
    text, start, end = found.string, found.start(), found.end()
    before = text[start - 1 : start]
    if not (before.isascii() and (before.isalnum() or before == "_")):
        return False
    if name in _NEVER_TYPES:
        return False
    tag = found["name"]
    return text.find(f"</{tag}", end, end + _NEAR) < 0


class _Ends:
    """Where the next end of each kind is; each part of the text is searched once."""

    _PATTERNS = (
        ("comment", re.compile("-->")),
        ("cdata", re.compile(r"\]\]>")),
        ("script", re.compile(r"</script(?:[\s/][^<>]*+)?+>", re.IGNORECASE)),
        ("style", re.compile(r"</style(?:[\s/][^<>]*+)?+>", re.IGNORECASE)),
    )

    def __init__(self, text: str) -> None:
        self._text = text
        self._patterns = dict(self._PATTERNS)
        self._next: dict[str, re.Match[str] | None] = {}

    def of(self, kind: str, at: int) -> re.Match[str] | None:
        known = self._next.get(kind)
        if kind not in self._next or (known is not None and known.start() < at):
            known = self._next[kind] = self._patterns[kind].search(self._text, at)
        return known
