"""Read the hand-written banks under ``data/``: messages, issue clauses, general texts, names and products.

Owns the file formats and nothing else: it does not know what a slot is filled with, nor what a task is.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Lang = Literal["en", "zh"]
Label = Literal["billing", "delivery", "defect", "account", "other"]

LANGS: tuple[Lang, ...] = ("en", "zh")
LABELS: tuple[Label, ...] = ("billing", "delivery", "defect", "account", "other")
DATA = Path(__file__).parent / "data"
HELDOUT = DATA / "heldout"
MESSAGE_SLOTS = ("name", "product", "order_id", "date")
DISTRACTOR_SLOTS = ("other_name", "phone", "tracking", "other_date", "other_product", "email")

_CHOICE = re.compile(r"\{[^{}|]*\|[^{}]*\}")
_SLOT = re.compile(r"\{([a-z_]+)\}")


class BankError(ValueError):
    """A line of a bank does not follow its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One customer message with slots, alternatives and one ``[[issue]]``."""

    label: Label
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One issue clause with alternatives."""

    label: Label
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """A text that is no support message: its lead sentence is its summary."""

    lead: str
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Banks:
    """Everything written by hand for one language."""

    lang: Lang
    messages: tuple[Message, ...]
    issues: tuple[Clause, ...]
    general: tuple[General, ...]
    names: dict[str, tuple[str, ...]]
    products: dict[str, tuple[str, ...]]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a bank without comments and blank lines; a missing file is empty."""
    if not path.exists():
        return []
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _labelled(line: str) -> tuple[Label, str]:
    head, bar, text = line.partition("|")
    for label in LABELS:
        if bar and head.strip() == label:
            return label, text.strip()
    msg = f"a bank line starts with one of {LABELS} and a bar / got: {line[:60]!r}"
    raise BankError(msg)


def parse_message(line: str) -> Message:
    """Parse ``label | text``; the text holds exactly one ``[[issue]]`` and each slot at most once."""
    label, text = _labelled(line)
    if text.count("[[") != 1 or text.count("]]") != 1 or text.index("[[") > text.index("]]"):
        msg = f"a message holds one [[issue]] / got: {line[:60]!r}"
        raise BankError(msg)
    slots = _SLOT.findall(_CHOICE.sub("", text))
    unknown = set(slots) - set(MESSAGE_SLOTS) - set(DISTRACTOR_SLOTS) - {"n", "d"}
    twice = [s for s in MESSAGE_SLOTS if slots.count(s) > 1]
    if unknown or twice:
        msg = f"slots are known and used once / got: {sorted(unknown) + twice} in {line[:60]!r}"
        raise BankError(msg)
    return Message(label=label, text=text.replace("\\n", "\n"))


def parse_sections(lines: list[str]) -> dict[str, tuple[str, ...]]:
    """Parse ``[section]`` headings and their entries."""
    out: dict[str, list[str]] = {}
    section = "full"
    for line in lines:
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        else:
            out.setdefault(section, []).append(line)
    return {k: tuple(dict.fromkeys(v)) for k, v in out.items()}


def parse_general(line: str) -> General:
    """Parse ``lead sentence || rest``."""
    lead, _, rest = line.partition("||")
    return General(lead=lead.strip(), rest=rest.strip())


def _all_lines(folder: Path, stem: str, lang: Lang) -> list[str]:
    paths = sorted(folder.glob(f"{stem}_{lang}*.txt"))
    return [line for path in paths for line in read_lines(path)]


@lru_cache(maxsize=8)
def load(lang: Lang, folder: Path = DATA) -> Banks:
    """Load every bank of ``lang`` in ``folder``."""
    return Banks(
        lang=lang,
        messages=tuple(parse_message(x) for x in _all_lines(folder, "messages", lang)),
        issues=tuple(
            Clause(label=label, text=text) for label, text in (_labelled(x) for x in _all_lines(folder, "issues", lang))
        ),
        general=tuple(parse_general(x) for x in _all_lines(folder, "general", lang)),
        names=parse_sections(_all_lines(folder, "names", lang)),
        products=parse_sections(_all_lines(folder, "products", lang)),
    )
