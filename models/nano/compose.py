"""Compose message templates: bank messages as they are, recombined sentence by sentence, or built from frames.

Owns structure only: the result is a template (slots and alternatives still in it) with its label.
"""

import random
import re
from dataclasses import dataclass
from functools import lru_cache

from banks import DATA, MESSAGE_SLOTS, Banks, Label, Lang, Message, parse_sections, read_lines
from template import slots_of

_SENTENCE_EN = re.compile(r"(?<=[.!?])\s+|(?<=\n)")
_SENTENCE_ZH = re.compile(r"(?<=[。！？!?；])\s*|(?<=\n)")
_ISSUE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Sentences and clauses of one language, ready to be recombined."""

    lang: Lang
    messages: tuple[Message, ...]
    with_slots: dict[frozenset[str], tuple[str, ...]]
    filler: tuple[str, ...]
    greeting: tuple[str, ...]
    issue_frames: tuple[str, ...]
    clauses: dict[Label, tuple[str, ...]]
    swap: dict[Label, tuple[str, ...]]


def sentences(text: str, lang: Lang) -> list[str]:
    """Split a template into sentences, never inside brackets or braces."""
    parts: list[str] = []
    for part in (_SENTENCE_ZH if lang == "zh" else _SENTENCE_EN).split(text):
        held = parts[-1] if parts else ""
        if held.count("[[") != held.count("]]") or held.count("{") != held.count("}"):
            parts[-1] = held + ("" if lang == "zh" or held.endswith("\n") else " ") + part
        elif part:
            parts.append(part)
    return parts


def main_slots(sentence: str) -> frozenset[str]:
    """Return the slots of a sentence that are facts, and ``issue`` where it holds the issue."""
    slots = {slot for slot in slots_of(sentence) if slot in MESSAGE_SLOTS}
    return frozenset(slots | ({"issue"} if "[[" in sentence or "]]" in sentence else set()))


def make_pieces(banks: Banks, frames: dict[str, tuple[str, ...]]) -> Pieces:
    """Index every sentence of the messages and the frames by what it says."""
    table: dict[frozenset[str], list[str]] = {}
    for section in ("name", "product", "order_id", "date", "combo"):
        for frame in frames.get(section, ()):
            text = frame.replace("\\n", "\n").replace("[[X]]", "[[]]")
            table.setdefault(main_slots(text), []).append(text)
    clauses: dict[Label, list[str]] = {c.label: [] for c in banks.issues}
    swap: dict[Label, list[str]] = {}
    for clause in banks.issues:
        clauses[clause.label].append(clause.text)
    for message in banks.messages:
        match = _ISSUE.search(message.text)
        assert match is not None
        swap.setdefault(message.label, []).append(match[1])
        for sentence in sentences(message.text, banks.lang):
            kind = main_slots(sentence)
            if "issue" not in kind and len(kind) < 4:
                table.setdefault(kind, []).append(sentence)
    own = frames.get("filler", ())
    filler = [*table.pop(frozenset(), []), *own * 10]
    return Pieces(
        lang=banks.lang,
        messages=banks.messages,
        with_slots={k: tuple(v) for k, v in table.items()},
        filler=tuple(filler),
        greeting=frames.get("greeting", ()),
        issue_frames=tuple(f.replace("[[X]]", "[[]]") for f in frames.get("issue", ())),
        clauses={k: tuple(v) for k, v in clauses.items()},
        swap={k: tuple(v) for k, v in swap.items()},
    )


@lru_cache(maxsize=4)
def load_frames(lang: Lang) -> dict[str, tuple[str, ...]]:
    """Load the sentence frames of a language."""
    return parse_sections(read_lines(DATA / f"frames_{lang}.txt"))


def set_issue(template: str, clause: str) -> str:
    """Put ``clause`` between the issue brackets."""
    return _ISSUE.sub(lambda _: "[[" + clause + "]]", template, count=1)


def _join(parts: list[str], r: random.Random, lang: Lang) -> str:
    if lang == "zh":
        if r.random() < 0.3:
            parts = [p[:-1] + "，" if p.endswith("。") else p for p in parts[:-1]] + parts[-1:]
        glue = r.choices(["", "\n", " "], [14, 2, 1])[0]
    else:
        glue = r.choices([" ", "\n"], [10, 2])[0]
    return glue.join(p.strip() for p in parts)


def recombine(message: Message, pieces: Pieces, r: random.Random) -> str:
    """Return a bank message with sentences added, dropped, shuffled and perhaps another issue."""
    parts = sentences(message.text, pieces.lang)
    template_slots = set(slots_of(message.text))
    if r.random() < 0.5:
        parts = [p for p in parts if main_slots(p) or r.random() < 0.5]
    kinds = list(pieces.with_slots)
    for _ in range(r.choice([0, 1, 1, 2])):
        kind = r.choice(kinds)
        if not kind & template_slots and "issue" not in kind:
            template_slots |= kind
            parts.insert(r.randint(0, len(parts)), r.choice(pieces.with_slots[kind]))
    for _ in range(r.choice([0, 0, 1, 2])):
        parts.insert(r.randint(0, len(parts)), r.choice(pieces.filler))
    if r.random() < 0.25:
        r.shuffle(parts)
    text = _join(parts, r, pieces.lang)
    if r.random() < 0.5:
        pool = pieces.swap if r.random() < 0.6 or not pieces.clauses else pieces.clauses
        text = set_issue(text, r.choice(pool[message.label]))
    return text


def from_frames(pieces: Pieces, r: random.Random, label: Label) -> str:
    """Return a message composed of frames alone, around a clause of ``label``."""
    parts: list[str] = []
    used: set[str] = set()
    wanted = r.choices([0, 1, 2, 3, 4], [1, 3, 5, 6, 4])[0]
    for _ in range(12):
        kind = r.choice(list(pieces.with_slots))
        if len(used) < wanted and kind and not kind & used:
            used |= kind
            parts.append(r.choice(pieces.with_slots[kind]))
    if "issue" not in used:
        parts.append(r.choice(pieces.issue_frames))
    parts += r.choices(pieces.filler, k=r.choice([0, 0, 1, 1, 2, 3]))
    r.shuffle(parts)
    if r.random() < 0.3:
        parts.insert(0, r.choice(pieces.greeting))
    pool = pieces.clauses if r.random() < 0.6 else pieces.swap
    return set_issue(_join(parts, r, pieces.lang), r.choice(pool[label]))


def compose(pieces: Pieces, r: random.Random) -> tuple[str, Label]:
    """Return a message template and its label."""
    how = r.random()
    message = r.choice(pieces.messages)
    if how < 0.3:
        return message.text, message.label
    if how < 0.65:
        return recombine(message, pieces, r), message.label
    label = r.choice(list(pieces.clauses))
    return from_frames(pieces, r, label), label
