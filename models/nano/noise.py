"""Make a marked text look typed by people in a hurry: case, typos, punctuation, line breaks.

Works on texts with marks (see `template`) and leaves the marks in place.
"""

import random
import re

from banks import Lang
from template import MARKS

_TO_HALF = str.maketrans("，。：！？（）；", ",.:!?();")
_FULL = {",": "，", ".": "。", ":": "：", "!": "！", "?": "？"}


def _typo(text: str, r: random.Random) -> str:
    places = [i for i, char in enumerate(text[:-1]) if char.isalpha() and char.isascii()]
    if not places:
        return text
    i = r.choice(places)
    kind = r.random()
    if kind < 0.35 and text[i + 1].isalpha():
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    if kind < 0.65:
        return text[:i] + text[i + 1 :]
    if kind < 0.85:
        return text[:i] + text[i] + text[i:]
    return text[:i] + r.choice("abcdefghijklmnopqrstuvwxyz") + text[i + 1 :]


def _noise_en(text: str, r: random.Random) -> str:
    if r.random() < 0.08:
        text = text.lower()
    elif r.random() < 0.02:
        text = text.upper()
    if r.random() < 0.12:
        for _ in range(r.randint(1, 3)):
            text = _typo(text, r)
    if r.random() < 0.05:
        text = text.replace("'", r.choice(["", "’"]))
    if r.random() < 0.05:
        text = text.replace(". ", r.choice([" ", ", ", " - ", "... ", "! ", ".\n"]))
    if r.random() < 0.03:
        text = re.sub(r"[,;](?= )", "", text)
    return text


def _noise_zh(text: str, r: random.Random) -> str:
    kind = r.random()
    if kind < 0.12:
        text = text.translate(_TO_HALF)
    elif kind < 0.18:
        text = re.sub(r"[，。]", " ", text)
    elif kind < 0.24:
        text = text.replace("。", r.choice(["，", "！", "\n", "；", "~"]))
    elif kind < 0.27:
        text = text.replace("，", r.choice(["", "。", " "]))
    elif kind < 0.30:
        text = re.sub(r"(?<=[\u4e00-\u9fff])([,.:!?])", lambda m: _FULL[m[1]], text)
    if r.random() < 0.04:
        places = [i for i, char in enumerate(text) if "\u4e00" <= char <= "\u9fff"]
        if places:
            i = r.choice(places)
            text = text[:i] + r.choice(["", text[i] * 2]) + text[i + 1 :]
    return text


def noise(text: str, r: random.Random, lang: Lang) -> str:
    """Return a noisy copy of a marked text."""
    text = _noise_zh(text, r) if lang == "zh" else _noise_en(text, r)
    if r.random() < 0.10:
        tail = "".join(char for char in text if char in MARKS or char not in " .。!！\n")
        if tail[-1:] and tail[-1] not in MARKS:
            text = text.rstrip(" .。!！\n")
    if r.random() < 0.03:
        text = re.sub(r"[.!。！]$", lambda m: m[0] * 3, text)
    return text
