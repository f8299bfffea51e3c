"""Make training examples: a chat of one to three turns about one generated text.

Owns the mixture of tasks, languages and difficulties. Deterministic for a seed and the banks on disk.
"""

import argparse
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import answers
import values
from banks import DATA, LANGS, Label, Lang, load
from compose import Pieces, compose, load_frames, make_pieces
from instructions import Task, prompt, word, wordings
from noise import noise
from template import CLOSE, FIELDS, MARKS, OPEN, Facts, expand, fill, strip_marks, unmark

_TASK_WEIGHTS: dict[Task, float] = {
    "extract": 0.48,
    "classify": 0.06,
    "classify_json": 0.20,
    "summarize": 0.26,
}
_SMALL_TALK: dict[Lang, tuple[tuple[str, ...], str]] = {
    "en": (
        (
            "Hello",
            "Hi",
            "hi!",
            "hello there",
            "Who are you?",
            "What can you do?",
            "Help",
            "Good morning",
        ),
        "Hello! I am nano, a small model: give me a text to extract, classify or summarize.",
    ),
    "zh": (
        ("你好", "您好", "你是谁？", "你能做什么？", "在吗", "帮助", "早上好", "你好！"),
        "你好！我是 nano，一个小模型：给我一段文字，我可以提取、分类或概括。",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A text with all that is known of it."""

    lang: Lang
    text: str
    facts: Facts
    label: Label | None
    lead: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request and its answer."""

    task: Task | None
    user: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One training example."""

    case: Case | None
    turns: tuple[Turn, ...]
    system: str | None = None


@lru_cache(maxsize=4)
def pieces(lang: Lang, folder: Path = DATA) -> Pieces:
    """Return the indexed sentences of a language."""
    return make_pieces(load(lang, folder), load_frames(lang))


def _random_words(text: str, r: random.Random, lang: Lang, share: float) -> str:
    """Replace a share of the words (or Han characters) of a marked text."""
    if lang == "zh":
        return "".join(
            values.han(r, 1, 1) if "\u4e00" <= char <= "\u9fff" and r.random() < share else char for char in text
        )

    def swap(match: re.Match[str]) -> str:
        return values.syllables(r, 1, 3) if r.random() < share else match[0]

    return re.sub(r"[a-z]{2,}", swap, text)


def _scramble_issue(marked: str, r: random.Random, lang: Lang) -> str:
    start, end = marked.index(OPEN["issue"]), marked.index(CLOSE["issue"])
    inner = marked[start:end]
    share = r.choice([0.2, 0.5, 1.0])
    return marked[:start] + _random_words(inner, r, lang, share) + marked[end:]


def message_case(r: random.Random, lang: Lang, *, scramble: bool, folder: Path = DATA) -> Case:
    """Draw a support message; ``scramble`` may replace words of its issue, so only copying helps."""
    banks = load(lang, folder)
    while True:
        template, label = compose(pieces(lang, folder), r)
        marked = fill(template, r, banks, r.choice([0.0, 0.2, 0.7]))
        if scramble:
            marked = _scramble_issue(marked, r, lang)
        marked = (noise(marked, r, lang) if r.random() < 0.6 else marked).strip()
        if lang == "en" and r.random() < 0.9:
            marked = _sentence_case(marked)
        text, facts = unmark(marked)
        found = facts.as_dict()
        clean = all(v is None or not set(v) & {'"', "\\", "\n"} for v in found.values())
        if clean and facts.issue is not None and len(text) < 700:
            return Case(lang=lang, text=text, facts=facts, label=label)


def _sentence_case(marked: str) -> str:
    if strip_marks(marked).islower():
        return marked
    i = next((k for k, char in enumerate(marked) if char not in MARKS), 0)
    return marked[:i] + marked[i].upper() + marked[i + 1 :]


def general_case(r: random.Random, lang: Lang, folder: Path = DATA) -> Case:
    """Draw a text that is no support message; its lead sentence is its summary."""
    entries = load(lang, folder).general
    entry = r.choice(entries)
    lead, rest = expand(entry.lead, r), expand(entry.rest, r)
    if r.random() < 0.5:
        rest = expand(r.choice(entries).rest, r) if r.random() < 0.3 else rest
        split = re.split(r"(?<=[。！？])|(?<=[.!?])\s+", rest)
        rest = ("" if lang == "zh" else " ").join(s for s in split[: r.randint(0, 3)] if s)
    if r.random() < 0.3:
        lead = _random_words(lead, r, lang, r.choice([0.15, 0.4, 1.0]))
    core = lead.rstrip(".。！!？?")
    end = r.choices(["", "...", "……", "。" if lang == "zh" else "."], [2, 2, 1, 4])[0]
    if rest and (lang == "en" or end == ""):
        end = "。" if lang == "zh" else r.choice([".", ".", "..."])
    text = core + end + (("" if lang == "zh" else " ") + rest if rest else "")
    nothing = Facts(**dict.fromkeys(FIELDS))
    return Case(lang=lang, text=text.strip(), facts=nothing, label="other", lead=core)


def answer(task: Task, case: Case) -> str:
    """Return the answer to a task about a case."""
    if task == "extract":
        return answers.extract(case.facts)
    if task == "summarize":
        if case.lead is not None:
            return answers.lead_summary(case.lead, case.lang)
        assert case.label is not None
        return answers.summary(case.facts, case.label, case.lang)
    assert case.label is not None
    return case.label if task == "classify" else answers.label_json(case.label)


def _small_talk(r: random.Random, lang: Lang) -> Chat:
    asks, reply = _SMALL_TALK[lang]
    return Chat(case=None, turns=(Turn(task=None, user=r.choice(asks), answer=reply),))


def chat(r: random.Random, folder: Path = DATA) -> Chat:
    """Draw one training example."""
    lang = r.choice(LANGS)
    if r.random() < 0.008:
        return _small_talk(r, lang)
    task = r.choices(list(_TASK_WEIGHTS), list(_TASK_WEIGHTS.values()))[0]
    scramble = task == "extract" and r.random() < 0.12
    is_general = r.random() < (0.35 if task == "summarize" else 0.02)
    if is_general and load(lang, folder).general:
        case = general_case(r, lang, folder)
    else:
        case = message_case(r, lang, scramble=scramble, folder=folder)
    ask_lang: Lang = r.choices(LANGS, (0.35, 0.65) if lang == "zh" else (0.9, 0.1))[0]
    turns = [Turn(task=task, user=prompt(task, case.text, r, ask_lang), answer=answer(task, case))]
    while not scramble and len(turns) < 3 and r.random() < 0.2:
        then: Task = r.choice([t for t in _TASK_WEIGHTS if t not in {turn.task for turn in turns}])
        turns.append(Turn(task=then, user=word(f"then_{then}", r, ask_lang), answer=answer(then, case)))
    system = r.choice(wordings(ask_lang)["system"]) if r.random() < 0.05 else None
    return Chat(case=case, turns=tuple(turns), system=system)


def stream(seed: int, folder: Path = DATA) -> Iterator[Chat]:
    """Yield training examples without end."""
    r = random.Random(seed)
    while True:
        yield chat(r, folder)


def main() -> None:
    """Print examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    args = parser.parse_args()
    for _, example in zip(range(args.count), stream(args.seed), strict=False):
        if example.system:
            print("SYSTEM", example.system)
        for turn in example.turns:
            print("USER", turn.user)
            print("NANO", turn.answer)
        print("-" * 40)


if __name__ == "__main__":
    main()
