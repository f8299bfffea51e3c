"""Word the request: instruction, its place before or after the text, follow-up turns, system text.

Owns the wording of prompts; knows neither facts nor answers.
"""

import random
from functools import lru_cache
from typing import Literal

from banks import DATA, LABELS, Lang, parse_sections, read_lines
from template import expand

Task = Literal["extract", "classify", "classify_json", "summarize"]
TASKS: tuple[Task, ...] = ("extract", "classify", "classify_json", "summarize")

_GLUE = ("\n\n", "\n", " ", "")
_QUOTES = {
    "en": [('"""\n', '\n"""'), ("<text>", "</text>"), ("“", "”")],
    "zh": [("「", "」"), ("“", "”"), ("《", "》")],
}


@lru_cache(maxsize=4)
def wordings(lang: Lang) -> dict[str, tuple[str, ...]]:
    """Load the instruction wordings of a language."""
    return parse_sections(read_lines(DATA / f"instructions_{lang}.txt"))


def _labels(r: random.Random, lang: Lang) -> str:
    labels = list(LABELS)
    if r.random() < 0.5:
        r.shuffle(labels)
    if r.random() < 0.4:
        last = r.choice([" or ", " and "]) if lang == "en" else r.choice(["或", " 或 ", "、"])
        return (", " if lang == "en" else "、").join(labels[:-1]) + last + labels[-1]
    return r.choice([", ", " / ", "/", ",", "、" if lang == "zh" else ", "]).join(labels)


def word(section: str, r: random.Random, lang: Lang) -> str:
    """Word one instruction; half of the time the canonical one."""
    choices = wordings(lang)[section]
    if r.random() < 0.5:
        return choices[0] if "{" not in choices[0] else expand(choices[0], r)
    return expand(r.choice(choices).replace("{LABELS}", _labels(r, lang)), r)


def canonical(task: Task, text: str, lang: Lang) -> str:
    """Return the prompt that the shipped tasks use (the English one, for texts in both languages)."""
    return wordings(lang)[task][0] + "\n" + text


def prompt(task: Task, text: str, r: random.Random, lang: Lang) -> str:
    """Return a whole user turn for ``task`` about ``text``; the instruction is in ``lang``."""
    instruction = word(task, r, lang)
    layout = r.random()
    if instruction == wordings(lang)[task][0] and layout < 0.85:
        return instruction + "\n" + text
    if layout < 0.08:
        left, right = r.choice(_QUOTES[lang])
        text = left + text + right
    if layout < 0.55:
        return instruction + r.choice(_GLUE[:2]) + text
    if layout < 0.75:
        if instruction[-1] not in ":：":
            instruction = instruction.rstrip(".。?？ ") + (":" if lang == "en" else r.choice("：:"))
        return instruction + r.choice(_GLUE[1:] if lang == "en" else ("", "", "\n")) + text
    if layout < 0.87:
        head = r.choice(wordings(lang)["text_head"])
        return instruction + r.choice(_GLUE[:2]) + head + r.choice(_GLUE[1:3]) + text
    return text + r.choice(_GLUE[:2]) + instruction.rstrip(":：")
