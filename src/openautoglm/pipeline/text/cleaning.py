"""Clean a text, and say why it needs it.

Owns the order of the repairs and the law that cleaning twice changes nothing. What each repair does
is in a module of its own; a text needs cleaning exactly when one of them would change it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from openautoglm.pipeline.text.characters import drop_controls
from openautoglm.pipeline.text.entities import break_references, decode_entities
from openautoglm.pipeline.text.forms import ordinary_forms
from openautoglm.pipeline.text.markup import break_markup, strip_markup
from openautoglm.pipeline.text.mojibake import repair
from openautoglm.pipeline.text.whitespace import join_pieces, tidy, tidy_lines
from openautoglm.pipeline.text.windows import iter_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROUNDS = 8  # how often one repair may uncover work for another before nesting is cut short
_SHOWN = 24  # characters of the text that a reason quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """Which repairs to make; all of them unless switched off.

    Attributes:
        mojibake: text decoded with the wrong encoding.
        entities: HTML's character references.
        controls: invisible characters, byte order marks, odd line breaks, lone surrogates.
        forms: full-width letters, ligatures, half-width katakana, decomposed accents.
        html: tags, comments, scripts, style sheets.
        whitespace: odd spaces, runs of them, trailing ones, piles of blank lines.
    """

    mojibake: bool = True
    entities: bool = True
    controls: bool = True
    forms: bool = True
    html: bool = True
    whitespace: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a text needs cleaning.

    Attributes:
        repair: the field of `Repairs` that would change the text.
        at: the offset of the first change, in characters.
        found: what stands there, printable.
    """

    repair: str
    at: int
    found: str

    def __str__(self) -> str:
        return f"{_SAYS[self.repair]} at character {self.at}: {self.found}"


_STEPS: dict[str, Callable[[str], str]] = {
    "mojibake": repair,
    "entities": decode_entities,
    "controls": drop_controls,
    "forms": ordinary_forms,
    "html": strip_markup,
    "whitespace": tidy_lines,
}
_SAYS = {
    "mojibake": "text decoded with the wrong encoding",
    "entities": "an HTML character reference",
    "controls": "an invisible or control character",
    "forms": "a presentation form of an ordinary character",
    "html": "HTML",
    "whitespace": "odd or superfluous whitespace",
}
ALL = Repairs()


def clean(text: str, repairs: Repairs = ALL) -> str:
    """Return `text` with the repairs made; cleaning the result again changes nothing.

    Example:
        >>> clean("<p>Hello&nbsp;&amp; ＡＩ</p>")
        'Hello & AI'
    """
    return "".join(iter_clean([text], repairs))


def iter_clean(blocks: Iterable[str], repairs: Repairs = ALL) -> Iterator[str]:
    """Yield the clean text piece by piece: joined, it is `clean("".join(blocks))`.

    Memory is bounded by the longest window (`windows.LONGEST`), not by the text.
    """
    steps = _chosen(repairs)
    pieces = (_settle(window, steps) for window in iter_windows(blocks))
    return join_pieces(pieces) if repairs.whitespace else pieces


def find_reasons(text: str, repairs: Repairs = ALL) -> list[Reason]:
    """Return one reason for each repair that would change `text`; none when it is clean.

    Example:
        >>> [str(reason) for reason in find_reasons("caf&eacute;")]
        ["an HTML character reference at character 3: '&eacute;'"]
    """
    waiting = _chosen(repairs)
    reasons: dict[str, Reason] = {}
    start = 0
    for window in iter_windows([text]):
        for name, step in list(waiting.items()):
            changed = step(window)
            if changed != window:
                reasons[name] = _reason(name, text, start + _first_change(window, changed))
                del waiting[name]
        start += len(window)
    if "whitespace" in waiting and (changed := tidy(text)) != text:
        reasons["whitespace"] = _reason("whitespace", text, _first_change(text, changed))
    return [reasons[name] for name in _STEPS if name in reasons]


def _chosen(repairs: Repairs) -> dict[str, Callable[[str], str]]:
    return {
        field.name: _STEPS[field.name] for field in fields(repairs) if getattr(repairs, field.name)
    }


def _settle(text: str, steps: dict[str, Callable[[str], str]]) -> str:
    """Repeat the steps until none changes anything: `&lt;b&gt;` hides a tag, `<<b>b>` another."""
    for _ in range(ROUNDS):
        before = text
        for step in steps.values():
            text = step(text)
        if text == before:
            return text
    if "html" in steps:
        text = break_markup(text)
    return break_references(text) if "entities" in steps else text


def _first_change(old: str, new: str) -> int:
    """Return the first offset at which the two differ."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _reason(name: str, text: str, at: int) -> Reason:
    found = text[at : at + _SHOWN]
    if name in {"controls", "forms", "whitespace"} and found and found[0] != " ":
        label = unicodedata.name(found[0], "no name")
        return Reason(repair=name, at=at, found=f"U+{ord(found[0]):04X} {label}")
    return Reason(
        repair=name, at=at, found=ascii(found) if not found.isprintable() else repr(found)
    )
