"""Turn a template with slots, alternatives and one ``[[issue]]`` into a text whose values are known.

Values are wrapped in private-use characters while the text is still being worked on (noise, joining), and
`unmark` takes them out again: so a value is always a substring of the final text.
"""

import random
import re
from dataclasses import dataclass

import values
from banks import MESSAGE_SLOTS, Banks

FIELDS = ("name", "product", "order_id", "date", "issue")
OPEN = {field: chr(0xE000 + 2 * i) for i, field in enumerate(FIELDS)}
CLOSE = {field: chr(0xE001 + 2 * i) for i, field in enumerate(FIELDS)}
MARKS = frozenset(OPEN.values()) | frozenset(CLOSE.values())

_CHOICE = re.compile(r"\{([^{}|]*(?:\|[^{}|]*)+)\}")
_SLOT = re.compile(r"\{([a-z_]+)\}")
_EDGE = " \t\n,.;:!?，。；：！？、…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a message says, each value a substring of its text, or None."""

    name: str | None
    product: str | None
    order_id: str | None
    date: str | None
    issue: str | None

    def as_dict(self) -> dict[str, str | None]:
        """Return the facts by field, in the order of the answer."""
        return {field: getattr(self, field) for field in FIELDS}


def expand(text: str, r: random.Random) -> str:
    """Choose one of every ``{a|b}``, innermost first; slots stay."""
    text = _SLOT.sub("\x01\\1\x02", text)
    while match := _CHOICE.search(text):
        text = text[: match.start()] + r.choice(match[1].split("|")) + text[match.end() :]
    return text.replace("\x01", "{").replace("\x02", "}")


def slots_of(text: str) -> list[str]:
    """Return the slots of a template in order, once for each place."""
    return _SLOT.findall(text)


def fill(text: str, r: random.Random, banks: Banks, rand: float) -> str:
    """Expand a template and fill its slots; the values of fields come out marked."""
    text = expand(text, r)
    text = text.replace("[[", OPEN["issue"]).replace("]]", CLOSE["issue"])
    drawn: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        slot = match[1]
        if slot not in drawn or slot in ("n", "d"):
            drawn[slot] = values.draw(slot, r, banks, rand)
        if slot in MESSAGE_SLOTS:
            return OPEN[slot] + drawn[slot] + CLOSE[slot]
        return drawn[slot]

    return _SLOT.sub(value, text)


def strip_marks(text: str) -> str:
    """Remove every mark."""
    return "".join(char for char in text if char not in MARKS)


def unmark(text: str) -> tuple[str, Facts]:
    """Take the marks out of a text and return it with its facts."""
    found: dict[str, str | None] = {}
    for field in FIELDS:
        start, end = text.find(OPEN[field]), text.find(CLOSE[field])
        inner = strip_marks(text[start + 1 : end]) if 0 <= start < end else ""
        inner = inner.strip(_EDGE if field == "issue" else " ")
        found[field] = inner or None
    return strip_marks(text), Facts(**found)
